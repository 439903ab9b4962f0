//! The archive's bucket.

use std::time::Duration;

use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::error::DisplayErrorContext;
use aws_sdk_s3::primitives::ByteStream;
use lambda_runtime::Context;
use parquet::errors::ParquetError;
use powertools::remaining_time;
use serde::Serialize;
use serde_json::value::RawValue;
use thiserror::Error;
use tracing::{info, warn};

use crate::run::Run;
use crate::table::Table;

/// Time kept free at the end of an invocation, so that no call to S3 outlives it: a late write could overwrite a newer
/// one.
const MARGIN: Duration = Duration::from_secs(2);

/// The archive of a table, in S3.
#[derive(Clone, Debug)]
pub struct Archive {
    /// The archived table.
    pub table: &'static Table,
    /// The client of S3.
    pub s3: aws_sdk_s3::Client,
    /// The name of the bucket, which holds archive and quarantine.
    pub bucket: String,
}

/// A record that can never be archived.
#[derive(Debug, Serialize)]
pub struct Quarantined<'a> {
    /// The reason; it can quote personal data.
    pub reason: String,
    /// The record as it was received.
    pub record: &'a RawValue,
}

/// Why an object was not written; retrying may succeed.
#[derive(Debug, Error)]
pub enum WriteError {
    /// The invocation is nearly over.
    #[error("no time left in this invocation")]
    NoTimeLeft,
    /// A run could not be encoded.
    #[error("Parquet: {0}")]
    Parquet(#[from] ParquetError),
    /// Quarantined records could not be encoded.
    #[error("JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// S3 refused the object, or did not answer in time.
    #[error("S3: {}", DisplayErrorContext(.0))]
    PutObject(#[from] aws_sdk_s3::Error),
}

impl Archive {
    /// Writes a run as a Parquet object, before the invocation of this context ends.
    ///
    /// # Errors
    /// If the object may not have been written.
    pub async fn put(&self, run: &Run<'_>, context: &Context) -> Result<(), WriteError> {
        let (key, records) = (run.key(self.table), run.len());
        let bytes = self.write(&key, "application/vnd.apache.parquet", run.encode(self.table)?, context).await?;
        info!(key, records, bytes, "run archived");
        Ok(())
    }

    /// The key of an object with records that can never be archived.
    pub fn quarantine_key(&self, name: &str) -> String {
        format!("{}{name}.json", self.table.quarantine_prefix())
    }

    /// Writes records that can never be archived, before the invocation of this context ends.
    ///
    /// # Errors
    /// If the object may not have been written.
    pub async fn quarantine(
        &self,
        name: &str,
        records: &[Quarantined<'_>],
        context: &Context,
    ) -> Result<(), WriteError> {
        let key = self.quarantine_key(name);
        let bytes = self.write(&key, "application/json", serde_json::to_vec(records)?, context).await?;
        // The reasons are in the object: they can quote personal data.
        warn!(key, records = records.len(), bytes, "records quarantined");
        Ok(())
    }

    /// The number of bytes written.
    async fn write(
        &self,
        key: &str,
        content_type: &str,
        body: Vec<u8>,
        context: &Context,
    ) -> Result<usize, WriteError> {
        let bytes = body.len();
        let time_left = remaining_time(context).checked_sub(MARGIN).ok_or(WriteError::NoTimeLeft)?;
        let timeout = TimeoutConfig::builder().operation_timeout(time_left).build();
        self.s3
            .put_object()
            .bucket(&self.bucket)
            .key(key)
            .content_type(content_type)
            .body(ByteStream::from(body))
            .customize()
            .config_override(aws_sdk_s3::config::Builder::new().timeout_config(timeout))
            .send()
            .await
            .map_err(aws_sdk_s3::Error::from)?;
        Ok(bytes)
    }
}
