//! One record of a stream batch, taken apart on its own so that a bad one can't fail its neighbours.

use appointments::archive::Change;
use aws_lambda_events::dynamodb::OperationType;
use chrono::{DateTime, NaiveDate};
use serde::Deserialize;
use serde_json::value::RawValue;
use thiserror::Error;

/// A batch as the stream mapping sends it, its records unread.
#[derive(Debug, Deserialize)]
pub struct StreamEvent {
    #[serde(rename = "Records")]
    pub records: Vec<Box<RawValue>>,
}

/// A record, with the change that it holds or the reason why it will never be archived.
#[derive(Debug)]
pub struct Record {
    pub identity: Identity,
    pub content: Result<Change, Unarchivable>,
    pub raw: Box<RawValue>,
}

/// What names a record, as far as it can be read from one that is otherwise bad.
#[derive(Debug, Default, Deserialize)]
#[serde(from = "IdentityFields")]
pub struct Identity {
    pub event_id: Option<String>,
    pub sequence_number: Option<String>,
}

/// Why a record can never be archived, however often it is tried.
#[derive(Debug, Error)]
pub enum Unarchivable {
    #[error("not a record of a DynamoDB stream: {0}")]
    NotAStreamRecord(serde_json::Error),
    #[error("creation time {0} is not a date")]
    TimeOutOfRange(f64),
    #[error("no image of the item: the stream's view type has to be NEW_AND_OLD_IMAGES")]
    NoImage,
    #[error("not an item: {0}")]
    NotAnItem(serde_json::Error),
    #[error("not an appointment: {0}")]
    NotAnAppointment(serde_dynamo::Error),
}

/// Unlike `aws_lambda_events::dynamodb::EventRecord`, this refuses a record without a creation time (there it becomes
/// 1970), ignores what the archive doesn't need, and keeps the text of the images.
#[derive(Deserialize)]
struct StreamRecord<'a> {
    #[serde(rename = "eventID")]
    event_id: String,
    #[serde(rename = "eventName")]
    event_name: OperationType,
    #[serde(borrow)]
    dynamodb: StreamRecordChange<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct StreamRecordChange<'a> {
    approximate_creation_date_time: f64,
    sequence_number: String,
    #[serde(borrow)]
    new_image: Option<&'a RawValue>,
    #[serde(borrow)]
    old_image: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct IdentityFields {
    #[serde(rename = "eventID")]
    event_id: Option<String>,
    dynamodb: Option<SequenceNumberField>,
}

#[derive(Deserialize)]
struct SequenceNumberField {
    #[serde(rename = "SequenceNumber")]
    sequence_number: Option<String>,
}

impl From<IdentityFields> for Identity {
    fn from(fields: IdentityFields) -> Self {
        Self { event_id: fields.event_id, sequence_number: fields.dynamodb.and_then(|change| change.sequence_number) }
    }
}

impl Record {
    pub fn parse(raw: Box<RawValue>) -> Self {
        let content = parse_change(raw.get());
        let identity = match &content {
            Ok(change) => Identity {
                event_id: Some(change.event_id.clone()),
                sequence_number: Some(change.sequence_number.clone()),
            },
            Err(_) => serde_json::from_str(raw.get()).unwrap_or_default(),
        };
        Self { identity, content, raw }
    }

    /// The archive's partition, or `None` for a record that goes to quarantine.
    pub fn dt(&self) -> Option<NaiveDate> {
        self.content.as_ref().ok().map(Change::dt)
    }
}

fn parse_change(raw: &str) -> Result<Change, Unarchivable> {
    let record: StreamRecord = serde_json::from_str(raw).map_err(Unarchivable::NotAStreamRecord)?;
    let StreamRecordChange { approximate_creation_date_time: seconds, sequence_number, new_image, old_image } =
        record.dynamodb;
    let event_time = DateTime::from_timestamp_millis((seconds * 1000.0).round() as i64)
        .ok_or(Unarchivable::TimeOutOfRange(seconds))?;
    let image = new_image.or(old_image).ok_or(Unarchivable::NoImage)?;
    let item: serde_dynamo::Item = serde_json::from_str(image.get()).map_err(Unarchivable::NotAnItem)?;
    Ok(Change {
        event_id: record.event_id,
        event_name: record.event_name.to_string(),
        sequence_number,
        event_time,
        appointment: serde_dynamo::from_item(item).map_err(Unarchivable::NotAnAppointment)?,
        new_image: new_image.map(|image| image.get().to_owned()),
        old_image: old_image.map(|image| image.get().to_owned()),
    })
}
