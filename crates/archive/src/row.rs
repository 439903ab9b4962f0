//! Changes, and the rows of the archive that they become.

use std::borrow::Cow;

use chrono::{DateTime, NaiveDate, Utc};
use thiserror::Error;

use crate::item::{self, Item, Misfit, Value};
use crate::net::Net;
use crate::table::Table;

/// Which change it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Event<'a> {
    /// Identifies the change, globally.
    pub id: Cow<'a, str>,
    /// `aws:dynamodb` for the stream; what made the row when it was made from the table.
    pub source: Cow<'a, str>,
    /// `INSERT`, `MODIFY` or `REMOVE`.
    pub name: Cow<'a, str>,
    /// Its place in its shard of the stream; a decimal number of up to 40 digits.
    pub sequence_number: Cow<'a, str>,
    /// When DynamoDB recorded it; whole seconds, as the stream gives them to a function.
    pub time: DateTime<Utc>,
}

/// A change to an item of the table, as the archive keeps it whatever the table's columns are.
#[derive(Clone, Debug, PartialEq)]
pub struct Change<'a> {
    /// Which change it is.
    pub event: Event<'a>,
    /// The item after the change, canonical DynamoDB JSON.
    pub new_image: Option<String>,
    /// The item before the change, canonical DynamoDB JSON.
    pub old_image: Option<String>,
}

/// A row of the archive: a change to an item that fits the table.
#[derive(Clone, Debug)]
pub struct Row<'a> {
    /// What it is a row of.
    pub change: Change<'a>,
    /// The columns of the item after the change, or before it for `REMOVE`, in the order of the table's.
    pub values: Vec<Value<'a>>,
    /// The date by which the ledger sums it.
    pub date: NaiveDate,
    /// What it adds to that date's sum.
    pub net: Net,
}

/// Why a change can never be a row of the archive.
#[derive(Debug, Error)]
pub enum NotARow {
    /// The stream shows keys only.
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
    /// When there is no image, or the newer one doesn't fit the table.
    pub fn new(table: &Table, event: Event<'a>, old: Option<Item<'a>>, new: Option<Item<'a>>) -> Result<Self, NotARow> {
        let values = new.as_ref().or(old.as_ref()).ok_or(NotARow::NoImage)?.values(table)?;
        // What was there before may not have fitted: for the sums, the item was then not there.
        let did_fit = old.as_ref().is_some_and(|old| new.is_none() || old.fits(table));
        let text = |item: Option<Item>| item.map(Item::into_text).transpose();
        let (old_image, new_image) = (text(old)?, text(new)?);
        let net = Net::between(old_image.as_deref().filter(|_| did_fit), new_image.as_deref());
        let date = item::date(table, &values).unwrap_or_else(|| event.dt());
        Ok(Self { change: Change { event, new_image, old_image }, values, date, net })
    }
}
