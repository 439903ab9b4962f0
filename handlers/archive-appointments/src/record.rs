//! One record of a stream batch, taken apart on its own so that a bad one can't fail its neighbours.

use appointments::archive::Change;
use aws_lambda_events::dynamodb::OperationType;
use chrono::{DateTime, NaiveDate};
use serde::Deserialize;
use serde_json::value::RawValue;
use thiserror::Error;

/// A record, with the change that it holds or the reason why it will never be archived.
#[derive(Debug)]
pub struct Record {
    pub content: Result<Change, Unarchivable>,
    pub record: powertools::batch::Record,
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
    #[serde(rename = "eventSource")]
    event_source: String,
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

impl Record {
    pub fn parse(record: powertools::batch::Record) -> Self {
        Self { content: parse_change(record.raw().get()), record }
    }

    /// What names a change, as far as it can be read from a record that is otherwise bad.
    pub fn event_id(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct Event {
            #[serde(rename = "eventID")]
            event_id: Option<String>,
        }
        self.record.parse::<Event>().ok()?.event_id
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
        event_source: record.event_source,
        event_name: record.event_name.to_string(),
        sequence_number,
        event_time,
        appointment: serde_dynamo::from_item(item).map_err(Unarchivable::NotAnAppointment)?,
        new_image: new_image.map(|image| image.get().to_owned()),
        old_image: old_image.map(|image| image.get().to_owned()),
    })
}
