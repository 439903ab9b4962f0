//! Errors of an invocation.

use archive::{LedgerError, NotARow, WriteError};
use aws_services::Unavailable;
use chrono::TimeDelta;
use lambda_runtime::Diagnostic;
use parquet::errors::ParquetError;
use thiserror::Error;

/// Only [`Unavailable`] can succeed later, so the workflow retries it alone.
#[derive(Debug, Error)]
pub enum ReconcileError {
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    #[error("{0}: restore a version that is an archive object, or delete the object")]
    NotAnArchiveObject(String),
    #[error("{key} can't be read: {source}: restore an older version, or delete the object")]
    Damaged { key: String, source: ParquetError },
    /// Positions only: these files hold images.
    #[error("{key} is not as this reconciliation wrote it: line {}, column {}: start another one", .source.line(), .source.column())]
    Unexpected { key: String, source: serde_json::Error },
    #[error("{key}: an image that this reconciliation wrote can't be archived any more, {source}: start another one")]
    NotARow { key: String, source: NotARow },
    #[error("a later reconciliation, {0}, has started, and archives the missing changes")]
    Superseded(String),
    #[error("a function of an earlier reconciliation may still write: grace_seconds has to be at least {}", .0.num_seconds())]
    TooSoon(TimeDelta),
}

impl From<LedgerError> for ReconcileError {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::S3(error) => Unavailable::new("S3", error.to_string()).into(),
            LedgerError::Body(error) => Unavailable::new("S3", error.to_string()).into(),
            LedgerError::DynamoDb(error) => Unavailable::new("DynamoDB", error.to_string()).into(),
            error @ (LedgerError::Key(_) | LedgerError::Footer { .. }) => Self::NotAnArchiveObject(error.to_string()),
        }
    }
}

impl From<WriteError> for ReconcileError {
    fn from(error: WriteError) -> Self {
        Unavailable::new("S3", error.to_string()).into()
    }
}

impl From<ReconcileError> for Diagnostic {
    fn from(error: ReconcileError) -> Self {
        match error {
            ReconcileError::Unavailable(unavailable) => unavailable.into(),
            error => Self { error_type: "ReconciliationFailed".into(), error_message: error.to_string() },
        }
    }
}
