use std::any::type_name;
use std::collections::HashMap;
use std::fmt::{self, Debug, Formatter};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::error::Category;
use serde_json::value::RawValue;
use thiserror::Error;

/// A batch as Lambda sends it from an SQS queue, a Kinesis data stream or a DynamoDB stream, its records unread.
///
/// Only the list `Records` has to be there, so that nothing in one record can fail its neighbours. It may be empty, as
/// it can be at the end of a tumbling window.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
pub struct BatchEvent {
    /// In the order of the event: for a stream and within a group of a FIFO queue, the order in which they were written.
    #[serde(rename = "Records")]
    pub records: Vec<Record>,
}

/// One record of a batch, as JSON that nobody has read yet.
///
/// Its `Debug` form shows the identifier only: records hold what must not be in a log.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct Record(Box<RawValue>);

impl Record {
    /// What a response calls this record: the message id (SQS) or the sequence number (streams).
    ///
    /// `None` where a record has none, or an empty one. It is read from the record's text at each call.
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

    /// The record's own text.
    pub fn raw(&self) -> &RawValue {
        &self.0
    }

    /// Reads the record as a type that describes it, e.g. `aws_lambda_events::sqs::SqsMessage` or your own, which may
    /// borrow from the record.
    pub fn parse<'a, R: Deserialize<'a>>(&'a self) -> Result<R, InvalidRecord> {
        serde_json::from_str(self.0.get()).map_err(|reason| InvalidRecord { expected: type_name::<R>(), reason })
    }

    /// When an SQS message was sent, in milliseconds of `SentTimestamp`.
    fn sent_at(&self) -> Option<SystemTime> {
        let milliseconds = self.attribute("SentTimestamp")?.parse().ok()?;
        UNIX_EPOCH.checked_add(Duration::from_millis(milliseconds))
    }

    /// The group within which an SQS queue keeps its order.
    pub(super) fn message_group_id(&self) -> Option<String> {
        self.attribute("MessageGroupId").filter(|group| !group.is_empty())
    }

    /// What SQS says of a message.
    fn attribute(&self, name: &str) -> Option<String> {
        #[derive(Deserialize)]
        struct Message {
            attributes: HashMap<String, String>,
        }
        let mut message: Message = self.parse().ok()?;
        message.attributes.remove(name)
    }
}

impl Debug for Record {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Record").field("identifier", &self.identifier()).finish_non_exhaustive()
    }
}

/// A record is not what it was read as.
///
/// The message says where the record deviates, but quotes nothing of it, so that it may be logged. The whole reason is
/// the [source](std::error::Error::source).
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

/// What a function answers to a batch when its mapping has `ReportBatchItemFailures`: the records to be retried.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct BatchResponse {
    /// Empty when all went well. A queue retries just these; a stream starts again at the first of them.
    pub batch_item_failures: Vec<BatchItemFailure>,
    /// What the next invocation gets as its event's `state`. A mapping with a tumbling window needs it in each answer,
    /// also when nothing has failed: Lambda takes an answer without it for a failed invocation. It may have 1 MB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<Value>,
}

/// One failed record.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct BatchItemFailure {
    /// Without one, Lambda retries the whole batch.
    pub item_identifier: Option<String>,
}

impl BatchResponse {
    /// Reports a record as failed.
    ///
    /// A record without an identifier can't be told from others: reporting it makes Lambda retry the whole batch.
    pub fn add_failure(&mut self, record: &Record) {
        self.batch_item_failures.push(BatchItemFailure { item_identifier: record.identifier() });
    }

    /// How long ago the oldest of the failed messages of a queue was sent; `None` when none failed, or when none of them
    /// says when.
    ///
    /// It is worth an alarm: SQS's own metric of age leaves out messages that were received three times or more.
    pub fn oldest_failure(&self, records: &[Record]) -> Option<Duration> {
        let failed: Vec<Option<&str>> =
            self.batch_item_failures.iter().map(|failure| failure.item_identifier.as_deref()).collect();
        // Without an identifier, all of the batch comes again.
        let comes_again = |record: &&Record| failed.contains(&None) || failed.contains(&record.identifier().as_deref());
        let oldest = records.iter().filter(comes_again).filter_map(Record::sent_at).min()?;
        // A clock that is behind SQS's makes it zero.
        Some(SystemTime::now().duration_since(oldest).unwrap_or_default())
    }
}
