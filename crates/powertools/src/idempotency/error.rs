use std::convert::Infallible;
use std::fmt::Display;

use lambda_runtime::Diagnostic;
use thiserror::Error;

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
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum IdempotencyError<E = Infallible> {
    /// The body's own error.
    #[error("{0}")]
    Body(E),
    /// The body is running elsewhere, or was ended there before its record ceases to be in progress.
    #[error("this is being done already: try again later")]
    AlreadyInProgress,
    /// The key has been used for another payload ([`Call::validate`](super::Call::validate)).
    #[error(
        "the payload is not that of the earlier request with the same idempotency key: send it with a key of its own"
    )]
    Validation,
    /// There is no key, and there has to be one
    /// ([`Idempotency::raise_on_no_idempotency_key`](super::Idempotency::raise_on_no_idempotency_key)).
    #[error("there is no idempotency key: send one, or look whether it is taken from the right part of the event")]
    Key,
    /// The record changed each time that it was looked at.
    #[error("the idempotency record changed while it was looked at: try again")]
    InconsistentState,
    /// The table can't be used. When the response could not be saved, the record stays in progress until its expiry.
    #[error(
        "the idempotency record can't be {action} ({code}): look at the table's name, key and throughput, and \
             whether the function may call {operation}"
    )]
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
    #[error("the idempotency table has an item with this key that is no record of Powertools: {0}")]
    InvalidRecord(&'static str),
    /// A value can't be written or read as JSON.
    #[error("{0}")]
    Serialization(&'static str),
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
            IdempotencyError::PersistenceLayer { .. } => "PersistenceLayer",
            IdempotencyError::InvalidRecord(_) => "InvalidStatus",
            IdempotencyError::Serialization(_) => "Serialization",
        };
        Self { error_type: format!("Idempotency{name}Error"), error_message }
    }
}
