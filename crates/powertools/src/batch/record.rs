use std::any::type_name;
use std::collections::HashMap;
use std::fmt::{self, Debug, Formatter};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::error::Category;
use serde_json::value::RawValue;
use thiserror::Error;

/// A batch from an SQS queue, a Kinesis data stream or a DynamoDB stream, with unparsed records.
///
/// Only the list `Records` is required, so that one invalid record does not affect the others. It can be empty, for example
/// at the end of a tumbling window.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
pub struct BatchEvent {
    /// In the order of the event. For a stream, and within a group of a FIFO queue, this is the order of writing.
    #[serde(rename = "Records")]
    pub records: Vec<Record>,
}

/// One record of a batch, as unparsed JSON.
///
/// Its `Debug` form shows only the identifier, because records can contain personal data.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct Record(Box<RawValue>);

impl Record {
    /// The record's identifier in a response: the message id (SQS) or the sequence number (streams).
    ///
    /// `None` if it is missing or empty. Each call parses the record.
    pub fn identifier(&self) -> Option<String> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Identifiers {
            message_id: Option<String>,
            kinesis: Option<Position>,
            dynamodb: Option<Position>,
        }
        #[derive(Deserialize)]
        struct Position {
            #[serde(rename = "sequenceNumber", alias = "SequenceNumber")]
            sequence_number: Option<String>,
        }
        let Identifiers { message_id, kinesis, dynamodb } = self.parse().ok()?;
        message_id.or_else(|| kinesis.or(dynamodb)?.sequence_number).filter(|identifier| !identifier.is_empty())
    }

    /// The record's JSON text.
    pub fn raw(&self) -> &RawValue {
        &self.0
    }

    /// Parses the record as a type, e.g. `aws_lambda_events::sqs::SqsMessage` or your own, which can borrow from the
    /// record.
    pub fn parse<'a, R: Deserialize<'a>>(&'a self) -> Result<R, InvalidRecord> {
        serde_json::from_str(self.0.get()).map_err(|reason| InvalidRecord { expected: type_name::<R>(), reason })
    }

    /// The `SentTimestamp` of an SQS message, in milliseconds since 1970.
    fn sent_at(&self) -> Option<SystemTime> {
        let milliseconds = self.attribute("SentTimestamp")?.parse().ok()?;
        UNIX_EPOCH.checked_add(Duration::from_millis(milliseconds))
    }

    /// The message group of an SQS FIFO queue.
    pub(super) fn message_group_id(&self) -> Option<String> {
        self.attribute("MessageGroupId").filter(|group| !group.is_empty())
    }

    /// The needed attributes of an SQS message.
    fn attribute(&self, name: &str) -> Option<String> {
        #[derive(Deserialize)]
        struct Message {
            attributes: HashMap<String, String>,
        }
        let mut message: Message = self.parse().ok()?;
        message.attributes.remove(name)
    }
}

impl From<&RawValue> for Record {
    fn from(json: &RawValue) -> Self {
        Self(json.to_owned())
    }
}

impl Debug for Record {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Record").field("identifier", &self.identifier()).finish_non_exhaustive()
    }
}

/// A record does not have the expected type.
///
/// The message has the position of the error and does not quote the record, so it is safe to log. The full reason is the
/// [source](std::error::Error::source).
#[derive(Debug, Error)]
#[error(
    "the record can't be read as {expected}: {} at line {} column {} of it",
    match .reason.classify() {
        Category::Data => "unexpected or missing data",
        _ => "bad JSON",
    },
    .reason.line(),
    .reason.column()
)]
pub struct InvalidRecord {
    expected: &'static str,
    #[source]
    reason: serde_json::Error,
}

/// The response to a batch if the mapping has `ReportBatchItemFailures`: the records to retry.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct BatchResponse {
    /// Empty if all records succeeded. A queue retries only these; a stream restarts at the first of them.
    pub batch_item_failures: Vec<BatchItemFailure>,
    /// The `state` in the next invocation's event. A mapping with a tumbling window needs it in each response, even if
    /// nothing has failed: Lambda treats a response without it as a failed invocation. It can have up to 1 MB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<Value>,
}

/// One failed record.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct BatchItemFailure {
    /// If it is `None`, Lambda retries the whole batch.
    pub item_identifier: Option<String>,
}

impl BatchResponse {
    /// Reports a record as failed.
    ///
    /// If the record has no identifier, Lambda retries the whole batch.
    pub fn add_failure(&mut self, record: &Record) {
        self.batch_item_failures.push(BatchItemFailure { item_identifier: record.identifier() });
    }

    /// The age of the oldest failed message of a queue; `None` if no message failed, or no failed message has a timestamp.
    ///
    /// Put an alarm on it: SQS's own metric of age excludes messages that were received three times or more.
    pub fn oldest_failure(&self, records: &[Record]) -> Option<Duration> {
        let failed: Vec<Option<&str>> =
            self.batch_item_failures.iter().map(|failure| failure.item_identifier.as_deref()).collect();
        // Without an identifier, Lambda delivers the whole batch again.
        let comes_again = |record: &&Record| failed.contains(&None) || failed.contains(&record.identifier().as_deref());
        let oldest = records.iter().filter(comes_again).filter_map(Record::sent_at).min()?;
        // Zero if this clock is behind that of SQS.
        Some(SystemTime::now().duration_since(oldest).unwrap_or_default())
    }
}
