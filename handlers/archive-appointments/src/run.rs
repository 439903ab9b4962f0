//! Runs: the consecutive records of a batch that go into one object.

use appointments::archive::{self, Change};
use appointments::image::Net;
use parquet::errors::ParquetError;
use serde::Serialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::record::Record;

const QUARANTINE_PREFIX: &str = "quarantine/appointments/";

/// Consecutive records of one UTC date, or consecutive records that can never be archived.
///
/// A run's object is named by its first record alone. Batches that are retried, bisected or read again in other sizes
/// therefore overwrite what they wrote before, and the objects always tile the stream.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a>(&'a [Record<'a>]);

/// An object to be put into the archive bucket.
#[derive(Debug)]
pub struct Object {
    pub key: String,
    pub content_type: &'static str,
    pub body: Vec<u8>,
}

/// Why a run could not be encoded.
#[derive(Debug, Error)]
pub enum EncodeError {
    #[error("Parquet: {0}")]
    Parquet(#[from] ParquetError),
    #[error("JSON: {0}")]
    Json(#[from] serde_json::Error),
}

#[derive(Serialize)]
struct Quarantined<'a> {
    reason: String,
    record: &'a RawValue,
}

/// Splits a batch into its runs, in order.
pub fn split<'a>(records: &'a [Record<'a>]) -> impl Iterator<Item = Run<'a>> {
    records.chunk_by(|a, b| a.dt() == b.dt()).map(Run)
}

impl<'a> Run<'a> {
    pub fn records(self) -> &'a [Record<'a>] {
        self.0
    }

    pub fn first(self) -> &'a Record<'a> {
        // `split` makes no empty run.
        &self.0[0]
    }

    pub fn is_quarantine(self) -> bool {
        self.first().content.is_err()
    }

    pub fn object_key(self) -> String {
        match &self.first().content {
            Ok((change, _)) => change.object_key(),
            Err(_) => format!("{QUARANTINE_PREFIX}{}.json", quarantine_name(self.first())),
        }
    }

    pub fn to_object(self) -> Result<Object, EncodeError> {
        let key = self.object_key();
        if self.is_quarantine() {
            let quarantined: Vec<_> = self.0.iter().filter_map(quarantined).collect();
            return Ok(Object { key, content_type: "application/json", body: serde_json::to_vec(&quarantined)? });
        }
        let changes: Vec<&(Change, Net)> = self.0.iter().filter_map(|record| record.content.as_ref().ok()).collect();
        Ok(Object { key, content_type: "application/vnd.apache.parquet", body: archive::write(&changes)? })
    }
}

fn quarantined<'a>(record: &'a Record) -> Option<Quarantined<'a>> {
    let reason = record.content.as_ref().err()?.to_string();
    Some(Quarantined { reason, record: record.record.raw() })
}

/// A record that doesn't even say which one it is gets a name from its text, so that a retry overwrites it as well.
fn quarantine_name(record: &Record) -> String {
    match (record.record.identifier(), record.event_id()) {
        (Some(sequence_number), Some(event_id)) => format!("{sequence_number}-{event_id}"),
        _ => Sha256::digest(record.record.raw().get()).iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}
