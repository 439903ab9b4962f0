//! Environment variables, read as Powertools reads them.

use std::env;

/// The variable's value; `None` if it is empty.
pub(crate) fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// Whether a switch is on; `None` if it is not set.
#[cfg(any(
    feature = "idempotency",
    feature = "logger",
    feature = "metrics",
    feature = "parameters-ssm",
    feature = "tracer"
))]
pub(crate) fn switch(name: &str, warnings: &mut Vec<String>) -> Option<bool> {
    let value = variable(name)?;
    match value.to_ascii_lowercase().as_str() {
        "1" | "y" | "yes" | "t" | "true" | "on" => Some(true),
        "0" | "n" | "no" | "f" | "false" | "off" => Some(false),
        _ => {
            let warning = format!("{name} is {value:?}: set it to true or false; ignored");
            // Logger and metrics read the same variable.
            if !warnings.contains(&warning) {
                warnings.push(warning);
            }
            None
        }
    }
}

/// The default name of the service.
#[cfg(any(feature = "logger", feature = "metrics", feature = "tracer"))]
pub(crate) const DEFAULT_SERVICE: &str = "service_undefined";
