//! The records of a batch of a stream.

use std::borrow::Cow;
use std::fmt::{self, Formatter};

use chrono::{DateTime, Datelike};
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
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

/// The field of an event that has its records.
const RECORDS: &str = "Records";

/// A record's row, or the reason why it can never be archived.
pub type Record<'a> = Result<Row<'a>, Unarchivable>;

/// A record that can never be archived.
#[derive(Debug)]
pub struct Unarchivable {
    pub reason: Reason,
    /// Sequence number and event id, if they can be read. Without them, its change can't be identified.
    pub name: Option<String>,
    pub record: powertools::batch::Record,
}

/// Why a record can never be archived.
#[derive(Debug, Error)]
pub enum Reason {
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

/// The records of an event.
///
/// # Errors
/// If the event is not a batch.
pub fn read<'a>(table: &Table, event: &'a str) -> serde_json::Result<Vec<Record<'a>>> {
    // Mostly all can be archived, and one pass is enough. Otherwise each is read alone, so that a bad one can't fail its
    // neighbours, and its text is kept.
    let mut reader = serde_json::Deserializer::from_str(event);
    if let Ok(rows) = reader.deserialize_map(BatchOfRows(table))
        && reader.end().is_ok()
    {
        return Ok(rows);
    }
    #[derive(Deserialize)]
    struct Batch<'a> {
        #[serde(borrow, rename = "Records")]
        records: Vec<&'a RawValue>,
    }
    let Batch { records } = serde_json::from_str(event)?;
    let read = |text: &'a RawValue| {
        let row =
            serde_json::from_str(text.get()).map_err(Reason::NotAStreamRecord).and_then(|record| row(table, record));
        row.map_err(|reason| {
            let record = powertools::batch::Record::from(text);
            Unarchivable { reason, name: name(&record), record }
        })
    };
    Ok(records.into_iter().map(read).collect())
}

/// Reads the records of an event; an error if one can't be archived.
struct BatchOfRows<'t>(&'t Table);

/// Reads the list of records.
struct Rows<'t>(&'t Table);

impl<'de> Visitor<'de> for BatchOfRows<'_> {
    type Value = Vec<Record<'de>>;

    fn expecting(&self, formatter: &mut Formatter) -> fmt::Result {
        formatter.write_str("a batch")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut event: M) -> Result<Self::Value, M::Error> {
        let mut rows = None;
        while let Some(name) = event.next_key::<Cow<str>>()? {
            match &*name {
                RECORDS if rows.is_some() => return Err(M::Error::duplicate_field(RECORDS)),
                RECORDS => rows = Some(event.next_value_seed(Rows(self.0))?),
                _ => drop(event.next_value::<IgnoredAny>()?),
            }
        }
        rows.ok_or_else(|| M::Error::missing_field(RECORDS))
    }
}

impl<'de> DeserializeSeed<'de> for Rows<'_> {
    type Value = Vec<Record<'de>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Rows<'_> {
    type Value = Vec<Record<'de>>;

    fn expecting(&self, formatter: &mut Formatter) -> fmt::Result {
        formatter.write_str("records")
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut records: S) -> Result<Self::Value, S::Error> {
        let mut rows = Vec::new();
        while let Some(record) = records.next_element()? {
            rows.push(Ok(row(self.0, record).map_err(S::Error::custom)?));
        }
        Ok(rows)
    }
}

/// The identifier in a response.
pub fn identifier(record: &Record) -> Option<String> {
    match record {
        Ok(row) => Some(row.change.event.sequence_number.to_string()),
        Err(unarchivable) => unarchivable.record.identifier(),
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

fn row<'a>(table: &Table, record: StreamRecord<'a>) -> Result<Row<'a>, Reason> {
    let StreamRecordChange { approximate_creation_date_time: seconds, sequence_number, new_image, old_image } =
        record.dynamodb;
    if !is_name(&sequence_number, &record.event_id) {
        return Err(Reason::Nameless);
    }
    let time = DateTime::from_timestamp_millis((seconds * 1000.0).round() as i64)
        .filter(|time| (FIRST_YEAR..=LAST_YEAR).contains(&time.year()))
        .ok_or(Reason::TimeOutOfRange(seconds))?;
    let event = Event {
        id: record.event_id,
        source: record.event_source,
        name: record.event_name.as_str().into(),
        sequence_number,
        time,
    };
    Ok(Row::new(table, event, old_image, new_image)?)
}
