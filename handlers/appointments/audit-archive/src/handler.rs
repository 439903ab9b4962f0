//! From an archive object's footer to its row in the ledger.

use appointments::archive::{self, Summary, SummaryError};
use aws_lambda_events::eventbridge::EventBridgeEvent;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::AttributeValue;
use lambda_runtime::{Error, LambdaEvent};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tracing::info;

/// Bytes of an object's end that are read at first; the footer of an archive object is a few kilobytes.
const TAIL: usize = 16 * 1024;

const PRECONDITION_FAILED: u16 = 412;

/// The ledger, and the archive that it describes.
#[derive(Debug)]
pub struct Ledger {
    pub dynamodb: aws_sdk_dynamodb::Client,
    pub s3: aws_sdk_s3::Client,
    /// The bucket that the archive is in.
    pub bucket: String,
    /// The table that the ledger is in.
    pub table: String,
}

/// The detail of an `Object Created` event, as far as it is needed.
#[derive(Debug, Deserialize, Serialize)]
pub struct ObjectCreated {
    object: CreatedObject,
}

#[derive(Debug, Deserialize, Serialize)]
struct CreatedObject {
    #[serde(flatten)]
    object: Object,
    /// Orders the events of one key: a hexadecimal number, compared from the left.
    sequencer: String,
}

/// An archive object, as S3 tells of it.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Object {
    pub key: String,
    pub size: u64,
    /// Without quotes.
    pub etag: String,
}

/// Why an object could not be entered. The event is then retried, and at last sent to the failure destination.
#[derive(Debug, Error)]
pub enum AuditError {
    #[error("{0} is not the key of an archive object")]
    Key(String),
    #[error("{key}: {source}")]
    Footer { key: String, source: SummaryError },
    #[error("S3: {}", aws_sdk_s3::error::DisplayErrorContext(.0))]
    S3(#[from] aws_sdk_s3::Error),
    #[error("S3 broke off while the footer was read: {0}")]
    Body(#[from] aws_sdk_s3::primitives::ByteStreamError),
    #[error("DynamoDB: {}", aws_sdk_dynamodb::error::DisplayErrorContext(.0))]
    DynamoDb(#[from] aws_sdk_dynamodb::Error),
}

/// Enters the object that the event announces. Repeated and overtaken events change nothing.
pub async fn handle(ledger: &Ledger, event: LambdaEvent<EventBridgeEvent<ObjectCreated>>) -> Result<(), Error> {
    let ObjectCreated { object: CreatedObject { object, sequencer } } = event.payload.detail;
    let Some(summary) = ledger.read_summary(&object).await? else {
        info!(key = object.key, "object has been overwritten; its newer event enters it");
        return Ok(());
    };
    // To be compared as numbers, sequencers have to be of one length, padded on the right.
    let sequencer = format!("{sequencer:0<32}");
    match ledger.enter(&object, &sequencer, &summary).await? {
        true => info!(key = object.key, "object entered"),
        false => info!(key = object.key, "ledger is newer than this event"),
    }
    Ok(())
}

impl Ledger {
    /// Reads the footer with ranged requests; `None` when the object is no longer the one that the event announced.
    pub async fn read_summary(&self, object: &Object) -> Result<Option<Summary>, AuditError> {
        let mut tail = TAIL;
        loop {
            let response = self
                .s3
                .get_object()
                .bucket(&self.bucket)
                .key(&object.key)
                .if_match(&object.etag)
                .range(format!("bytes=-{tail}"))
                .send()
                .await;
            let body = match response {
                Ok(output) => output.body.collect().await?.into_bytes(),
                Err(error) if error.raw_response().is_some_and(|r| r.status().as_u16() == PRECONDITION_FAILED) => {
                    return Ok(None);
                }
                Err(error) => return Err(aws_sdk_s3::Error::from(error).into()),
            };
            match archive::read_summary(body, object.size) {
                Ok(summary) => return Ok(Some(summary)),
                Err(SummaryError::NeedsTail(bytes)) if bytes > tail => tail = bytes,
                Err(source) => return Err(AuditError::Footer { key: object.key.clone(), source }),
            }
        }
    }

    /// Writes the row unless it already holds a newer event.
    pub async fn enter(&self, object: &Object, sequencer: &str, summary: &Summary) -> Result<bool, AuditError> {
        let dt = archive::dt(&object.key).ok_or_else(|| AuditError::Key(object.key.clone()))?;
        let days = summary.days.iter().map(|(date, net)| (date.to_string(), AttributeValue::S(net.to_string())));
        let result = self
            .dynamodb
            .put_item()
            .table_name(&self.table)
            .item("dt", AttributeValue::S(dt.to_string()))
            .item("object_key", AttributeValue::S(object.key.clone()))
            .item("sequencer", AttributeValue::S(sequencer.into()))
            .item("row_count", AttributeValue::N(summary.rows.to_string()))
            .item("first_sequence_number", AttributeValue::S(summary.first_sequence_number.clone()))
            .item("last_sequence_number", AttributeValue::S(summary.last_sequence_number.clone()))
            .item("size_bytes", AttributeValue::N(object.size.to_string()))
            .item("etag", AttributeValue::S(object.etag.clone()))
            .item("days", AttributeValue::M(days.collect()))
            .condition_expression("attribute_not_exists(sequencer) OR sequencer <= :sequencer")
            .expression_attribute_values(":sequencer", AttributeValue::S(sequencer.into()))
            .send()
            .await;
        match result {
            Ok(_) => Ok(true),
            Err(error) if error.as_service_error().is_some_and(PutItemError::is_conditional_check_failed_exception) => {
                Ok(false)
            }
            Err(error) => Err(aws_sdk_dynamodb::Error::from(error).into()),
        }
    }
}
