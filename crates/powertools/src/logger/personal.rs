//! Values of fields that are declared personal.

use std::borrow::Cow;

use serde_json::Value;

use super::Fields;

/// What is written in the place of a personal value.
const MASK: &str = "*****";

/// The names of fields that hold personal data, in any case of letters.
#[derive(Debug)]
pub(super) struct Personal(Vec<String>);

impl Personal {
    pub(super) fn new(names: Vec<String>) -> Self {
        Self(names)
    }

    pub(super) fn redact_fields(&self, fields: &mut Fields) {
        for (name, value) in &mut fields.0 {
            self.redact(name, value);
        }
    }

    pub(super) fn redacted<'v>(&self, name: &str, value: &'v Value) -> Cow<'v, Value> {
        if self.0.is_empty() {
            return Cow::Borrowed(value);
        }
        let mut value = value.clone();
        self.redact(name, &mut value);
        Cow::Owned(value)
    }

    /// Masks a value whose name is personal, and whatever is personal inside any other.
    fn redact(&self, name: &str, value: &mut Value) {
        if self.0.iter().any(|personal| personal.eq_ignore_ascii_case(name)) {
            *value = MASK.into();
        } else if !self.0.is_empty() {
            self.redact_inside(value);
        }
    }

    fn redact_inside(&self, value: &mut Value) {
        match value {
            Value::Object(members) => members.iter_mut().for_each(|(name, value)| self.redact(name, value)),
            Value::Array(values) => values.iter_mut().for_each(|value| self.redact_inside(value)),
            // JSON in JSON, such as the body of a message.
            Value::String(text) => {
                if text.trim_start().starts_with(['{', '[', '"'])
                    && let Ok(mut inner) = serde_json::from_str(text)
                {
                    self.redact_inside(&mut inner);
                    *text = inner.to_string();
                }
            }
            _ => {}
        }
    }
}
