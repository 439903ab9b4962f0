//! What the environment's variables say, in the ways that Powertools reads them.

use std::env;

/// The variable's value; an empty one counts as not set.
pub(crate) fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// Whether a switch is on; nothing when it isn't set, an error with a hint when it is neither on nor off.
pub(crate) fn switch(name: &str) -> Result<Option<bool>, String> {
    let Some(value) = variable(name) else { return Ok(None) };
    match value.to_ascii_lowercase().as_str() {
        "1" | "y" | "yes" | "t" | "true" | "on" => Ok(Some(true)),
        "0" | "n" | "no" | "f" | "false" | "off" => Ok(Some(false)),
        _ => Err(format!("{name} is {value:?}: set it to true or false; taken as not set")),
    }
}

/// The name of the service that this function is a part of.
pub(crate) fn service() -> String {
    variable("POWERTOOLS_SERVICE_NAME").unwrap_or_else(|| "service_undefined".into())
}
