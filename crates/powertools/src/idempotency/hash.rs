//! The text that Powertools for Python hashes: Python's `json.dumps(value, sort_keys=True)`.

use std::fmt::Write;

use md5::{Digest, Md5};
use serde::Serialize;

use super::value::{Format, Value, write_python_number};

const HASHED: Format = Format { comma: ", ", colon: ": ", sort_keys: true, number: write_python_number };

/// The MD5 of a value in hexadecimal digits, and whether the value counts as missing.
#[derive(Clone, Debug)]
pub(super) struct Hash {
    pub(super) hexadecimal: String,
    pub(super) is_missing: bool,
}

impl Hash {
    pub(super) fn new(value: &(impl Serialize + ?Sized)) -> Result<Self, serde_json::Error> {
        let value = Value::new(value)?;
        let mut text = String::new();
        value.write(&mut text, &HASHED);
        let hexadecimal = Md5::digest(text).iter().fold(String::with_capacity(32), |mut hexadecimal, byte| {
            // Writing to a `String` does not fail.
            let _ = write!(hexadecimal, "{byte:02x}");
            hexadecimal
        });
        Ok(Self { hexadecimal, is_missing: is_missing(&value) })
    }
}

fn is_missing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Text(text) => text.0.is_empty(),
        Value::List(values) => values.iter().all(|value| value.is_null()),
        Value::Object(object) => object.values().all(|value| value.is_null()),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;
    use serde_json::value::RawValue;

    use super::super::value::MAX_DEPTH;
    use super::*;

    fn python(json: &str) -> String {
        let value: Box<RawValue> = serde_json::from_str(json).expect("it is JSON");
        let mut text = String::new();
        Value::from_json(&value).expect("it is not deep").write(&mut text, &HASHED);
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
            // Two shortest texts are equally near, e.g. .2 and .3.
            ("634498412546753.25", "634498412546753.2"),
            ("-185999401873287.125", "-185999401873287.12"),
            ("992730082210044.75", "992730082210044.8"),
            ("2.98023223876953125e-8", "2.9802322387695312e-08"),
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
            // UTF-16 would sort them in the opposite order.
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

    fn values() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(serde_json::Value::from),
            any::<i64>().prop_map(serde_json::Value::from),
            any::<f64>().prop_map(serde_json::Value::from),
            ".*".prop_map(serde_json::Value::from),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(serde_json::Value::from),
                prop::collection::btree_map(".*", inner, 0..6).prop_map(|map| map.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_text_is_ascii_and_says_the_same(value in values()) {
            let text = python(&value.to_string());
            prop_assert!(text.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&text).expect("it is JSON"), value);
            prop_assert_eq!(python(&text), text);
        }
    }
}
