//! One record of a stream batch. Each record is parsed alone, so that a bad one can't fail its neighbours.

use std::borrow::Cow;

use chrono::{DateTime, Datelike, NaiveDate};
use serde::Deserialize;
use thiserror::Error;

use crate::item::Item;
use crate::row::{Event, NotARow, Row};
use crate::table::Table;

/// Years in which DynamoDB can have recorded a change; the first is the year of its release. A partition of another
/// year, e.g. from a time in milliseconds, would change the type of `dt` for readers of the whole archive.
const FIRST_YEAR: i32 = 2012;
const LAST_YEAR: i32 = 2100;

/// Maximum length of an event id, in characters. DynamoDB's have 32; an object's key of at most 1,024 bytes has to hold
/// one.
const LONGEST_EVENT_ID: usize = 100;

/// Maximum length of a sequence number, in digits:
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_StreamRecord.html>
const LONGEST_SEQUENCE_NUMBER: usize = 40;

/// A record, with its row or the reason why it can never be archived.
#[derive(Debug)]
pub struct Record<'a> {
    pub content: Result<Row<'a>, Unarchivable>,
    /// Sequence number and event id of a record that goes to quarantine, if they can be read.
    pub name: Option<String>,
    pub record: &'a powertools::batch::Record,
}

/// Why a record can never be archived.
#[derive(Debug, Error)]
pub enum Unarchivable {
    #[error("not a record of a DynamoDB stream: {0}")]
    NotAStreamRecord(serde_json::Error),
    #[error("sequence number and event id don't name a change")]
    Nameless,
    #[error("creation time {0} is not in seconds of the years {FIRST_YEAR} to {LAST_YEAR}")]
    TimeOutOfRange(f64),
    #[error(transparent)]
    NotARow(#[from] NotARow),
}

/// Unlike `aws_lambda_events::dynamodb::EventRecord`, this refuses a record without a creation time (there it becomes
/// 1970), and ignores what the archive doesn't need.
#[derive(Deserialize)]
struct StreamRecord<'a> {
    #[serde(borrow, rename = "eventID")]
    event_id: Cow<'a, str>,
    #[serde(rename = "eventName")]
    event_name: EventName,
    #[serde(borrow, rename = "eventSource")]
    event_source: Cow<'a, str>,
    #[serde(borrow)]
    dynamodb: StreamRecordChange<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct StreamRecordChange<'a> {
    approximate_creation_date_time: f64,
    #[serde(borrow)]
    sequence_number: Cow<'a, str>,
    #[serde(borrow)]
    new_image: Option<Item<'a>>,
    #[serde(borrow)]
    old_image: Option<Item<'a>>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum EventName {
    Insert,
    Modify,
    Remove,
}

impl EventName {
    fn as_str(self) -> &'static str {
        match self {
            Self::Insert => "INSERT",
            Self::Modify => "MODIFY",
            Self::Remove => "REMOVE",
        }
    }
}

impl<'a> Record<'a> {
    pub fn parse(table: &Table, record: &'a powertools::batch::Record) -> Self {
        let content = parse_row(table, record.raw().get());
        let name = if content.is_err() { name(record) } else { None };
        Self { content, name, record }
    }

    /// Whether it goes to quarantine and its change can't be identified.
    pub fn is_nameless(&self) -> bool {
        self.content.is_err() && self.name.is_none()
    }

    /// The archive's partition; `None` for a record that goes to quarantine.
    pub fn dt(&self) -> Option<NaiveDate> {
        self.content.as_ref().ok().map(|row| row.change.event.dt())
    }
}

/// Sequence number and event id.
fn name(record: &powertools::batch::Record) -> Option<String> {
    #[derive(Deserialize)]
    struct Event {
        #[serde(rename = "eventID")]
        event_id: Option<String>,
    }
    let (sequence_number, event_id) = (record.identifier()?, record.parse::<Event>().ok()?.event_id?);
    is_name(&sequence_number, &event_id).then(|| format!("{sequence_number}-{event_id}"))
}

/// Whether it can name an object, and readers can sort by its number.
fn is_name(sequence_number: &str, event_id: &str) -> bool {
    let is_number = sequence_number.bytes().all(|byte| byte.is_ascii_digit());
    let is_id = event_id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    (1..=LONGEST_SEQUENCE_NUMBER).contains(&sequence_number.len())
        && (1..=LONGEST_EVENT_ID).contains(&event_id.len())
        && is_number
        && is_id
}

fn parse_row<'a>(table: &Table, raw: &'a str) -> Result<Row<'a>, Unarchivable> {
    let record: StreamRecord = serde_json::from_str(raw).map_err(Unarchivable::NotAStreamRecord)?;
    let StreamRecordChange { approximate_creation_date_time: seconds, sequence_number, new_image, old_image } =
        record.dynamodb;
    if !is_name(&sequence_number, &record.event_id) {
        return Err(Unarchivable::Nameless);
    }
    let time = DateTime::from_timestamp_millis((seconds * 1000.0).round() as i64)
        .filter(|time| (FIRST_YEAR..=LAST_YEAR).contains(&time.year()))
        .ok_or(Unarchivable::TimeOutOfRange(seconds))?;
    let event = Event {
        id: record.event_id,
        source: record.event_source,
        name: record.event_name.as_str().into(),
        sequence_number,
        time,
    };
    Ok(Row::new(table, event, old_image, new_image)?)
}
