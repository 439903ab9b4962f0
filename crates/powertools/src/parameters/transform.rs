//! Transforms the bytes of a value. Errors do not quote the value.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::de::DeserializeOwned;

use super::ParametersError;

pub(super) fn text(what: impl ToString, value: &[u8]) -> Result<String, ParametersError> {
    match str::from_utf8(value) {
        Ok(text) => Ok(text.to_owned()),
        Err(error) => Err(not(what, format!("text in UTF-8 (byte {} isn't)", error.valid_up_to()))),
    }
}

pub(super) fn json<T: DeserializeOwned>(what: impl ToString, value: &[u8]) -> Result<T, ParametersError> {
    // serde's message would quote the value: `invalid type: string "hunter2", expected u16`.
    serde_json::from_slice(value).map_err(|error| {
        let kind = if error.is_data() { "JSON of the expected type" } else { "JSON" };
        not(what, format!("{kind} (line {}, column {})", error.line(), error.column()))
    })
}

pub(super) fn binary(what: impl ToString, value: &[u8]) -> Result<Vec<u8>, ParametersError> {
    BASE64_STANDARD.decode(value).map_err(|_| not(what, "base64 (the standard alphabet, padded)".into()))
}

fn not(what: impl ToString, expected: String) -> ParametersError {
    ParametersError::Transform { what: what.to_string(), expected }
}
