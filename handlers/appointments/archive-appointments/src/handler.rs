//! From a batch of the stream to objects in the archive.

use std::time::Duration;

use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::error::DisplayErrorContext;
use aws_sdk_s3::primitives::ByteStream;
use lambda_runtime::{Context, Error, LambdaEvent};
use powertools::batch::{BatchEvent, BatchResponse};
use powertools::metrics::{Metrics, Unit};
use powertools::remaining_time;
use thiserror::Error;
use tracing::{error, info, warn};

use crate::record::Record;
use crate::run::{self, EncodeError, Run};

/// Kept free at the end of an invocation, so that no call to S3 outlives it: a late write could overwrite a newer one.
const MARGIN: Duration = Duration::from_secs(2);

/// Where the archive is.
#[derive(Debug)]
pub struct Archive {
    pub s3: aws_sdk_s3::Client,
    pub bucket: String,
    pub metrics: Metrics,
}

#[derive(Debug, Error)]
enum WriteError {
    #[error("no time left in this invocation")]
    NoTimeLeft,
    #[error(transparent)]
    Encode(#[from] EncodeError),
    #[error("S3: {}", DisplayErrorContext(.0))]
    PutObject(#[from] aws_sdk_s3::Error),
}

/// Archives a batch, run by run, and reports the first record of the first run that could not be written.
///
/// The stream mapping takes that record for its checkpoint: what lies before it is done, and a retry starts there.
pub async fn handle(archive: &Archive, event: LambdaEvent<BatchEvent>) -> Result<BatchResponse, Error> {
    let (BatchEvent { records, .. }, context) = event.into_parts();
    let records: Vec<Record> = records.iter().map(Record::parse).collect();
    let (mut archived, mut quarantined) = (0, 0);
    let mut response = BatchResponse::default();
    for run in run::split(&records) {
        let count = run.records().len();
        if let Err(error) = archive.write(run, &context).await {
            error!(%error, key = run.object_key(), records = count, "run not written; it will be retried");
            response.add_failure(run.first().record);
            break;
        }
        match run.is_quarantine() {
            true => quarantined += count,
            false => archived += count,
        }
    }
    archive.metrics.add("ArchivedRecords", Unit::Count, archived as f64);
    archive.metrics.add("QuarantinedRecords", Unit::Count, quarantined as f64);
    Ok(response)
}

impl Archive {
    async fn write(&self, run: Run<'_>, context: &Context) -> Result<(), WriteError> {
        let object = run.to_object()?;
        let bytes = object.body.len();
        let time_left = remaining_time(context).checked_sub(MARGIN).ok_or(WriteError::NoTimeLeft)?;
        let timeout = TimeoutConfig::builder().operation_timeout(time_left).build();
        self.s3
            .put_object()
            .bucket(&self.bucket)
            .key(&object.key)
            .content_type(object.content_type)
            .body(ByteStream::from(object.body))
            .customize()
            .config_override(aws_sdk_s3::config::Builder::new().timeout_config(timeout))
            .send()
            .await
            .map_err(aws_sdk_s3::Error::from)?;
        let records = run.records().len();
        match run.is_quarantine() {
            // The reasons are in the object: they can quote personal data.
            true => warn!(key = object.key, records, bytes, "records quarantined"),
            false => info!(key = object.key, records, bytes, "run archived"),
        }
        Ok(())
    }
}
