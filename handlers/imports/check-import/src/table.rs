//! From a registrar's file to the rows of an import, in bounded memory.
//!
//! A row is one line: no field of an account can hold a line break, and so a quotation mark without its partner costs
//! its own line, not the rest of the file.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::mem;

use accounts::canonical_email;
use csv_core::{ReadRecordResult, Reader, ReaderBuilder, Terminator};
use serde::Serialize;
use serde_json::json;
use thiserror::Error;

use crate::text::{Decoder, Encoding};

/// Rows of one file, at most.
pub const MAXIMUM_ROWS: usize = 100_000;

/// Bytes of one file, at most: what is made of it has to fit into the function's memory. 200 for each row are plenty.
pub const MAXIMUM_BYTES: usize = 20_000_000;

/// Bytes of one line in UTF-8, at most: far more than the fields of an account may have, far less than Step Functions
/// takes.
const MAXIMUM_LINE_BYTES: usize = 4096;

/// Bytes that are decoded at a time.
const PIECE_BYTES: usize = 16_384;

/// Files begin with it, and where files were joined, lines do.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// Stands where a program could not write a character in the encoding that it was told to write.
const LOST_CHARACTER: char = '\u{fffd}';

/// What can stand between fields. The first one is what a file without any has.
const SEPARATORS: [char; 4] = [',', ';', '\t', '|'];

/// Of the columns that a header calls unknown, as many are listed.
const LISTED_COLUMNS: usize = 10;

/// The columns, each with the letters of the headings that mean it.
const COLUMNS: [(&str, &[&str]); 5] = [
    ("email", &["email", "emailaddress"]),
    ("given_name", &["givenname"]),
    ("family_name", &["familyname"]),
    ("date_of_birth", &["dateofbirth"]),
    ("programme", &["programme", "program"]),
];

/// Why a whole file is refused, and what to do about it. Quotes nothing: the line in question can be a student's.
#[derive(Debug, Error, PartialEq)]
pub enum Refusal {
    #[error(
        "This is a spreadsheet, not a CSV file. In the spreadsheet program, save it as \"CSV UTF-8\", and put that file \
         here."
    )]
    Spreadsheet,
    #[error(
        "Line {0} is not text in UTF-8 or UTF-16. Save the file as \"CSV UTF-8\", where the program asks for an \
         encoding as \"Unicode (UTF-8)\", and put it here again."
    )]
    NotText(u64),
    #[error(
        "The first line has to name the columns {}, in any order, with commas, semicolons, tabs or | between them. \
         {complaints} Correct it, and put the file here again.",
        COLUMNS.map(|(column, _)| column).join(", ")
    )]
    Header { complaints: String },
    #[error("The file has no rows. Put it here again when it has some.")]
    NoRows,
    #[error("The file has more than {MAXIMUM_ROWS} rows. Split it, and begin each file with the names of the columns.")]
    TooManyRows,
    #[error(
        "The file has more than {} MB. Split it, and begin each file with the names of the columns.",
        MAXIMUM_BYTES / 1_000_000
    )]
    TooLarge,
}

/// How the file is written; its results are written alike, so that the registrar's program opens them as well.
#[derive(Debug, PartialEq, Serialize)]
pub struct Form {
    /// What stands between fields.
    pub separator: char,
    /// UTF-8 otherwise.
    pub is_utf_16: bool,
}

/// The rows of a file, as its bytes come in.
#[derive(Debug, Default)]
pub struct Table {
    decoder: Decoder,
    bytes: usize,
    /// What has come of the current line, up to [`MAXIMUM_LINE_BYTES`].
    line: String,
    is_line_too_long: bool,
    /// A line feed after it ends no other line.
    follows_carriage_return: bool,
    lines: u64,
    header: Option<Header>,
    /// The line of the first row with an address.
    addresses: HashMap<String, u64>,
    parts: Parts,
}

/// What the line that names the columns says.
#[derive(Debug)]
struct Header {
    separator: char,
    reader: Reader,
    /// Where each of [`COLUMNS`] is.
    places: [usize; COLUMNS.len()],
}

/// What became of a whole file.
#[derive(Debug, Default)]
pub struct Parts {
    /// Rows in `accounts`.
    pub rows: usize,
    /// Other rows.
    pub rejected: usize,
    /// JSON Lines of `{"line", "account"}`.
    pub accounts: String,
    /// JSON Lines of `{"line", "email"}` for all rows, with `{"result", "reason"}` for those that are not in `accounts`.
    /// `email` is the address in the form that is stored, or empty.
    pub report: String,
}

impl Table {
    /// Takes the file's next bytes.
    ///
    /// # Errors
    /// The whole file is refused.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        for piece in bytes.chunks(PIECE_BYTES) {
            self.bytes += piece.len();
            if self.bytes > MAXIMUM_BYTES {
                return Err(Refusal::TooLarge);
            }
            let text = self.decoder.push(piece)?;
            self.push_text(&text, false)?;
        }
        Ok(())
    }

    /// Ends the file.
    ///
    /// # Errors
    /// The whole file is refused.
    pub fn finish(&mut self) -> Result<Parts, Refusal> {
        let text = self.decoder.finish()?;
        self.push_text(&text, true)?;
        if !self.line.is_empty() {
            self.end_line()?;
        }
        match self.parts.rows + self.parts.rejected {
            0 => Err(Refusal::NoRows),
            _ => Ok(mem::take(&mut self.parts)),
        }
    }

    /// How the file is written, as far as it is known.
    pub fn form(&self) -> Form {
        Form {
            separator: self.header.as_ref().map_or(SEPARATORS[0], |header| header.separator),
            is_utf_16: self.decoder.encoding.is_some_and(|encoding| encoding != Encoding::Utf8),
        }
    }

    fn push_text(&mut self, text: &str, is_at_end: bool) -> Result<(), Refusal> {
        for character in text.chars() {
            let follows_carriage_return = mem::replace(&mut self.follows_carriage_return, character == '\r');
            match character {
                '\n' if follows_carriage_return => {}
                '\n' | '\r' => self.end_line()?,
                _ if self.line.len() < MAXIMUM_LINE_BYTES => self.line.push(character),
                _ => self.is_line_too_long = true,
            }
        }
        match self.decoder.is_stuck(is_at_end) {
            true => Err(Refusal::NotText(self.lines + 1)),
            false => Ok(()),
        }
    }

    fn end_line(&mut self) -> Result<(), Refusal> {
        self.lines += 1;
        let line = mem::take(&mut self.line);
        let line = line.trim_start_matches(BYTE_ORDER_MARK);
        let is_too_long = mem::take(&mut self.is_line_too_long);
        let Some(Header { reader, places, .. }) = &mut self.header else {
            self.header = read_header(line, is_too_long, self.lines)?;
            return Ok(());
        };
        let fields = if is_too_long {
            Err("The line is too long.".into())
        } else if line.contains(LOST_CHARACTER) {
            Err(format!(
                "A character was lost when the file was saved: {LOST_CHARACTER} stands for it. Type it again, and save \
                 the file as \"CSV UTF-8\"."
            ))
        } else if line.contains(|c: char| c.is_control() && c != '\t') {
            Err("The line has a control character. Type the fields again.".into())
        } else {
            let (fields, is_closed) = split(reader, line);
            if fields.iter().all(|field| field.trim().is_empty()) {
                return Ok(());
            }
            let is_extra = |(place, field): (usize, &String)| !places.contains(&place) && !field.trim().is_empty();
            if !is_closed {
                Err("A quotation mark (\") has no partner in this line, or a field has a line break.".into())
            } else if places.iter().any(|place| *place >= fields.len()) || fields.iter().enumerate().any(is_extra) {
                let count = fields.len();
                Err(format!("The fields in this line, {count}, are not those that the first line names."))
            } else {
                Ok(fields)
            }
        };
        let parts = &mut self.parts;
        if parts.rows + parts.rejected == MAXIMUM_ROWS {
            return Err(Refusal::TooManyRows);
        }
        let line = self.lines;
        let mut reject = |email: &str, result: &str, reason: String| {
            let row = json!({ "line": line, "email": email, "result": result, "reason": reason });
            parts.report.push_str(&format!("{row}\n"));
            parts.rejected += 1;
        };
        let fields = match fields {
            Ok(fields) => fields,
            Err(reason) => {
                reject("", "rejected", reason);
                return Ok(());
            }
        };
        let [email, given_name, family_name, date_of_birth, programme] = places.map(|place| fields[place].as_str());
        let address = canonical_email(email).unwrap_or_default();
        if !address.is_empty() {
            match self.addresses.entry(address.clone()) {
                Entry::Occupied(first) => {
                    let reason = format!("Line {} has this address as well. Only that line is imported.", first.get());
                    reject(&address, "duplicate", reason);
                    return Ok(());
                }
                Entry::Vacant(first) => first.insert(line),
            };
        }
        let account = json!({
            "email": email,
            "given_name": given_name,
            "family_name": family_name,
            "date_of_birth": date_of_birth,
            "programme": programme,
        });
        parts.accounts.push_str(&format!("{}\n", json!({ "line": line, "account": account })));
        parts.report.push_str(&format!("{}\n", json!({ "line": line, "email": address })));
        parts.rows += 1;
        Ok(())
    }
}

/// The fields of a line, and whether each quotation mark that opens a field is closed.
fn split(reader: &mut Reader, line: &str) -> (Vec<String>, bool) {
    let line = format!("{line}\n");
    let mut text = vec![0; line.len()];
    let mut ends = vec![0; line.len()];
    reader.reset();
    let (result, _, written, mut count) = reader.read_record(line.as_bytes(), &mut text, &mut ends);
    let is_closed = result == ReadRecordResult::Record;
    if !is_closed {
        // The end of the text ends what was not closed.
        count += reader.read_record(&[], &mut text[written..], &mut ends[count..]).3;
    }
    let starts = [0].into_iter().chain(ends[..count].iter().copied());
    let field = |(start, end): (usize, &usize)| String::from_utf8_lossy(&text[start..*end]).into_owned();
    (starts.zip(&ends[..count]).map(field).collect(), is_closed)
}

/// Reads the line that names the columns; `None` for a line before it.
fn read_header(line: &str, is_too_long: bool, number: u64) -> Result<Option<Header>, Refusal> {
    if is_too_long {
        return Err(Refusal::Header { complaints: "It is too long.".into() });
    }
    let is_blank = line.chars().all(|c| c.is_whitespace() || c == '"' || SEPARATORS.contains(&c));
    // Excel's own line, which says what the header shows as well.
    let start = line.trim_start_matches('"').get(..4);
    if is_blank || number == 1 && start.is_some_and(|start| start.eq_ignore_ascii_case("sep=")) {
        return Ok(None);
    }
    let split_by = |separator: char| {
        let mut reader = ReaderBuilder::new().delimiter(separator as u8).terminator(Terminator::Any(b'\n')).build();
        let names = split(&mut reader, line).0;
        (separator, reader, names)
    };
    let known = |names: &[String]| names.iter().filter(|name| column(name).is_some()).count();
    // Of equals, the last one is the maximum.
    let splits = SEPARATORS.into_iter().rev().map(split_by);
    let Some((separator, reader, names)) = splits.max_by_key(|(_, _, names)| (known(names), names.len())) else {
        return Ok(None);
    };
    let found = COLUMNS.map(|(name, _)| names.iter().position(|heading| column(heading) == Some(name)));
    if let [Some(a), Some(b), Some(c), Some(d), Some(e)] = found
        && names.iter().filter(|name| !name.trim().is_empty()).count() == COLUMNS.len()
    {
        return Ok(Some(Header { separator, reader, places: [a, b, c, d, e] }));
    }
    if known(&names) == 0 {
        return Err(Refusal::Header { complaints: "It names none of them.".into() });
    }
    let times = |name| names.iter().filter(|heading| column(heading) == Some(name)).count();
    let with_times = |is_meant: fn(usize) -> bool| -> Vec<String> {
        COLUMNS.iter().filter(|(name, _)| is_meant(times(*name))).map(|(name, _)| (*name).to_owned()).collect()
    };
    let is_unknown = |name: &str| !name.trim().is_empty() && column(name).is_none();
    let unknown = names.iter().zip(1..).filter(|(name, _)| is_unknown(name)).map(|(_, place): (_, u64)| place);
    let complaints: Vec<_> = [
        ("Missing: ", with_times(|times| times == 0)),
        ("Twice: ", with_times(|times| times > 1)),
        ("Unknown: column ", unknown.take(LISTED_COLUMNS).map(|place| place.to_string()).collect()),
    ]
    .into_iter()
    .filter(|(_, names)| !names.is_empty())
    .map(|(what, names)| format!("{what}{}.", names.join(", ")))
    .collect();
    Err(Refusal::Header { complaints: complaints.join(" ") })
}

/// The column that a heading means: `E-mail address`, `Given name` and `DATE_OF_BIRTH` mean one.
fn column(heading: &str) -> Option<&'static str> {
    let letters: String = heading.to_lowercase().chars().filter(|c| c.is_alphanumeric()).collect();
    COLUMNS.iter().find(|(_, headings)| headings.contains(&letters.as_str())).map(|(column, _)| *column)
}
