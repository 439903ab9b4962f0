//! From a batch of the stream to objects in the archive.

use std::time::{Duration, SystemTime};

use aws_lambda_events::event::streams::{DynamoDbBatchItemFailure, DynamoDbEventResponse};
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::error::DisplayErrorContext;
use aws_sdk_s3::primitives::ByteStream;
use lambda_runtime::tracing::{error, info, warn};
use lambda_runtime::{Context, Error, LambdaEvent};
use thiserror::Error;

use crate::metrics::Counts;
use crate::record::{Record, StreamEvent};
use crate::run::{self, EncodeError, Run};

/// Kept free at the end of an invocation, so that no call to S3 outlives it: a late write could overwrite a newer one.
const MARGIN: Duration = Duration::from_secs(2);

const MILLISECONDS_PER_DAY: u64 = 24 * 60 * 60 * 1000;

/// Where the archive is.
#[derive(Debug)]
pub struct Archive {
    pub s3: aws_sdk_s3::Client,
    pub bucket: String,
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
pub async fn handle(archive: &Archive, event: LambdaEvent<StreamEvent>) -> Result<DynamoDbEventResponse, Error> {
    let (StreamEvent { records }, context) = event.into_parts();
    let records: Vec<Record> = records.into_iter().map(Record::parse).collect();
    let deadline = deadline(&context) - MARGIN;
    let mut counts = Counts::default();
    let mut response = DynamoDbEventResponse::default();
    for run in run::split(&records) {
        if let Err(error) = archive.write(run, deadline).await {
            error!(%error, key = run.object_key(), records = run.records().len(), "run not written; it will be retried");
            response.batch_item_failures.push(failure(run.first()));
            break;
        }
        match run.is_quarantine() {
            true => counts.quarantined_records += run.records().len(),
            false => counts.archived_records += run.records().len(),
        }
    }
    counts.emit(&context.env_config.function_name);
    Ok(response)
}

fn deadline(context: &Context) -> SystemTime {
    // Where Lambda gives a time, `cargo lambda watch` gives a duration: ten minutes, in 1970.
    if context.deadline < MILLISECONDS_PER_DAY {
        return SystemTime::now() + Duration::from_millis(context.deadline);
    }
    context.deadline()
}

impl Archive {
    async fn write(&self, run: Run<'_>, deadline: SystemTime) -> Result<(), WriteError> {
        let object = run.to_object()?;
        let bytes = object.body.len();
        let time_left = deadline.duration_since(SystemTime::now()).map_err(|_| WriteError::NoTimeLeft)?;
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

/// A record without a sequence number gives a null identifier, on which the mapping retries the whole batch.
fn failure(record: &Record) -> DynamoDbBatchItemFailure {
    let mut failure = DynamoDbBatchItemFailure::default();
    failure.item_identifier.clone_from(&record.identity.sequence_number);
    failure
}
