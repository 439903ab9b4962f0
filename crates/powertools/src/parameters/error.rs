use std::error::Error as StdError;
use std::fmt::Write;

use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use thiserror::Error;

/// Why a value can't be read. Neither the message nor the `Debug` form contains a value.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum ParametersError {
    /// The parameter, secret or configuration does not exist.
    #[error("{what} doesn't exist: create it, or correct its name, the account or the region")]
    #[non_exhaustive]
    NotFound {
        /// The requested source.
        what: String,
    },
    /// The function's role may not read it or use its encryption key.
    #[error("{what} is not allowed: give the function's role the permission it lacks; AWS says: {reason}")]
    #[non_exhaustive]
    Denied {
        /// The requested source.
        what: String,
        /// AWS's own message, which names the permission.
        reason: String,
    },
    /// Neither the extension nor the service returned a usable answer: throttled, unreachable, failing.
    ///
    /// Only this error may be answered with a [stale value](crate::parameters::Get::stale_if_error).
    #[error("{what} is not available now: try again, or allow a stale value; the reason: {reason}")]
    #[non_exhaustive]
    Unavailable {
        /// The requested source.
        what: String,
        /// The SDK's error with its causes.
        reason: String,
    },
    /// The value exists, but does not have the expected form.
    #[error("{what} is not {expected}: correct the value, or read it in another form")]
    #[non_exhaustive]
    Transform {
        /// The requested source.
        what: String,
        /// The expected form, and the position of the error.
        expected: String,
    },
}

impl ParametersError {
    /// Converts an error of the SDK. Uses only messages: the `Debug` form can contain a response, and so a value.
    pub(super) fn of_sdk(what: String, error: impl ProvideErrorMetadata + StdError) -> Self {
        match error.code() {
            Some("ParameterNotFound" | "ResourceNotFoundException") => Self::NotFound { what },
            Some("AccessDeniedException" | "AccessDenied") => Self::Denied { what, reason: reason(&error) },
            _ => Self::Unavailable { what, reason: reason(&error) },
        }
    }
}

fn reason(error: &(impl ProvideErrorMetadata + StdError)) -> String {
    if let Some(code) = error.code() {
        return format!("{code}: {}", error.message().unwrap_or("no message"));
    }
    let mut reason = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        write!(reason, ": {error}").expect("a String takes all that is written");
        cause = error.source();
    }
    reason
}
