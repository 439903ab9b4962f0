use std::error::Error as StdError;
use std::fmt::Write;

use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use thiserror::Error;

/// What stands between a function and a value. Neither its text nor its `Debug` form holds a value.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum ParametersError {
    /// There is no such parameter, secret or configuration.
    #[error("{what} doesn't exist: create it, or correct its name, the account or the region")]
    #[non_exhaustive]
    NotFound {
        /// What was asked for.
        what: String,
    },
    /// The function's role isn't allowed to read it, or the key that decrypts it.
    #[error("{what} is not allowed: give the function's role the permission it lacks; AWS says: {reason}")]
    #[non_exhaustive]
    Denied {
        /// What was asked for.
        what: String,
        /// AWS's own message, which names the permission.
        reason: String,
    },
    /// Neither the extension nor the service gave an answer that can be used: throttled, unreachable, failing.
    ///
    /// Only this error may be answered with a [stale value](crate::parameters::Get::stale_if_error).
    #[error("{what} can't be had now: try again, or allow a stale value; the reason: {reason}")]
    #[non_exhaustive]
    Unavailable {
        /// What was asked for.
        what: String,
        /// The error of the SDK, cause by cause.
        reason: String,
    },
    /// The value is there, but isn't what the function takes it for.
    #[error("{what} is not {expected}: correct the value, or read it in another form")]
    #[non_exhaustive]
    Transform {
        /// What was asked for.
        what: String,
        /// What was expected, and where the value differs.
        expected: String,
    },
}

impl ParametersError {
    /// An error of the SDK. Only messages are taken over: its `Debug` form can hold an answer, and so a value.
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
