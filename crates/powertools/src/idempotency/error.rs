use std::any::Any;
use std::convert::Infallible;
use std::error::Error;
use std::fmt::{self, Debug, Display, Formatter};

use lambda_runtime::Diagnostic;

// serde's messages can quote personal data, so these don't include them.
pub(super) const KEY: &str = "the key can't be written as JSON, or is nested too deeply";
pub(super) const PAYLOAD: &str = "the payload to validate can't be written as JSON, or is nested too deeply";
pub(super) const RESPONSE: &str =
    "the body has run, but its response can't be written as JSON; the record stays in progress until its expiry";
pub(super) const STORED: &str =
    "the stored response is of another type: use another key prefix when the type of the response changes";

/// Why there is no response. The messages don't quote the payload.
///
/// As a function's error, its `errorType` is the name in Powertools for Python, such as
/// `IdempotencyAlreadyInProgressError`.
#[derive(Debug)]
#[non_exhaustive]
pub enum IdempotencyError<E = Infallible> {
    /// The body's error.
    ///
    /// Its cause is the [source](Error::source) if it is a [`lambda_runtime::Error`]. For other types, match on the variant
    /// and use the error itself: `E` does not have to implement [`Error`].
    Body(E),
    /// The body is running elsewhere, or was killed there and its record is still in progress.
    AlreadyInProgress,
    /// The key has been used for another payload ([`Call::validate`](super::Call::validate)).
    Validation,
    /// The key is missing and required
    /// ([`Idempotency::raise_on_no_idempotency_key`](super::Idempotency::raise_on_no_idempotency_key)).
    Key,
    /// The record changed repeatedly while it was read.
    InconsistentState,
    /// The table can't be used. If the response could not be saved, the record stays in progress until its expiry.
    #[non_exhaustive]
    PersistenceLayer {
        /// The failed action: `saved as in progress`, `completed` or `deleted`.
        action: &'static str,
        /// The permission that it needs, such as `dynamodb:PutItem`.
        operation: &'static str,
        /// DynamoDB's error code, or `no answer`.
        code: String,
        /// The SDK's error.
        source: Box<aws_sdk_dynamodb::Error>,
    },
    /// An item in the table is not a record of Powertools.
    #[non_exhaustive]
    InvalidRecord(&'static str),
    /// A value can't be converted to or from JSON.
    #[non_exhaustive]
    Serialization(&'static str),
}

impl<E: Display> Display for IdempotencyError<E> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Body(error) => Display::fmt(error, formatter),
            Self::AlreadyInProgress => formatter.write_str("this request is already in progress: try again later"),
            Self::Validation => formatter.write_str(
                "the payload is not that of the earlier request with the same idempotency key: send it with a key of \
                 its own",
            ),
            Self::Key => formatter
                .write_str("there is no idempotency key: send one, or check from which part of the event it is read"),
            Self::InconsistentState => {
                formatter.write_str("the idempotency record changed while it was read: try again")
            }
            Self::PersistenceLayer { action, operation, code, .. } => write!(
                formatter,
                "the idempotency record can't be {action} ({code}): look at the table's name, key and throughput, and \
                 whether the function may call {operation}"
            ),
            Self::InvalidRecord(reason) => write!(
                formatter,
                "the idempotency table has an item with this key that is not a record of Powertools: {reason}"
            ),
            Self::Serialization(reason) => formatter.write_str(reason),
        }
    }
}

impl<E: Debug + Display + 'static> Error for IdempotencyError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            // This error displays the body's error, so its source is that error's cause.
            Self::Body(error) => (error as &dyn Any).downcast_ref::<lambda_runtime::Error>()?.source(),
            Self::PersistenceLayer { source, .. } => Some(&**source),
            _ => None,
        }
    }
}

/// Names the error like Powertools for Python; the body's error keeps its name.
impl<E: Into<Diagnostic> + Display> From<IdempotencyError<E>> for Diagnostic {
    fn from(error: IdempotencyError<E>) -> Self {
        let error_message = error.to_string();
        let name = match error {
            IdempotencyError::Body(error) => return error.into(),
            IdempotencyError::AlreadyInProgress => "AlreadyInProgress",
            IdempotencyError::Validation => "Validation",
            IdempotencyError::Key => "Key",
            IdempotencyError::InconsistentState => "InconsistentState",
            // Python finds an invalid record while it saves its own.
            IdempotencyError::PersistenceLayer { .. } | IdempotencyError::InvalidRecord(_) => "PersistenceLayer",
            IdempotencyError::Serialization(_) => "Serialization",
        };
        Self { error_type: format!("Idempotency{name}Error"), error_message }
    }
}
