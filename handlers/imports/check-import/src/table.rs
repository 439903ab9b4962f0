//! Parses a registrar's file into the rows of an import, in bounded memory.
//!
//! A row is one line, because no field of an account can contain a line break. So an unclosed quotation mark makes only its
//! own line invalid, not the rest of the file.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::mem;

use accounts::canonical_email;
use csv_core::{ReadRecordResult, Reader, ReaderBuilder, Terminator};
use serde::Serialize;
use serde_json::json;
use thiserror::Error;

use crate::text::{Decoder, Encoding};

/// Maximum number of rows in a file.
pub const MAXIMUM_ROWS: usize = 100_000;

/// Maximum size of a file in bytes: the results have to fit into the function's memory. It allows 200 bytes for each row.
pub const MAXIMUM_BYTES: usize = 20_000_000;

/// Maximum length of a line in bytes of UTF-8: far more than the fields of an account can have, far less than the limit of
/// Step Functions.
const MAXIMUM_LINE_BYTES: usize = 4096;

/// Number of bytes decoded at a time.
const PIECE_BYTES: usize = 16_384;

/// Starts a file; in joined files, it can start a line, too.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// Programs write it in place of a character that the chosen encoding can't represent.
const LOST_CHARACTER: char = '\u{fffd}';

/// Possible field separators. The first one is the default for a file without any.
const SEPARATORS: [char; 4] = [',', ';', '\t', '|'];

/// Maximum number of unknown columns in a message.
const LISTED_COLUMNS: usize = 10;

/// The columns, each with the letters of its accepted headings.
const COLUMNS: [(&str, &[&str]); 5] = [
    ("email", &["email", "emailaddress"]),
    ("given_name", &["givenname"]),
    ("family_name", &["familyname"]),
    ("date_of_birth", &["dateofbirth"]),
    ("programme", &["programme", "program"]),
];

/// Why a whole file is refused, and what to do about it. Does not quote the file, which contains personal data.
#[derive(Debug, Error, PartialEq)]
pub enum Refusal {
    #[error(
        "This is a spreadsheet, not a CSV file. In the spreadsheet program, save it as \"CSV UTF-8\" and upload that \
         file."
    )]
    Spreadsheet,
    #[error(
        "Line {0} is not text in UTF-8 or UTF-16. Save the file as \"CSV UTF-8\" (encoding \"Unicode (UTF-8)\") and \
         upload it again."
    )]
    NotText(u64),
    #[error(
        "The first line must contain the column names {}, in any order, separated by commas, semicolons, tabs or |. \
         {complaints} Correct it and upload the file again.",
        COLUMNS.map(|(column, _)| column).join(", ")
    )]
    Header { complaints: String },
    #[error("The file has no rows. Add rows and upload it again.")]
    NoRows,
    #[error("The file has more than {MAXIMUM_ROWS} rows. Split it, and start each part with the column names.")]
    TooManyRows,
    #[error(
        "The file has more than {} MB. Split it, and start each part with the column names.",
        MAXIMUM_BYTES / 1_000_000
    )]
    TooLarge,
}

/// Separator and encoding of the file. The file of results has the same, so that the registrar's program can open it.
#[derive(Debug, PartialEq, Serialize)]
pub struct Form {
    /// The field separator.
    pub separator: char,
    /// Otherwise, the encoding is UTF-8.
    pub is_utf_16: bool,
}

/// An incremental parser of a file.
#[derive(Debug, Default)]
pub struct Table {
    decoder: Decoder,
    bytes: usize,
    /// The current line so far, up to [`MAXIMUM_LINE_BYTES`].
    line: String,
    is_line_too_long: bool,
    /// Whether the last character was CR: an LF after it does not end another line.
    follows_carriage_return: bool,
    lines: u64,
    header: Option<Header>,
    /// For each address, the line of the first row with it.
    addresses: HashMap<String, u64>,
    parts: Parts,
}

/// The parsed header line.
#[derive(Debug)]
struct Header {
    separator: char,
    reader: Reader,
    /// The position of each of [`COLUMNS`].
    places: [usize; COLUMNS.len()],
}

/// The result of parsing a file.
#[derive(Debug, Default)]
pub struct Parts {
    /// Number of rows in `accounts`.
    pub rows: usize,
    /// Number of other rows.
    pub rejected: usize,
    /// JSON Lines of `{"line", "account"}`.
    pub accounts: String,
    /// JSON Lines of `{"line", "email"}` for all rows, and `"result"` and `"reason"` for those that are not in `accounts`.
    /// `email` is the canonical address, or empty.
    pub report: String,
}

impl Table {
    /// Parses the next bytes of the file.
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

    /// Parses the end of the file.
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

    /// The file's separator and encoding; defaults for what is not known yet.
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
                "A character was lost when the file was saved: {LOST_CHARACTER} replaces it. Type it again and save the \
                 file as \"CSV UTF-8\"."
            ))
        } else if line.contains(|c: char| c.is_control() && c != '\t') {
            Err("The line contains a control character. Type the fields again.".into())
        } else {
            let (fields, is_closed) = split(reader, line);
            if fields.iter().all(|field| field.trim().is_empty()) {
                return Ok(());
            }
            let is_extra = |(place, field): (usize, &String)| !places.contains(&place) && !field.trim().is_empty();
            if !is_closed {
                Err("A quotation mark (\") is not closed in this line, or a field contains a line break.".into())
            } else if places.iter().any(|place| *place >= fields.len()) || fields.iter().enumerate().any(is_extra) {
                let count = fields.len();
                Err(format!(
                    "The number of fields in this line, {count}, does not match the column names in the first line."
                ))
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
                    let reason = format!("Line {} has the same address. Only that line is imported.", first.get());
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
        // At the end of its input, the reader returns the unclosed field.
        count += reader.read_record(&[], &mut text[written..], &mut ends[count..]).3;
    }
    let starts = [0].into_iter().chain(ends[..count].iter().copied());
    let field = |(start, end): (usize, &usize)| String::from_utf8_lossy(&text[start..*end]).into_owned();
    (starts.zip(&ends[..count]).map(field).collect(), is_closed)
}

/// Reads the header line; `None` for a line before it.
fn read_header(line: &str, is_too_long: bool, number: u64) -> Result<Option<Header>, Refusal> {
    if is_too_long {
        return Err(Refusal::Header { complaints: "It is too long.".into() });
    }
    let is_blank = line.chars().all(|c| c.is_whitespace() || c == '"' || SEPARATORS.contains(&c));
    // Excel's line with the separator, which the header line shows, too.
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
    // `max_by_key` returns the last of several equal elements.
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
        return Err(Refusal::Header { complaints: "It contains none of them.".into() });
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

/// The column of a heading, which may be spelled like `E-mail address`, `Given name` or `DATE_OF_BIRTH`.
fn column(heading: &str) -> Option<&'static str> {
    let letters: String = heading.to_lowercase().chars().filter(|c| c.is_alphanumeric()).collect();
    COLUMNS.iter().find(|(_, headings)| headings.contains(&letters.as_str())).map(|(column, _)| *column)
}
