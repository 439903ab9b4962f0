//! Changes, and their rows in the archive.

use std::borrow::Cow;

use chrono::{DateTime, NaiveDate, Utc};
use thiserror::Error;

use crate::item::{self, Item, Misfit, Value};
use crate::net::Net;
use crate::table::Table;

/// Identifies a change.
#[derive(Clone, Debug, PartialEq)]
pub struct Event<'a> {
    /// The change's id, globally unique.
    pub id: Cow<'a, str>,
    /// `aws:dynamodb` for the stream; otherwise, the name of what made the row from the table.
    pub source: Cow<'a, str>,
    /// `INSERT`, `MODIFY` or `REMOVE`.
    pub name: Cow<'a, str>,
    /// Its position in its shard of the stream: a decimal number with up to 40 digits.
    pub sequence_number: Cow<'a, str>,
    /// The time at which DynamoDB recorded the change, in whole seconds, as in the stream's records.
    pub time: DateTime<Utc>,
}

/// A change to an item: the part of a row that does not depend on the table's columns.
#[derive(Clone, Debug, PartialEq)]
pub struct Change<'a> {
    /// Identifies the change.
    pub event: Event<'a>,
    /// The item after the change, canonical DynamoDB JSON.
    pub new_image: Option<String>,
    /// The item before the change, canonical DynamoDB JSON.
    pub old_image: Option<String>,
}

/// A row of the archive: a change to an item that fits the table.
#[derive(Clone, Debug)]
pub struct Row<'a> {
    /// The change.
    pub change: Change<'a>,
    /// The columns of the item after the change, or before it for `REMOVE`, in the order of the table's columns.
    pub values: Vec<Value<'a>>,
    /// The date by which the ledger sums it.
    pub date: NaiveDate,
    /// Its contribution to that date's sum.
    pub net: Net,
}

/// Why a change can never be a row of the archive.
#[derive(Debug, Error)]
pub enum NotARow {
    /// The stream contains keys only.
    #[error("no image of the item: the stream's view type has to be NEW_AND_OLD_IMAGES")]
    NoImage,
    /// The item doesn't fit the table.
    #[error(transparent)]
    Misfit(#[from] Misfit),
    /// See [`Item::into_text`].
    #[error("an image that is no JSON: {0}")]
    Json(#[from] serde_json::Error),
}

impl Event<'_> {
    /// The archive's partition: the UTC date of the change.
    pub fn dt(&self) -> NaiveDate {
        self.time.date_naive()
    }
}

impl<'a> Row<'a> {
    /// The row of a change from `old` to `new`.
    ///
    /// # Errors
    /// If there is no image, or the newer image doesn't fit the table.
    pub fn new(table: &Table, event: Event<'a>, old: Option<Item<'a>>, new: Option<Item<'a>>) -> Result<Self, NotARow> {
        let values = new.as_ref().or(old.as_ref()).ok_or(NotARow::NoImage)?.values(table)?;
        // An old image that doesn't fit the table counts as an absent item in the sums.
        let did_fit = old.as_ref().is_some_and(|old| new.is_none() || old.fits(table));
        let text = |item: Option<Item>| item.map(Item::into_text).transpose();
        let (old_image, new_image) = (text(old)?, text(new)?);
        let net = Net::between(old_image.as_deref().filter(|_| did_fit), new_image.as_deref());
        let date = item::date(table, &values).unwrap_or_else(|| event.dt());
        Ok(Self { change: Change { event, new_image, old_image }, values, date, net })
    }
}
