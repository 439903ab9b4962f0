//! The ledger: a DynamoDB table with an item for each archive object.

use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::AttributeValue;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::object::{self, Summary, SummaryError};
use crate::store::Archive;

/// Bytes that are read first, from an object's end. The footer of an archive object has a few kilobytes.
const TAIL: usize = 16 * 1024;

const PRECONDITION_FAILED: u16 = 412;

/// The ledger, and the archive that it describes.
#[derive(Clone, Debug)]
pub struct Ledger {
    /// The archive whose objects are in the ledger.
    pub archive: Archive,
    /// The client of DynamoDB.
    pub dynamodb: aws_sdk_dynamodb::Client,
    /// The name of the ledger's DynamoDB table.
    pub name: String,
}

/// An archive object, as S3 describes it.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Object {
    /// Its key in the archive's bucket.
    pub key: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its ETag, without quotes.
    pub etag: String,
}

/// Why an object was not entered into the ledger.
#[derive(Debug, Error)]
pub enum LedgerError {
    /// The key is not that of an archive object.
    #[error("{0} is not the key of an archive object")]
    Key(String),
    /// The object is not an archive object.
    #[error("{key}: {source}")]
    Footer {
        /// The object's key.
        key: String,
        /// Why the footer can't be read.
        source: SummaryError,
    },
    /// Retrying may succeed.
    #[error("S3: {}", aws_sdk_s3::error::DisplayErrorContext(.0))]
    S3(#[from] aws_sdk_s3::Error),
    /// Retrying may succeed.
    #[error("S3 broke off while the footer was read: {0}")]
    Body(#[from] aws_sdk_s3::primitives::ByteStreamError),
    /// Retrying may succeed.
    #[error("DynamoDB: {}", aws_sdk_dynamodb::error::DisplayErrorContext(.0))]
    DynamoDb(#[from] aws_sdk_dynamodb::Error),
}

impl Ledger {
    /// Reads the footer with ranged requests; `None` if the object no longer has this ETag.
    ///
    /// # Errors
    /// If the object is not an archive object, or S3 fails.
    pub async fn read_summary(&self, object: &Object) -> Result<Option<Summary>, LedgerError> {
        let mut tail = TAIL;
        loop {
            let response = self
                .archive
                .s3
                .get_object()
                .bucket(&self.archive.bucket)
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
            match object::read_summary(body, object.size) {
                Ok(summary) => return Ok(Some(summary)),
                Err(SummaryError::NeedsTail(bytes)) if bytes > tail => tail = bytes,
                Err(source) => return Err(LedgerError::Footer { key: object.key.clone(), source }),
            }
        }
    }

    /// Writes the object's item unless the item is from a newer event; returns whether it was written.
    ///
    /// # Errors
    /// If the key is not that of an archive object, or DynamoDB fails.
    pub async fn enter(&self, object: &Object, sequencer: &str, summary: &Summary) -> Result<bool, LedgerError> {
        let dt = self.archive.table.dt(&object.key).ok_or_else(|| LedgerError::Key(object.key.clone()))?;
        let days = summary.days.iter().map(|(date, net)| (date.to_string(), AttributeValue::S(net.to_string())));
        let result = self
            .dynamodb
            .put_item()
            .table_name(&self.name)
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
