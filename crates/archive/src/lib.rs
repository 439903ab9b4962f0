//! The archive of a DynamoDB table: one row for each change, in Parquet objects on S3, and a ledger that sums them.
//!
//! A value, [`Table`], describes the table. [`stream`] archives its changes, and says why none is lost.

pub mod examples;
mod item;
mod ledger;
mod net;
mod number;
mod object;
mod row;
mod run;
mod store;
pub mod stream;
mod table;
#[cfg(test)]
mod tests;

pub use item::{Image, Item, Key, Misfit, Value};
pub use ledger::{Ledger, LedgerError, Object};
pub use net::{Days, Net, NotANet};
pub use object::{Summary, SummaryError, read, read_summary};
pub use row::{Change, Event, NotARow, Row};
pub use run::Run;
pub use store::{Archive, Quarantined, WriteError};
pub use table::{Column, Table, Type};
