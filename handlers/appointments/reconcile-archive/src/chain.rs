//! The changes to one item, and the changes that are missing between them.

use archive::{Change, Event, Image, Item, Key, NotARow, Table};
use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The fields of an archive row that describe a change to its item.
#[derive(Debug, Deserialize, Serialize)]
pub struct Row {
    pub event_id: String,
    pub sequence_number: String,
    pub event_time: DateTime<Utc>,
    /// The canonical image before the change; `None` if there was no item, or one that did not fit the table.
    pub old: Option<String>,
    /// The canonical image after the change; `None` if there was no item.
    pub new: Option<String>,
}

/// A change that the archive lacks.
#[derive(Debug, Deserialize, PartialEq, Serialize)]
pub struct Missing {
    /// Always the same for the same change, missing in the same place.
    pub event_id: String,
    pub key: Key,
    pub old: Option<String>,
    pub new: Option<String>,
    /// The sequence number of the row before it. Its later time orders it after that row.
    pub sequence_number: String,
}

/// The key and the UTC date of a change's item, and its row. An image that doesn't fit the table counts as absent.
/// Returns `None` if no image fits.
pub fn row(table: &Table, change: Change) -> Option<(Key, Option<NaiveDate>, Row)> {
    let image = |text: Option<String>| Image::parse(table, &text?);
    let (old, new) = (image(change.old_image), image(change.new_image));
    let item = new.as_ref().or(old.as_ref())?;
    let (key, date) = (item.key.clone(), item.date);
    let row = Row {
        event_id: change.event.id.into_owned(),
        sequence_number: change.event.sequence_number.into_owned(),
        event_time: change.event.time,
        old: old.map(|image| image.text),
        new: new.map(|image| image.text),
    };
    Some((key, date, row))
}

impl Missing {
    /// The row of this change.
    pub fn row<'a>(&'a self, table: &Table, source: &'a str, time: DateTime<Utc>) -> Result<archive::Row<'a>, NotARow> {
        let name = match (&self.old, &self.new) {
            (None, _) => "INSERT",
            (Some(_), Some(_)) => "MODIFY",
            (Some(_), None) => "REMOVE",
        };
        let event = Event {
            id: self.event_id.as_str().into(),
            source: source.into(),
            name: name.into(),
            sequence_number: self.sequence_number.as_str().into(),
            time,
        };
        let item = |text: &'a Option<String>| text.as_deref().map(serde_json::from_str::<Item>).transpose();
        archive::Row::new(table, event, item(&self.old)?, item(&self.new)?)
    }
}

/// Replays the rows from "no item" to the table's item. Where a row's old image differs from the previous new image, at
/// least one change is missing.
pub fn missing(key: &Key, mut rows: Vec<Row>, item: Option<String>, made_by: &str) -> Vec<Missing> {
    rows.sort_by(|a, b| place(a).cmp(&place(b)));
    // A row that was archived twice doubles no change.
    rows.dedup_by(|a, b| a.event_id == b.event_id);
    let mut missing = Vec::new();
    let mut state: Option<String> = None;
    let mut last: Option<Row> = None;
    let mut expect = |state: Option<String>, next: &Option<String>, last: &Option<Row>| {
        if state == *next {
            return;
        }
        let after = last.as_ref().map(|row| row.event_id.as_str());
        let key_texts = key.0.iter().map(|text| Some(text.as_str()));
        let place: Vec<Option<&str>> = key_texts.chain([state.as_deref(), next.as_deref(), after]).collect();
        let text = serde_json::json!(place).to_string();
        let hash: String = Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect();
        missing.push(Missing {
            event_id: format!("{made_by}-{hash}"),
            key: key.clone(),
            old: state,
            new: next.clone(),
            sequence_number: last.as_ref().map_or("0".into(), |row| row.sequence_number.clone()),
        });
    };
    for mut row in rows {
        expect(state, &row.old, &last);
        state = row.new.take();
        last = Some(row);
    }
    expect(state, &item, &last);
    missing
}

/// The order of an item's rows. Sequence numbers are decimal, and longer than any integer type.
fn place(row: &Row) -> (usize, &str, DateTime<Utc>, &str) {
    let digits = row.sequence_number.trim_start_matches('0');
    (digits.len(), digits, row.event_time, &row.event_id)
}
