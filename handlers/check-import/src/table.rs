//! From the lines of a registrar's file to the rows of an import.
//!
//! A row is one line: no field of an account can hold a line break, and so a quotation mark without its partner costs
//! its own line, not the rest of the file.

use csv_core::{ReadRecordResult, Reader, ReaderBuilder, Terminator};
use serde_json::json;
use thiserror::Error;

/// Rows of one file, at most.
pub const MAXIMUM_ROWS: usize = 100_000;

/// Bytes of one file, at most: what is made of it has to fit into the function's memory. 200 for each row are plenty.
pub const MAXIMUM_BYTES: i64 = 20_000_000;

/// Bytes of one line, at most: far more than the fields of an account may have, far less than Step Functions takes.
const MAXIMUM_LINE_BYTES: usize = 4096;

/// Files begin with it, and where files were joined, lines do.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// How the files of spreadsheet programs begin: ZIP archives (.xlsx, .ods), compound files (.xls).
const SPREADSHEETS: [&[u8]; 2] = [b"PK\x03\x04", b"\xd0\xcf\x11\xe0"];

const COLUMNS: [&str; 5] = ["email", "given_name", "family_name", "date_of_birth", "programme"];

/// Why a whole file is refused, and what to do about it.
#[derive(Debug, Error, PartialEq)]
pub enum Refusal {
    #[error(
        "This is a spreadsheet, not a CSV file. In the spreadsheet program, save it as \"CSV UTF-8\", and put that file \
         here."
    )]
    Spreadsheet,
    #[error("Line {0} is not text in UTF-8. Save the file as \"CSV UTF-8\", and put it here again.")]
    NotUtf8(u64),
    #[error(
        "The first line has to name the columns {}, in any order. {complaints} Correct it, and put the file here again.",
        COLUMNS.join(", ")
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

/// The rows of a file, as they come in line by line.
#[derive(Debug, Default)]
pub struct Table {
    reader: Reader,
    /// Where each of [`COLUMNS`] is, once the line that names them has come.
    places: Option<[usize; COLUMNS.len()]>,
    lines: u64,
    parts: Parts,
}

/// What became of a whole file.
#[derive(Debug, Default)]
pub struct Parts {
    /// Rows in `accounts`.
    pub rows: usize,
    /// Rows in `rejections`.
    pub rejected: usize,
    /// JSON Lines of `{"line", "account"}`.
    pub accounts: String,
    /// JSON Lines of `{"line", "account": {"email"}, "reason"}`: rows that can't be read.
    pub rejections: String,
}

impl Table {
    /// Takes the next line, with its line break.
    ///
    /// # Errors
    /// The whole file is refused.
    pub fn push(&mut self, line: &[u8]) -> Result<(), Refusal> {
        self.lines += 1;
        if self.lines == 1 && SPREADSHEETS.iter().any(|magic| line.starts_with(magic)) {
            return Err(Refusal::Spreadsheet);
        }
        let line = str::from_utf8(line).map_err(|_| Refusal::NotUtf8(self.lines))?;
        let line = line.strip_suffix('\n').unwrap_or(line);
        let line = line.strip_suffix('\r').unwrap_or(line).trim_start_matches(BYTE_ORDER_MARK);
        if self.places.is_none() {
            let count = |delimiter| line.matches(delimiter).count();
            let delimiter = if count(';') > count(',') { b';' } else { b',' };
            self.reader = ReaderBuilder::new().delimiter(delimiter).terminator(Terminator::Any(b'\n')).build();
        }
        let (fields, is_closed) = split(&mut self.reader, line);
        if fields.iter().all(|field| field.trim().is_empty()) {
            return Ok(());
        }
        let Some(places) = self.places else {
            self.places = Some(places(line, &fields)?);
            return Ok(());
        };
        let parts = &mut self.parts;
        if parts.rows + parts.rejected == MAXIMUM_ROWS {
            return Err(Refusal::TooManyRows);
        }
        let field = |place: usize| fields.get(place).map_or("", String::as_str);
        let [email, given_name, family_name, date_of_birth, programme] = places.map(field);
        let is_extra = |(place, field): (usize, &String)| !places.contains(&place) && !field.trim().is_empty();
        let problem = if !is_closed {
            Some("A quotation mark (\") has no partner in this line, or a field has a line break.".into())
        } else if line.len() > MAXIMUM_LINE_BYTES {
            Some("The line is too long.".into())
        } else if places.iter().any(|place| *place >= fields.len()) || fields.iter().enumerate().any(is_extra) {
            let count = fields.len();
            Some(format!("The fields in this line, {count}, are not those that the first line names."))
        } else {
            None
        };
        let (count, jsonl, row) = match problem {
            None => {
                let account = json!({
                    "email": email,
                    "given_name": given_name,
                    "family_name": family_name,
                    "date_of_birth": date_of_birth,
                    "programme": programme,
                });
                (&mut parts.rows, &mut parts.accounts, json!({ "line": self.lines, "account": account }))
            }
            Some(reason) => {
                let row = json!({ "line": self.lines, "account": { "email": email }, "reason": reason });
                (&mut parts.rejected, &mut parts.rejections, row)
            }
        };
        *count += 1;
        jsonl.push_str(&row.to_string());
        jsonl.push('\n');
        Ok(())
    }

    /// Ends the file.
    ///
    /// # Errors
    /// The file has no rows.
    pub fn finish(self) -> Result<Parts, Refusal> {
        match self.parts.rows + self.parts.rejected {
            0 => Err(Refusal::NoRows),
            _ => Ok(self.parts),
        }
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

/// Reads the line that names the columns.
fn places(line: &str, names: &[String]) -> Result<[usize; COLUMNS.len()], Refusal> {
    if line.len() > MAXIMUM_LINE_BYTES {
        return Err(Refusal::Header { complaints: "It is too long.".into() });
    }
    let found = COLUMNS.map(|column| names.iter().position(|name| is_called(name, column)));
    if let [Some(a), Some(b), Some(c), Some(d), Some(e)] = found
        && names.iter().filter(|name| !name.trim().is_empty()).count() == COLUMNS.len()
    {
        return Ok([a, b, c, d, e]);
    }
    let times = |column: &&str| names.iter().filter(|name| is_called(name, column)).count();
    let is_known = |name: &str| name.trim().is_empty() || COLUMNS.iter().any(|column| is_called(name, column));
    let complaints: Vec<_> = [
        ("Missing", COLUMNS.into_iter().filter(|column| times(column) == 0).collect::<Vec<_>>()),
        ("Twice", COLUMNS.into_iter().filter(|column| times(column) > 1).collect()),
        ("Unknown", names.iter().map(String::as_str).filter(|name| !is_known(name)).collect()),
    ]
    .into_iter()
    .filter(|(_, names)| !names.is_empty())
    .map(|(what, names)| format!("{what}: {}.", names.join(", ")))
    .collect();
    Err(Refusal::Header { complaints: complaints.join(" ") })
}

/// Whether a heading means this column: `E-mail`, `Given name` and `DATE_OF_BIRTH` do.
fn is_called(heading: &str, column: &str) -> bool {
    let letters = |text: &str| -> String { text.to_lowercase().chars().filter(|c| c.is_alphanumeric()).collect() };
    letters(heading) == letters(column)
}
