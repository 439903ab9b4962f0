#![doc = include_str!("../docs/batch.md")]

mod processor;
mod record;
#[cfg(test)]
mod tests;
mod unparsed;

pub use processor::{AfterFailure, BatchProcessingError, BatchProcessor};
pub use record::{BatchEvent, BatchItemFailure, BatchResponse, InvalidRecord, Record};
pub use unparsed::{Unparsed, UnparsedEvent, UnparsedService};
