use std::fmt;
use std::sync::{Arc, LazyLock};

use ::jmespath::functions::{ArgumentType, CustomFunction, Signature};
use ::jmespath::{Context, ErrorReason, Expression, JmespathError, Runtime, Variable};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lambda_runtime::Diagnostic;
use serde::Serialize;
use serde_json::Value;
use thiserror::Error;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let mut runtime = Runtime::new();
    runtime.register_builtin_functions();
    register(&mut runtime, "powertools_json", |text| Variable::from_json(text).ok());
    register(&mut runtime, "powertools_base64", |text| {
        Some(Variable::String(String::from_utf8(STANDARD.decode(text).ok()?).ok()?))
    });
    runtime
});

fn register(runtime: &mut Runtime, name: &'static str, decode: fn(&str) -> Option<Variable>) {
    let signature = Signature::new(vec![ArgumentType::String], None);
    let function = move |arguments: &[Arc<Variable>], context: &mut Context<'_>| {
        let decoded = arguments[0].as_string().and_then(|text| decode(text));
        let reason = || ErrorReason::Parse(format!("what {name} was given can't be decoded"));
        decoded.map(Arc::new).ok_or_else(|| JmespathError::from_ctx(context, reason()))
    };
    runtime.register_function(name, Box::new(CustomFunction::new(signature, Box::new(function))));
}

/// A [JMESPath](https://jmespath.org) expression, which takes a key from an event.
///
/// Besides JMESPath's own functions it knows two of Powertools': `powertools_json(text)` for JSON within a text, such
/// as the `body` of an API's request, and `powertools_base64(text)`.
///
/// Integers beyond 64 bits, and results of arithmetic (`sum`, `abs` and the like), are floating-point numbers, which
/// hash differently from Python's integers.
#[derive(Clone)]
pub struct JmesPath(Expression<'static>);

/// An expression is none, or has no result for this event.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct JmesPathError(#[from] JmespathError);

impl JmesPath {
    /// Reads an expression; do that once, when the function starts.
    ///
    /// # Errors
    ///
    /// The expression is none.
    pub fn new(expression: &str) -> Result<Self, JmesPathError> {
        Ok(Self(RUNTIME.compile(expression)?))
    }

    /// What the expression stands for in this event; `null` if that is not there.
    ///
    /// # Errors
    ///
    /// A function of the expression can't be applied to what is in the event. The error has nothing of the event.
    pub fn search(&self, event: &(impl Serialize + ?Sized)) -> Result<Value, JmesPathError> {
        let unserializable =
            |_| JmespathError::new(self.0.as_str(), 0, ErrorReason::Parse("the event can't be written as JSON".into()));
        let event = serde_json::to_value(event).map_err(unserializable)?;
        let result = self.0.search(event)?;
        Ok(serde_json::to_value(result).map_err(unserializable)?)
    }
}

/// A key that can't be taken from an event is, for who sent the event, a missing one: `IdempotencyKeyError`.
impl From<JmesPathError> for Diagnostic {
    fn from(error: JmesPathError) -> Self {
        Self { error_type: "IdempotencyKeyError".into(), error_message: error.to_string() }
    }
}

impl fmt::Debug for JmesPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("JmesPath").field(&self.0.as_str()).finish()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_key_is_taken_from_an_event() {
        let event = json!({"body": r#"{"user": "ada", "items": [1, 2.0]}"#, "data": "w6nDqQ==", "bad": "{ada"});
        let search = |expression| JmesPath::new(expression).expect("it is an expression").search(&event);
        for (expression, expected) in [
            ("powertools_json(body).[user, items]", json!(["ada", [1, 2.0]])),
            ("powertools_json(body).{a: user, b: none}", json!({"a": "ada", "b": null})),
            ("powertools_base64(data)", json!("éé")),
            ("none", json!(null)),
            ("length(body)", json!(34)),
        ] {
            assert_eq!(search(expression).expect(expression), expected, "{expression}");
        }
        for expression in ["powertools_json(bad)", "powertools_base64(bad)", "powertools_json(none)", "unknown(bad)"] {
            let error = search(expression).expect_err(expression).to_string();
            assert!(!error.contains("ada") && error.contains(expression), "{error}");
        }
        assert!(JmesPath::new("a.[").is_err());
    }
}
