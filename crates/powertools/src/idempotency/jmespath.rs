mod evaluate;
mod expression;

use std::fmt;
use std::sync::Arc;

use lambda_runtime::Diagnostic;
use serde::Serialize;
use serde_json::value::RawValue;
use thiserror::Error;

use self::evaluate::evaluate;
use self::expression::{Node, parse};
use super::value::{Format, Value};

const JSON: Format = Format { comma: ",", colon: ":", sort_keys: false, number: String::push_str };

/// A [JMESPath](https://jmespath.org) expression, which selects a key from an event.
///
/// It finds the same as in Powertools for Python, so that the key is the same. [`new`](Self::new) rejects expressions for
/// which this is not guaranteed for every event.
///
/// In addition to JMESPath's functions, it supports two of Powertools: `powertools_json(text)` for JSON within a string,
/// such as the `body` of an API's request, and `powertools_base64(text)`.
#[derive(Clone)]
pub struct JmesPath {
    expression: Arc<str>,
    node: Arc<Node>,
}

/// An expression is not valid, or has no result for this event.
#[derive(Debug, Error)]
#[error("the JMESPath expression {expression:?} {reason}")]
pub struct JmesPathError {
    expression: Arc<str>,
    reason: String,
}

impl JmesPath {
    /// Parses an expression. Do it once, when the function starts.
    ///
    /// # Errors
    ///
    /// The expression is not valid, calls an unknown function, has more than 500 parts, or is not supported:
    ///
    /// - `abs`, `avg`, `ceil`, `floor`, `sum` and `to_number`, whose results depend on Python's version or its integers;
    /// - `a.*.b.c` and `a[0][1:]`, for which Powertools for Python deviates from JMESPath: write `a.*.b | [*].c` and
    ///   `a[0] | [1:]`;
    /// - invalid JMESPath that Python accepts: `` `text` `` without double quotes, `{a: b c: d}`, `f(a b)`.
    pub fn new(expression: &str) -> Result<Self, JmesPathError> {
        match parse(expression) {
            Ok(node) => Ok(Self { expression: expression.into(), node: node.into() }),
            Err(reason) => Err(JmesPathError { expression: expression.into(), reason }),
        }
    }

    /// The value that the expression finds in this event; `null` if there is none.
    ///
    /// Pass the event as [`RawValue`]: other types lose information, such as the digits of a large integer, and can't be
    /// parsed from an event that has half of a surrogate pair in a string.
    ///
    /// # Errors
    ///
    /// A function or a comparison of the expression can't be applied to the event's values. The error does not quote the
    /// event.
    pub fn search(&self, event: &(impl Serialize + ?Sized)) -> Result<Box<RawValue>, JmesPathError> {
        let event = Value::new(event).map_err(|_| {
            self.failed("is applied to an event that can't be written as JSON, or is nested too deeply".into())
        })?;
        let result = evaluate(&self.node, &event).map_err(|reason| self.failed(reason))?;
        let mut json = String::new();
        result.write(&mut json, &JSON);
        Ok(RawValue::from_string(json).expect("a value is written as JSON"))
    }

    fn failed(&self, reason: String) -> JmesPathError {
        JmesPathError { expression: self.expression.clone(), reason }
    }
}

/// For the sender of the event, a key that can't be selected is missing: `IdempotencyKeyError`.
impl From<JmesPathError> for Diagnostic {
    fn from(error: JmesPathError) -> Self {
        Self { error_type: "IdempotencyKeyError".into(), error_message: error.to_string() }
    }
}

impl fmt::Debug for JmesPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("JmesPath").field(&self.expression).finish()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// `tests/powertools/test_jmespath.py` compares the results with Python.
    #[test]
    fn an_error_names_the_expression_and_nothing_of_the_event() {
        let event = json!({"bad": "{ada", "number": 1});
        for expression in ["powertools_json(bad)", "powertools_base64(bad)", "powertools_json(none)", "number < 'b'"] {
            let error = JmesPath::new(expression).expect("it is one").search(&event).expect_err(expression).to_string();
            assert!(!error.contains("ada") && error.contains(expression), "{error}");
        }
        let error = JmesPath::new("a.*.b.c").expect_err("Python finds nothing with it").to_string();
        assert!(error.contains("a.*.b.c") && error.contains("byte 5"), "{error}");
    }

    /// As it does with `serde_json/arbitrary_precision`, too.
    #[test]
    fn numbers_keep_their_digits() {
        let event = RawValue::from_string(r#"{"n": 123456789012345678901234567890, "x": 1.50}"#.into());
        let key = JmesPath::new("[n, x, `2`]").expect("it is one").search(&event.expect("it is JSON"));
        assert_eq!(key.expect("it is there").get(), "[123456789012345678901234567890,1.50,2]");
    }

    #[test]
    fn an_expression_can_not_exhaust_the_stack() {
        for (part, count) in [("(", 100_000), ("a.", 100_000), ("[", 499), ("!", 499), ("a[", 249), ("a.", 249)] {
            let text = part.repeat(count) + "a";
            let _ = JmesPath::new(&text).map(|path| path.search(&json!({"a": 1})));
        }
    }
}
