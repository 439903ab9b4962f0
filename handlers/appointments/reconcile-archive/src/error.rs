//! Why an invocation ended without an answer.

use audit_archive::handler::AuditError;
use aws_services::Unavailable;
use chrono::TimeDelta;
use lambda_runtime::Diagnostic;
use parquet::errors::ParquetError;
use thiserror::Error;

/// Only what may succeed later is an [`Unavailable`], which the workflow retries.
#[derive(Debug, Error)]
pub enum ReconcileError {
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    #[error("{0}: put a version that is one back, or delete the object")]
    NotAnArchiveObject(String),
    #[error("{key} can't be read: {source}: put an older version back, or delete the object")]
    Damaged { key: String, source: ParquetError },
    /// Positions only: these files hold images.
    #[error("{key} is not what this run wrote there: line {}, column {}: start another run", .source.line(), .source.column())]
    Unexpected { key: String, source: serde_json::Error },
    #[error("the run {0} has been started since, and repairs what this one found")]
    Superseded(String),
    #[error("a function of an earlier run may still write: grace_seconds has to be at least {}", .0.num_seconds())]
    TooSoon(TimeDelta),
}

impl From<AuditError> for ReconcileError {
    fn from(error: AuditError) -> Self {
        match error {
            AuditError::S3(error) => Unavailable::new("S3", error.to_string()).into(),
            AuditError::Body(error) => Unavailable::new("S3", error.to_string()).into(),
            AuditError::DynamoDb(error) => Unavailable::new("DynamoDB", error.to_string()).into(),
            error @ (AuditError::Key(_) | AuditError::Footer { .. }) => Self::NotAnArchiveObject(error.to_string()),
        }
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
