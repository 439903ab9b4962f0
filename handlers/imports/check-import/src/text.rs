//! Decodes a file incrementally.

use crate::table::Refusal;

/// Maximum length of a character in bytes, in any encoding.
const MAXIMUM_CHARACTER_BYTES: usize = 4;

/// The first bytes of spreadsheet files: ZIP archives (.xlsx, .ods, .numbers) and compound files (.xls).
const SPREADSHEETS: [&[u8]; 2] = [b"PK\x03\x04", b"\xd0\xcf\x11\xe0"];

/// The encoding of a file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Encoding {
    Utf8,
    Utf16LittleEndian,
    Utf16BigEndian,
}

impl Encoding {
    /// Without a byte order mark, a zero byte in the first character shows UTF-16: each header starts with ASCII.
    fn of(start: &[u8]) -> Self {
        match start {
            [0xff, 0xfe, ..] | [1..=u8::MAX, 0, ..] => Self::Utf16LittleEndian,
            [0xfe, 0xff, ..] | [0, 1..=u8::MAX, ..] => Self::Utf16BigEndian,
            _ => Self::Utf8,
        }
    }
}

/// An incremental decoder.
#[derive(Debug, Default)]
pub struct Decoder {
    /// `None` until the file's first bytes are known.
    pub encoding: Option<Encoding>,
    /// The bytes that are not decoded yet.
    pending: Vec<u8>,
}

impl Decoder {
    /// Decodes the next bytes up to the first incomplete or invalid character.
    ///
    /// # Errors
    /// The file is a spreadsheet.
    pub fn push(&mut self, bytes: &[u8]) -> Result<String, Refusal> {
        self.pending.extend_from_slice(bytes);
        match self.encoding {
            None if self.pending.len() < MAXIMUM_CHARACTER_BYTES => Ok(String::new()),
            _ => self.decode(),
        }
    }

    /// Decodes the rest of a file that ended before its encoding was known.
    ///
    /// # Errors
    /// The file is a spreadsheet.
    pub fn finish(&mut self) -> Result<String, Refusal> {
        self.decode()
    }

    /// Whether the remaining bytes are not text.
    pub fn is_stuck(&self, is_at_end: bool) -> bool {
        self.pending.len() >= if is_at_end { 1 } else { MAXIMUM_CHARACTER_BYTES }
    }

    fn decode(&mut self) -> Result<String, Refusal> {
        let pending = &mut self.pending;
        if self.encoding.is_none() && SPREADSHEETS.iter().any(|start| pending.starts_with(start)) {
            return Err(Refusal::Spreadsheet);
        }
        let unit = match *self.encoding.get_or_insert_with(|| Encoding::of(pending)) {
            Encoding::Utf8 => {
                let length = str::from_utf8(pending).map_or_else(|error| error.valid_up_to(), str::len);
                return Ok(String::from_utf8_lossy(&pending.drain(..length).collect::<Vec<_>>()).into_owned());
            }
            Encoding::Utf16LittleEndian => u16::from_le_bytes,
            Encoding::Utf16BigEndian => u16::from_be_bytes,
        };
        let units = pending.as_chunks().0.iter().copied().map(unit);
        let text: String = char::decode_utf16(units).map_while(Result::ok).collect();
        pending.drain(..2 * text.encode_utf16().count());
        Ok(text)
    }
}
