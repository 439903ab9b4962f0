//! Runs: the consecutive rows of one object.

use crate::net::Days;
use crate::row::Row;
use crate::table::Table;

/// Consecutive rows with the same UTC date, which become one object.
///
/// The first row alone names the object, so writing the same rows again, or more of them, overwrites it.
#[derive(Clone, Debug)]
pub struct Run<'a> {
    first: &'a Row<'a>,
    pub(crate) rows: Vec<&'a Row<'a>>,
}

impl<'a> Run<'a> {
    /// All rows must have the same UTC date.
    pub fn new(first: &'a Row<'a>, others: impl Iterator<Item = &'a Row<'a>>) -> Self {
        Self { first, rows: std::iter::once(first).chain(others).collect() }
    }

    /// Number of rows; at least one.
    #[allow(clippy::len_without_is_empty, reason = "it is never empty")]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// The key of its object.
    pub fn key(&self, table: &Table) -> String {
        let event = &self.first.change.event;
        format!("{}{}-{}.parquet", table.partition_prefix(event.dt()), event.sequence_number, event.id)
    }

    /// The figures of its object for the ledger. Dates whose changes cancel each other out are included.
    pub fn days(&self) -> Days {
        let mut days = Days::new();
        for row in &self.rows {
            *days.entry(row.date).or_default() += row.net;
        }
        days
    }

    pub(crate) fn first(&self) -> &Row<'a> {
        self.first
    }

    pub(crate) fn last(&self) -> &Row<'a> {
        self.rows.last().unwrap_or(&self.first)
    }
}
