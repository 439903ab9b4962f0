use std::any::Any;
use std::convert::Infallible;
use std::error::Error;
use std::fmt::{self, Debug, Display, Formatter};

use lambda_runtime::Diagnostic;

// The errors of serde quote values, which may be personal: only what failed is told.
pub(super) const KEY: &str = "the key can't be written as JSON, or is nested too deeply";
pub(super) const PAYLOAD: &str = "the payload to validate can't be written as JSON, or is nested too deeply";
pub(super) const RESPONSE: &str =
    "the body has run, but its response can't be written as JSON; the record stays in progress until its expiry";
pub(super) const STORED: &str =
    "the stored response is of another type: use another key prefix when the type of the response changes";

/// Why a response could not be had; none of the messages has anything of the payload.
///
/// As a function's error, its `errorType` is the name of Powertools for Python, such as
/// `IdempotencyAlreadyInProgressError`.
#[derive(Debug)]
#[non_exhaustive]
pub enum IdempotencyError<E = Infallible> {
    /// The body's own error.
    ///
    /// Its cause is the [source](Error::source) if it is a [`lambda_runtime::Error`]. Rust can't tell whether another type
    /// has one, as `E` may be a text: match on the variant, and ask the error itself.
    Body(E),
    /// The body is running elsewhere, or was ended there before its record ceases to be in progress.
    AlreadyInProgress,
    /// The key has been used for another payload ([`Call::validate`](super::Call::validate)).
    Validation,
    /// There is no key, and there has to be one
    /// ([`Idempotency::raise_on_no_idempotency_key`](super::Idempotency::raise_on_no_idempotency_key)).
    Key,
    /// The record changed each time that it was looked at.
    InconsistentState,
    /// The table can't be used. When the response could not be saved, the record stays in progress until its expiry.
    #[non_exhaustive]
    PersistenceLayer {
        /// What failed: the record can't be `saved as in progress`, `completed` or `deleted`.
        action: &'static str,
        /// What it takes, such as `dynamodb:PutItem`.
        operation: &'static str,
        /// DynamoDB's code for the error, or `no answer`.
        code: String,
        /// The SDK's error.
        source: Box<aws_sdk_dynamodb::Error>,
    },
    /// A record in the table is not one of Powertools'.
    #[non_exhaustive]
    InvalidRecord(&'static str),
    /// A value can't be written or read as JSON.
    #[non_exhaustive]
    Serialization(&'static str),
}

impl<E: Display> Display for IdempotencyError<E> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Body(error) => Display::fmt(error, formatter),
            Self::AlreadyInProgress => formatter.write_str("this is being done already: try again later"),
            Self::Validation => formatter.write_str(
                "the payload is not that of the earlier request with the same idempotency key: send it with a key of \
                 its own",
            ),
            Self::Key => formatter.write_str(
                "there is no idempotency key: send one, or look whether it is taken from the right part of the event",
            ),
            Self::InconsistentState => {
                formatter.write_str("the idempotency record changed while it was looked at: try again")
            }
            Self::PersistenceLayer { action, operation, code, .. } => write!(
                formatter,
                "the idempotency record can't be {action} ({code}): look at the table's name, key and throughput, and \
                 whether the function may call {operation}"
            ),
            Self::InvalidRecord(reason) => write!(
                formatter,
                "the idempotency table has an item with this key that is no record of Powertools: {reason}"
            ),
            Self::Serialization(reason) => formatter.write_str(reason),
        }
    }
}

impl<E: Debug + Display + 'static> Error for IdempotencyError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            // It is shown as itself, so what comes next is its cause.
            Self::Body(error) => (error as &dyn Any).downcast_ref::<lambda_runtime::Error>()?.source(),
            Self::PersistenceLayer { source, .. } => Some(&**source),
            _ => None,
        }
    }
}

/// Names the error as Powertools for Python does; the body's error keeps its own name.
impl<E: Into<Diagnostic> + Display> From<IdempotencyError<E>> for Diagnostic {
    fn from(error: IdempotencyError<E>) -> Self {
        let error_message = error.to_string();
        let name = match error {
            IdempotencyError::Body(error) => return error.into(),
            IdempotencyError::AlreadyInProgress => "AlreadyInProgress",
            IdempotencyError::Validation => "Validation",
            IdempotencyError::Key => "Key",
            IdempotencyError::InconsistentState => "InconsistentState",
            // Python finds a record invalid while it saves its own.
            IdempotencyError::PersistenceLayer { .. } | IdempotencyError::InvalidRecord(_) => "PersistenceLayer",
            IdempotencyError::Serialization(_) => "Serialization",
        };
        Self { error_type: format!("Idempotency{name}Error"), error_message }
    }
}
