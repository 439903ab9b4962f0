//! Runs: the consecutive records of a batch that go into one object.

use std::collections::HashMap;

use appointments::archive::{self, Change};
use appointments::image::Net;
use parquet::errors::ParquetError;
use serde::Serialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::record::Record;

const QUARANTINE_PREFIX: &str = "quarantine/appointments/";

/// Consecutive records of one UTC date, consecutive records that can never be archived, or one that can't and doesn't
/// even say which record it is: no other record may depend on a name that is made up.
///
/// A run's object is named by its first record alone. Batches that are retried, bisected or read again in other sizes
/// therefore overwrite what they wrote before, and the objects always tile the stream.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    records: &'a [Record<'a>],
    /// How many nameless records of the same text are before it in the batch.
    copies: usize,
}

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
    let mut nameless = HashMap::new();
    records.chunk_by(|a, b| a.dt() == b.dt() && !a.is_nameless() && !b.is_nameless()).map(move |records| {
        let mut run = Run { records, copies: 0 };
        if run.first().is_nameless() {
            let seen = nameless.entry(run.first().record.raw().get()).or_default();
            run.copies = *seen;
            *seen += 1;
        }
        run
    })
}

impl<'a> Run<'a> {
    pub fn records(self) -> &'a [Record<'a>] {
        self.records
    }

    pub fn first(self) -> &'a Record<'a> {
        // `split` makes no empty run.
        &self.records[0]
    }

    pub fn is_quarantine(self) -> bool {
        self.first().content.is_err()
    }

    pub fn object_key(self) -> String {
        match &self.first().content {
            Ok((change, _)) => change.object_key(),
            Err(_) => format!("{QUARANTINE_PREFIX}{}.json", self.quarantine_name()),
        }
    }

    /// A nameless record gets a name from its text, so that a retry overwrites it as well.
    fn quarantine_name(self) -> String {
        self.first().name.clone().unwrap_or_else(|| {
            let digest = Sha256::digest(self.first().record.raw().get());
            let mut name: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
            if self.copies > 0 {
                name += &format!("-{}", self.copies);
            }
            name
        })
    }

    pub fn to_object(self) -> Result<Object, EncodeError> {
        let key = self.object_key();
        if self.is_quarantine() {
            let quarantined: Vec<_> = self.records.iter().filter_map(quarantined).collect();
            return Ok(Object { key, content_type: "application/json", body: serde_json::to_vec(&quarantined)? });
        }
        let changes: Vec<&(Change, Net)> =
            self.records.iter().filter_map(|record| record.content.as_ref().ok()).collect();
        Ok(Object { key, content_type: "application/vnd.apache.parquet", body: archive::write(&changes)? })
    }
}

fn quarantined<'a>(record: &'a Record) -> Option<Quarantined<'a>> {
    let reason = record.content.as_ref().err()?.to_string();
    Some(Quarantined { reason, record: record.record.raw() })
}
