//! The part of CBOR (RFC 8949) that DAX uses.

use std::borrow::Cow;

const UNSIGNED: u8 = 0;
const NEGATIVE: u8 = 1;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;
const TAG: u8 = 6;
const SIMPLE: u8 = 7;

const FALSE: u8 = 0xf4;
const TRUE: u8 = 0xf5;
const NULL: u8 = 0xf6;
const FLOAT_64: u8 = 0xfb;
const BREAK: u8 = 0xff;
const INDEFINITE_MAP: u8 = 0xbf;

/// Arrays, maps and tags inside each other. DynamoDB allows documents 32 levels deep; the protocol adds a few.
pub const MAX_DEPTH: usize = 64;

/// The bytes are not what the protocol says. The connection they came from has to be closed: what follows cannot be told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed data: {0}")]
pub struct Malformed(pub &'static str);

/// Appends values to a buffer.
#[derive(Default)]
pub struct Encoder {
    /// What was written so far.
    pub buffer: Vec<u8>,
}

impl Encoder {
    fn head(&mut self, major: u8, value: u64) {
        let major = major << 5;
        match value {
            0..24 => self.buffer.push(major | value as u8),
            24..0x100 => self.buffer.extend([major | 24, value as u8]),
            0x100..0x1_0000 => {
                self.buffer.push(major | 25);
                self.buffer.extend((value as u16).to_be_bytes());
            }
            0x1_0000..0x1_0000_0000 => {
                self.buffer.push(major | 26);
                self.buffer.extend((value as u32).to_be_bytes());
            }
            _ => {
                self.buffer.push(major | 27);
                self.buffer.extend(value.to_be_bytes());
            }
        }
    }

    /// Writes an integer.
    pub fn int(&mut self, value: i64) {
        if value < 0 { self.negative(!value as u64) } else { self.unsigned(value as u64) }
    }

    /// Writes an integer from zero.
    pub fn unsigned(&mut self, value: u64) {
        self.head(UNSIGNED, value);
    }

    /// Writes the integer -1 - `value`.
    pub fn negative(&mut self, value: u64) {
        self.head(NEGATIVE, value);
    }

    /// Writes a byte string.
    pub fn bytes(&mut self, value: &[u8]) {
        self.head(BYTES, value.len() as u64);
        self.buffer.extend_from_slice(value);
    }

    /// Writes a text.
    pub fn text(&mut self, value: &str) {
        self.head(TEXT, value.len() as u64);
        self.buffer.extend_from_slice(value.as_bytes());
    }

    /// Begins an array of `length` values.
    pub fn array(&mut self, length: usize) {
        self.head(ARRAY, length as u64);
    }

    /// Begins a map of `length` pairs.
    pub fn map(&mut self, length: usize) {
        self.head(MAP, length as u64);
    }

    /// Begins a map that [`Encoder::end`] ends.
    pub fn indefinite_map(&mut self) {
        self.buffer.push(INDEFINITE_MAP);
    }

    /// Ends an indefinite map.
    pub fn end(&mut self) {
        self.buffer.push(BREAK);
    }

    /// Writes a tag, which the next value belongs to.
    pub fn tag(&mut self, tag: u64) {
        self.head(TAG, tag);
    }

    /// Writes true or false.
    pub fn bool(&mut self, value: bool) {
        self.buffer.push(if value { TRUE } else { FALSE });
    }

    /// Writes null.
    pub fn null(&mut self) {
        self.buffer.push(NULL);
    }

    /// Writes a 64-bit float.
    pub fn float(&mut self, value: f64) {
        self.buffer.push(FLOAT_64);
        self.buffer.extend(value.to_be_bytes());
    }

    /// Writes values that are encoded already.
    pub fn raw(&mut self, encoded: &[u8]) {
        self.buffer.extend_from_slice(encoded);
    }

    /// Writes a byte string of what `write` writes.
    pub fn nested<E>(&mut self, write: impl FnOnce(&mut Encoder) -> Result<(), E>) -> Result<(), E> {
        let mut inner = Encoder::default();
        write(&mut inner)?;
        self.bytes(&inner.buffer);
        Ok(())
    }
}

/// Reads values from a complete buffer.
#[derive(Clone)]
pub struct Decoder<'a> {
    rest: &'a [u8],
}

impl<'a> Decoder<'a> {
    /// Reads from the start of `buffer`.
    pub fn new(buffer: &'a [u8]) -> Self {
        Self { rest: buffer }
    }

    /// The bytes not read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Whether everything was read.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// An error unless everything was read.
    pub fn finish(&self) -> Result<(), Malformed> {
        if self.rest.is_empty() { Ok(()) } else { Err(Malformed("bytes after the last value")) }
    }

    fn first(&self) -> Result<u8, Malformed> {
        self.rest.first().copied().ok_or(Malformed("ends within a value"))
    }

    /// The major type of the next value.
    pub fn major(&self) -> Result<u8, Malformed> {
        Ok(self.first()? >> 5)
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], Malformed> {
        let length = usize::try_from(length).map_err(|_| Malformed("ends within a value"))?;
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Malformed("ends within a value"))?;
        self.rest = rest;
        Ok(taken)
    }

    /// The next head: its major type, and its argument unless it is indefinite.
    fn head(&mut self) -> Result<(u8, Option<u64>), Malformed> {
        let (head, argument, size) = head(self.rest)?.ok_or(Malformed("ends within a value"))?;
        self.rest = &self.rest[size..];
        Ok((head >> 5, argument))
    }

    fn expect(&mut self, major: u8, otherwise: &'static str) -> Result<Option<u64>, Malformed> {
        if self.major()? != major {
            return Err(Malformed(otherwise));
        }
        Ok(self.head()?.1)
    }

    fn skip_if(&mut self, byte: u8) -> Result<bool, Malformed> {
        let found = self.first()? == byte;
        if found {
            self.rest = &self.rest[1..];
        }
        Ok(found)
    }

    /// Reads null, if it is next.
    pub fn null(&mut self) -> Result<bool, Malformed> {
        self.skip_if(NULL)
    }

    /// Reads true or false.
    pub fn bool(&mut self) -> Result<bool, Malformed> {
        if self.skip_if(TRUE)? {
            Ok(true)
        } else if self.skip_if(FALSE)? {
            Ok(false)
        } else {
            Err(Malformed("no boolean"))
        }
    }

    /// Reads an integer of 64 bits with sign.
    pub fn int(&mut self) -> Result<i64, Malformed> {
        let (major, argument) = self.head()?;
        let value = argument.and_then(|value| i64::try_from(value).ok()).ok_or(Malformed("no 64-bit integer"))?;
        match major {
            UNSIGNED => Ok(value),
            NEGATIVE => Ok(!value),
            _ => Err(Malformed("no integer")),
        }
    }

    /// Reads an integer from zero or, as the second, n of the integer -1 - n.
    pub(crate) fn any_int(&mut self) -> Result<(bool, u64), Malformed> {
        match self.head()? {
            (UNSIGNED, Some(value)) => Ok((false, value)),
            (NEGATIVE, Some(value)) => Ok((true, value)),
            _ => Err(Malformed("no integer")),
        }
    }

    /// Reads a float of any size.
    pub fn float(&mut self) -> Result<f64, Malformed> {
        match self.first()? {
            0xfa => {
                self.rest = &self.rest[1..];
                let bytes = self.take(4)?.try_into().map_err(|_| Malformed("ends within a value"))?;
                Ok(f64::from(f32::from_be_bytes(bytes)))
            }
            FLOAT_64 => {
                self.rest = &self.rest[1..];
                let bytes = self.take(8)?.try_into().map_err(|_| Malformed("ends within a value"))?;
                Ok(f64::from_be_bytes(bytes))
            }
            first if first >> 5 <= NEGATIVE => Ok(self.int()? as f64),
            _ => Err(Malformed("no float")),
        }
    }

    fn string(&mut self, major: u8, otherwise: &'static str) -> Result<Cow<'a, [u8]>, Malformed> {
        if let Some(length) = self.expect(major, otherwise)? {
            return Ok(Cow::Borrowed(self.take(length)?));
        }
        let mut whole = Vec::new();
        while !self.skip_if(BREAK)? {
            let length = self.expect(major, otherwise)?.ok_or(Malformed("a chunk without length"))?;
            whole.extend_from_slice(self.take(length)?);
        }
        Ok(Cow::Owned(whole))
    }

    /// Reads a byte string.
    pub fn bytes(&mut self) -> Result<Cow<'a, [u8]>, Malformed> {
        self.string(BYTES, "no byte string")
    }

    /// Reads a text.
    pub fn text(&mut self) -> Result<Cow<'a, str>, Malformed> {
        let invalid = |_| Malformed("text that is no UTF-8");
        match self.string(TEXT, "no text")? {
            Cow::Borrowed(bytes) => std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(invalid),
            Cow::Owned(bytes) => String::from_utf8(bytes).map(Cow::Owned).map_err(|error| invalid(error.utf8_error())),
        }
    }

    /// Reads a tag.
    pub fn tag(&mut self) -> Result<u64, Malformed> {
        self.expect(TAG, "no tag")?.ok_or(Malformed("no tag"))
    }

    /// Whether a tag is next.
    pub(crate) fn is_tag(&self) -> Result<bool, Malformed> {
        Ok(self.major()? == TAG)
    }

    /// Whether a text, a byte string or a boolean is next.
    pub(crate) fn kind(&self) -> Result<Kind, Malformed> {
        Ok(match self.first()? {
            TRUE | FALSE => Kind::Bool,
            NULL => Kind::Null,
            first => match first >> 5 {
                BYTES => Kind::Bytes,
                TEXT => Kind::Text,
                ARRAY => Kind::Array,
                MAP => Kind::Map,
                TAG => Kind::Tag,
                _ => Kind::Number,
            },
        })
    }

    /// Begins an array and returns its length.
    pub fn array(&mut self) -> Result<u64, Malformed> {
        self.expect(ARRAY, "no array")?.ok_or(Malformed("an array without length"))
    }

    /// Reads an array, whose values `read` reads one by one.
    pub fn each<E: From<Malformed>>(&mut self, read: impl FnMut(&mut Self) -> Result<(), E>) -> Result<(), E> {
        let length = self.expect(ARRAY, "no array")?;
        self.repeat(length, read)
    }

    /// Reads a map, whose pairs `read` reads one by one.
    pub fn pairs<E: From<Malformed>>(&mut self, read: impl FnMut(&mut Self) -> Result<(), E>) -> Result<(), E> {
        let length = self.expect(MAP, "no map")?;
        self.repeat(length, read)
    }

    fn repeat<E: From<Malformed>>(
        &mut self,
        length: Option<u64>,
        mut read: impl FnMut(&mut Self) -> Result<(), E>,
    ) -> Result<(), E> {
        match length {
            Some(length) => (0..length).try_for_each(|_| read(self)),
            None => {
                while !self.skip_if(BREAK)? {
                    read(self)?;
                }
                Ok(())
            }
        }
    }

    /// Skips one value.
    pub fn skip(&mut self) -> Result<(), Malformed> {
        let mut scanner = Scanner::default();
        while scanner.values == 0 {
            let before = scanner.position;
            scanner.step(self.rest)?;
            if scanner.position == before {
                return Err(Malformed("ends within a value"));
            }
        }
        self.rest = &self.rest[scanner.position..];
        Ok(())
    }
}

/// What kind of value is next.
#[derive(PartialEq, Eq)]
pub(crate) enum Kind {
    Bool,
    Null,
    Number,
    Bytes,
    Text,
    Array,
    Map,
    Tag,
}

/// The head at the start of `buffer`: its first byte, its argument unless it is indefinite, its size. None if it isn't there whole.
fn head(buffer: &[u8]) -> Result<Option<(u8, Option<u64>, usize)>, Malformed> {
    let Some((&first, rest)) = buffer.split_first() else { return Ok(None) };
    let size = match first & 0x1f {
        small @ 0..24 => return Ok(Some((first, Some(u64::from(small)), 1))),
        24 => 1,
        25 => 2,
        26 => 4,
        27 => 8,
        31 if matches!(first >> 5, BYTES..=MAP | SIMPLE) => return Ok(Some((first, None, 1))),
        _ => return Err(Malformed("a reserved head")),
    };
    let Some(bytes) = rest.get(..size) else { return Ok(None) };
    let argument = bytes.iter().fold(0, |value, &byte| value << 8 | u64::from(byte));
    Ok(Some((first, Some(argument), 1 + size)))
}

enum Open {
    /// Values still to come.
    Counted(u64),
    UntilBreak,
    /// An indefinite string of this major type.
    Chunks(u8),
}

/// Finds where values end while their bytes still arrive. Reads on from where it stopped, so that many small pieces cost no more than one.
#[derive(Default)]
pub struct Scanner {
    /// How far the buffer was read.
    pub position: usize,
    /// Complete values so far.
    pub values: usize,
    open: Vec<Open>,
}

impl Scanner {
    /// Reads on until `values` values are complete or the buffer ends; true if they are complete. `buffer` begins with what earlier calls saw.
    pub fn complete(&mut self, buffer: &[u8], values: usize) -> Result<bool, Malformed> {
        while self.values < values {
            let before = self.position;
            self.step(buffer)?;
            if self.position == before {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Reads one head, with its string; nothing if it isn't there whole.
    fn step(&mut self, buffer: &[u8]) -> Result<(), Malformed> {
        let Some((first, argument, size)) = head(&buffer[self.position..])? else { return Ok(()) };
        let major = first >> 5;
        if let Some(Open::Chunks(of)) = self.open.last()
            && first != BREAK
            && (major != *of || argument.is_none())
        {
            return Err(Malformed("a string of other values"));
        }
        if first == BREAK {
            self.position += size;
            return match self.open.pop() {
                Some(Open::UntilBreak | Open::Chunks(_)) => {
                    self.value();
                    Ok(())
                }
                _ => Err(Malformed("an end without a beginning")),
            };
        }
        let within = match (major, argument) {
            (BYTES | TEXT, Some(length)) => {
                let available = (buffer.len() - self.position - size) as u64;
                if length > available {
                    return Ok(());
                }
                self.position += size + length as usize;
                if !matches!(self.open.last(), Some(Open::Chunks(_))) {
                    self.value();
                }
                return Ok(());
            }
            (BYTES | TEXT, None) => Some(Open::Chunks(major)),
            (ARRAY, Some(length)) => (length > 0).then_some(Open::Counted(length)),
            (MAP, Some(length)) => {
                let values = length.checked_mul(2).ok_or(Malformed("a map too long"))?;
                (values > 0).then_some(Open::Counted(values))
            }
            (TAG, Some(_)) => Some(Open::Counted(1)),
            (ARRAY | MAP, None) => Some(Open::UntilBreak),
            _ => None,
        };
        self.position += size;
        match within {
            Some(_) if self.open.len() == MAX_DEPTH => return Err(Malformed("nested too deeply")),
            Some(within) => self.open.push(within),
            None => self.value(),
        }
        Ok(())
    }

    /// One value is complete, and with it perhaps those around it.
    fn value(&mut self) {
        loop {
            match self.open.last_mut() {
                None => {
                    self.values += 1;
                    return;
                }
                Some(Open::Counted(1)) => {
                    self.open.pop();
                }
                Some(Open::Counted(remaining)) => {
                    *remaining -= 1;
                    return;
                }
                Some(Open::UntilBreak | Open::Chunks(_)) => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_values_or_an_error_and_pieces_make_no_difference(
            bytes in proptest::collection::vec(any::<u8>(), 0..64),
            cut in 0..64usize,
        ) {
            let mut whole = Scanner::default();
            let at_once = whole.complete(&bytes, 1);
            let mut pieces = Scanner::default();
            let first = pieces.complete(&bytes[..cut.min(bytes.len())], 1);
            let then = first.and_then(|complete| if complete { Ok(true) } else { pieces.complete(&bytes, 1) });
            prop_assert_eq!(at_once, then);
            prop_assert_eq!(whole.position, pieces.position);
            if at_once == Ok(true) {
                let mut decoder = Decoder::new(&bytes);
                prop_assert_eq!(decoder.skip(), Ok(()));
                prop_assert_eq!(decoder.rest().len(), bytes.len() - whole.position);
            }
        }

        #[test]
        fn integers_come_back(value in any::<i64>()) {
            let mut encoder = Encoder::default();
            encoder.int(value);
            prop_assert_eq!(Decoder::new(&encoder.buffer).int(), Ok(value));
        }
    }

    #[test]
    fn a_length_that_was_announced_takes_no_memory() {
        let bytes = [0x9b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert_eq!(Scanner::default().complete(&bytes, 1), Ok(false));
        assert_eq!(Decoder::new(&bytes).skip(), Err(Malformed("ends within a value")));
    }

    #[test]
    fn nesting_has_a_limit() {
        assert_eq!(Scanner::default().complete(&[0x81; 1000], 1), Err(Malformed("nested too deeply")));
    }
}
