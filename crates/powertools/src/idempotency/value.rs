//! JSON as in Python: objects keep their order, integers have any size, and strings can contain halves of surrogate pairs.

use std::fmt::{self, Write};
use std::sync::Arc;

use indexmap::IndexMap;
use serde::Serialize;
use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde_json::value::{RawValue, to_raw_value};

/// The limit of `serde_json`; deeper recursion could overflow the stack.
pub(super) const MAX_DEPTH: usize = 128;

#[derive(Debug)]
pub(super) enum Value {
    Null,
    Bool(bool),
    /// As in the JSON text, except `-0`, which is `0` in Python.
    Number(String),
    Text(Text),
    List(Vec<Arc<Value>>),
    Object(Object),
}

/// If a key occurs twice, the second value is kept, at the position of the first.
pub(super) type Object = IndexMap<Text, Arc<Value>>;

/// WTF-8: UTF-8 with code points of surrogates. Its bytes sort like code points, as in Python.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Text(pub(super) Vec<u8>);

/// An output format.
pub(super) struct Format {
    pub(super) comma: &'static str,
    pub(super) colon: &'static str,
    pub(super) sort_keys: bool,
    pub(super) number: fn(&mut String, &str),
}

impl Value {
    /// The JSON of a value; fails if the value has none, or is nested deeper than [`MAX_DEPTH`].
    pub(super) fn new(value: &(impl Serialize + ?Sized)) -> Result<Arc<Self>, serde_json::Error> {
        Self::from_json(&to_raw_value(value)?)
    }

    pub(super) fn from_json(json: &RawValue) -> Result<Arc<Self>, serde_json::Error> {
        read(&mut json.get(), MAX_DEPTH)
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    pub(super) fn write(&self, text: &mut String, format: &Format) {
        match self {
            Self::Null => text.push_str("null"),
            Self::Bool(value) => text.push_str(if *value { "true" } else { "false" }),
            Self::Number(number) => (format.number)(text, number),
            Self::Text(value) => write_text(text, value),
            Self::List(values) => {
                text.push('[');
                for (index, value) in values.iter().enumerate() {
                    text.push_str(if index == 0 { "" } else { format.comma });
                    value.write(text, format);
                }
                text.push(']');
            }
            Self::Object(object) => {
                let mut members: Vec<_> = object.iter().collect();
                if format.sort_keys {
                    members.sort_unstable_by_key(|member| member.0);
                }
                text.push('{');
                for (index, (key, value)) in members.into_iter().enumerate() {
                    text.push_str(if index == 0 { "" } else { format.comma });
                    write_text(text, key);
                    text.push_str(format.colon);
                    value.write(text, format);
                }
                text.push('}');
            }
        }
    }
}

/// `serde_json` has validated the JSON, but would lose a number's digits and fail for such surrogates.
fn read(json: &mut &str, depth: usize) -> Result<Arc<Value>, serde_json::Error> {
    let depth = depth.checked_sub(1).ok_or_else(|| serde_json::Error::custom("the value is nested too deeply"))?;
    Ok(Arc::new(match peek(json) {
        b'{' => {
            let mut object = Object::new();
            take(json, 1);
            while has_member(json, b'}') {
                peek(json);
                let key = read_text(json)?;
                peek(json);
                take(json, 1);
                object.insert(key, read(json, depth)?);
            }
            Value::Object(object)
        }
        b'[' => {
            let mut list = Vec::new();
            take(json, 1);
            while has_member(json, b']') {
                list.push(read(json, depth)?);
            }
            Value::List(list)
        }
        b'"' => Value::Text(read_text(json)?),
        b'n' => {
            take(json, "null".len());
            Value::Null
        }
        boolean @ (b't' | b'f') => {
            take(json, if boolean == b't' { "true".len() } else { "false".len() });
            Value::Bool(boolean == b't')
        }
        _ => {
            let length = json.bytes().take_while(|byte| byte.is_ascii_digit() || b"+-.eE".contains(byte)).count();
            Value::Number(match take(json, length) {
                "-0" => "0".into(),
                number => number.into(),
            })
        }
    }))
}

fn peek(json: &mut &str) -> u8 {
    *json = json.trim_start();
    json.as_bytes()[0]
}

fn take<'a>(json: &mut &'a str, length: usize) -> &'a str {
    let (taken, rest) = json.split_at(length);
    *json = rest;
    taken
}

/// Moves to the next member of a list or object, or behind its end; returns whether there is a member.
fn has_member(json: &mut &str, end: u8) -> bool {
    if peek(json) == b',' {
        take(json, 1);
        return true;
    }
    if peek(json) == end {
        take(json, 1);
        return false;
    }
    true
}

fn read_text(json: &mut &str) -> Result<Text, serde_json::Error> {
    let mut is_escaped = false;
    let end = json.bytes().skip(1).position(|byte| {
        let is_end = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        is_end
    });
    let length = end.expect("a text in JSON has an end") + 2;
    serde_json::from_str(take(json, length))
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;

        impl Visitor<'_> for Bytes {
            type Value = Text;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a text")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Text, E> {
                Ok(Text(bytes.to_vec()))
            }
        }

        // As bytes, `serde_json` also returns halves of surrogate pairs, in WTF-8.
        deserializer.deserialize_bytes(Bytes)
    }
}

impl Text {
    /// The bytes of each code point.
    pub(super) fn characters(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.0.chunk_by(|_, next| next & 0b1100_0000 == 0b1000_0000)
    }
}

/// The code point of these bytes in WTF-8.
pub(super) fn code_point(character: &[u8]) -> u32 {
    let first = u32::from(character[0] & if character.len() == 1 { 0x7f } else { 0x7f >> character.len() });
    character[1..].iter().fold(first, |bits, byte| bits << 6 | u32::from(byte & 0x3f))
}

fn write_text(text: &mut String, value: &Text) {
    text.push('"');
    for bytes in value.characters() {
        match bytes {
            b"\"" => text.push_str("\\\""),
            b"\\" => text.push_str("\\\\"),
            b"\n" => text.push_str("\\n"),
            b"\r" => text.push_str("\\r"),
            b"\t" => text.push_str("\\t"),
            b"\x08" => text.push_str("\\b"),
            b"\x0c" => text.push_str("\\f"),
            [byte @ b' '..=b'~'] => text.push(char::from(*byte)),
            _ => {
                let code_point = code_point(bytes);
                // A surrogate is not a `char`, but it is one code unit.
                let mut units = [code_point as u16, 0];
                let length = char::from_u32(code_point).map_or(1, |character| character.encode_utf16(&mut units).len());
                for unit in &units[..length] {
                    // Writing to a `String` does not fail.
                    let _ = write!(text, "\\u{unit:04x}");
                }
            }
        }
    }
    text.push('"');
}

pub(super) fn write_python_number(text: &mut String, number: &str) {
    if is_integer(number) {
        text.push_str(number);
        return;
    }
    let number = float(number);
    let magnitude = number.abs();
    if magnitude.is_infinite() {
        text.push_str(if number > 0.0 { "Infinity" } else { "-Infinity" });
        return;
    }
    let shortest = format!("{number:e}");
    let (digits, exponent) = shortest.split_once('e').expect("this format has an exponent");
    // Without the sign, the first digit and the point.
    let precision = digits.trim_start_matches('-').len().saturating_sub(2);
    let exponent: i32 = exponent.parse().expect("an exponent is an integer");
    // Both languages write the fewest digits that identify the number. If two texts are equally near to it,
    // Python writes the even one; Rust does so only with a given number of digits.
    let is_number = |text: &str| text.parse::<f64>() == Ok(number);
    if magnitude == 0.0 || (1e-4..1e16).contains(&magnitude) {
        let decimals = usize::try_from(precision as i32 - exponent).unwrap_or_default().max(1);
        let even = format!("{number:.decimals$}");
        text.push_str(&if is_number(&even) { even } else { format!("{number:?}") });
    } else {
        let even = format!("{number:.precision$e}");
        let scientific = if is_number(&even) { &even } else { &shortest };
        let (digits, exponent) = scientific.split_once('e').expect("this format has an exponent");
        let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
        let _ = write!(text, "{digits}e{sign}{exponent:0>2}");
    }
}

pub(super) fn is_integer(number: &str) -> bool {
    !number.contains(['.', 'e', 'E'])
}

pub(super) fn float(number: &str) -> f64 {
    number.parse().expect("what is a number in JSON is one in Rust")
}
