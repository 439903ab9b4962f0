//! The text that Powertools for Python hashes: Python's `json.dumps(value, sort_keys=True)`.

use std::collections::BTreeMap;
use std::fmt::Write;

use md5::{Digest, Md5};
use serde::de::{Deserializer, Error};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

/// `serde_json` reads no deeper values either, and deeper recursion could end the process.
const MAX_DEPTH: usize = 128;

/// The MD5 of a value, in hexadecimal digits, and whether the value counts as missing.
#[derive(Clone, Debug)]
pub(super) struct Hash {
    pub(super) hexadecimal: String,
    pub(super) is_missing: bool,
}

impl Hash {
    pub(super) fn new(value: &(impl Serialize + ?Sized)) -> Result<Self, serde_json::Error> {
        let value = to_raw_value(value)?;
        let mut text = String::with_capacity(value.get().len());
        write_value(&mut text, &value, MAX_DEPTH)?;
        let hexadecimal = Md5::digest(text).iter().fold(String::with_capacity(32), |mut hexadecimal, byte| {
            // A `String` takes whatever is written.
            let _ = write!(hexadecimal, "{byte:02x}");
            hexadecimal
        });
        Ok(Self { hexadecimal, is_missing: is_missing(&value)? })
    }
}

fn is_missing(value: &RawValue) -> Result<bool, serde_json::Error> {
    let is_null = |value: &&RawValue| value.get() == "null";
    Ok(match value.get().as_bytes()[0] {
        b'{' => serde_json::from_str::<BTreeMap<Key, &RawValue>>(value.get())?.values().all(is_null),
        b'[' => serde_json::from_str::<Vec<&RawValue>>(value.get())?.iter().all(is_null),
        _ => matches!(value.get(), "null" | "\"\""),
    })
}

/// The raw text of numbers and strings is needed: Python's integers have any size, its texts may have lone surrogates.
fn write_value(text: &mut String, value: &RawValue, depth: usize) -> Result<(), serde_json::Error> {
    let depth = depth.checked_sub(1).ok_or_else(|| serde_json::Error::custom("the value is nested too deeply"))?;
    match value.get().as_bytes()[0] {
        b'{' => {
            text.push('{');
            for (index, (key, value)) in
                serde_json::from_str::<BTreeMap<Key, &RawValue>>(value.get())?.into_iter().enumerate()
            {
                text.push_str(if index == 0 { "" } else { ", " });
                write_string(text, &key.0);
                text.push_str(": ");
                write_value(text, value, depth)?;
            }
            text.push('}');
        }
        b'[' => {
            text.push('[');
            for (index, value) in serde_json::from_str::<Vec<&RawValue>>(value.get())?.into_iter().enumerate() {
                text.push_str(if index == 0 { "" } else { ", " });
                write_value(text, value, depth)?;
            }
            text.push(']');
        }
        b'"' => write_string(text, &code_points(value.get())),
        b'-' | b'0'..=b'9' => write_number(text, value.get()),
        _ => text.push_str(value.get()),
    }
    Ok(())
}

/// Python sorts by code points.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Key(Vec<u32>);

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(code_points(<&RawValue>::deserialize(deserializer)?.get())))
    }
}

/// The code points of a text in JSON, which is valid; a surrogate without its other half stays one.
fn code_points(quoted: &str) -> Vec<u32> {
    let mut units = Vec::with_capacity(quoted.len());
    let mut rest = quoted[1..quoted.len() - 1].chars();
    while let Some(character) = rest.next() {
        let character = match character {
            '\\' => match rest.next() {
                Some('u') => {
                    let digits = rest.by_ref().take(4).filter_map(|digit| digit.to_digit(16));
                    units.push(digits.fold(0, |unit, digit| unit << 4 | digit as u16));
                    continue;
                }
                Some('b') => '\u{8}',
                Some('f') => '\u{c}',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('t') => '\t',
                Some(other) => other,
                None => break,
            },
            other => other,
        };
        units.extend_from_slice(character.encode_utf16(&mut [0; 2]));
    }
    char::decode_utf16(units)
        .map(|decoded| decoded.map_or_else(|surrogate| surrogate.unpaired_surrogate().into(), u32::from))
        .collect()
}

fn write_string(text: &mut String, code_points: &[u32]) {
    text.push('"');
    for &code_point in code_points {
        match char::from_u32(code_point) {
            Some('"') => text.push_str("\\\""),
            Some('\\') => text.push_str("\\\\"),
            Some('\n') => text.push_str("\\n"),
            Some('\r') => text.push_str("\\r"),
            Some('\t') => text.push_str("\\t"),
            Some('\u{8}') => text.push_str("\\b"),
            Some('\u{c}') => text.push_str("\\f"),
            Some(character @ ' '..='~') => text.push(character),
            Some(character) => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    let _ = write!(text, "\\u{unit:04x}");
                }
            }
            None => {
                let _ = write!(text, "\\u{code_point:04x}");
            }
        }
    }
    text.push('"');
}

fn write_number(text: &mut String, number: &str) {
    if !number.contains(['.', 'e', 'E']) {
        text.push_str(if number == "-0" { "0" } else { number });
        return;
    }
    let number: f64 = number.parse().expect("what is a number in JSON is one in Rust");
    let magnitude = number.abs();
    if magnitude.is_infinite() {
        text.push_str(if number > 0.0 { "Infinity" } else { "-Infinity" });
    } else if magnitude == 0.0 || (1e-4..1e16).contains(&magnitude) {
        let _ = write!(text, "{number:?}");
    } else {
        let scientific = format!("{number:e}");
        let (digits, exponent) = scientific.split_once('e').expect("this format has an exponent");
        let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
        let _ = write!(text, "{digits}e{sign}{exponent:0>2}");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn python(json: &str) -> String {
        let value: Box<RawValue> = serde_json::from_str(json).expect("it is JSON");
        let mut text = String::new();
        write_value(&mut text, &value, MAX_DEPTH).expect("it is not deep");
        text
    }

    #[test]
    fn numbers_are_written_as_python_does() {
        for (json, expected) in [
            ("0", "0"),
            ("-0", "0"),
            ("-0.0", "-0.0"),
            ("1.0", "1.0"),
            ("100E-2", "1.0"),
            ("123456789012345678901234567890", "123456789012345678901234567890"),
            ("1e15", "1000000000000000.0"),
            ("9999999999999998.0", "9999999999999998.0"),
            ("1e16", "1e+16"),
            ("-1.5e300", "-1.5e+300"),
            ("0.0001", "0.0001"),
            ("0.00001", "1e-05"),
            ("5e-324", "5e-324"),
            ("0.1", "0.1"),
            ("1e400", "Infinity"),
            ("-1e400", "-Infinity"),
        ] {
            assert_eq!(python(json), expected, "{json}");
        }
    }

    #[test]
    fn texts_are_ascii_and_keys_are_in_order() {
        for (json, expected) in [
            (r#""\/é\u00e9\u007f~""#, r#""/\u00e9\u00e9\u007f~""#),
            (r#""😀\ud83d\ude00""#, r#""\ud83d\ude00\ud83d\ude00""#),
            (r#""\ude00\ud83d""#, r#""\ude00\ud83d""#),
            (r#""\"\\\b\f\n\r\t\u0000""#, r#""\"\\\b\f\n\r\t\u0000""#),
            (r#""\"""#, r#""\"""#),
            (r#"{"b":1,"a":[1,{}, []],"\u0061":null}"#, r#"{"a": null, "b": 1}"#),
            // UTF-16 would have them the other way round.
            (r#"{"😀":1,"｡":2}"#, r#"{"\uff61": 2, "\ud83d\ude00": 1}"#),
            ("[true,false , null]", "[true, false, null]"),
        ] {
            assert_eq!(python(json), expected, "{json}");
        }
    }

    #[test]
    fn what_is_missing_is_what_powertools_takes_for_it() {
        for (value, expected) in [
            (json!(null), true),
            (json!(""), true),
            (json!([]), true),
            (json!({}), true),
            (json!([null, null]), true),
            (json!({"a": null}), true),
            (json!([null, 0]), false),
            (json!({"a": ""}), false),
            (json!(0), false),
            (json!(false), false),
            (json!("a"), false),
        ] {
            assert_eq!(Hash::new(&value).expect("it is not deep").is_missing, expected, "{value}");
        }
    }

    #[test]
    fn the_depth_has_a_limit() {
        let nested = |depth| RawValue::from_string("[".repeat(depth) + &"]".repeat(depth)).expect("it is JSON");
        assert!(Hash::new(&nested(MAX_DEPTH)).is_ok());
        assert!(Hash::new(&nested(100_000)).is_err());
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".*".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map(".*", inner, 0..6).prop_map(|map| map.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_text_is_ascii_and_says_the_same(value in values()) {
            let text = python(&value.to_string());
            prop_assert!(text.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
            prop_assert_eq!(serde_json::from_str::<Value>(&text).expect("it is JSON"), value);
            prop_assert_eq!(python(&text), text);
        }
    }
}
