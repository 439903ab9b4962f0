//! Groups: the consecutive records of a batch that go into one object.

use std::collections::HashMap;

use sha2::{Digest, Sha256};

use super::record::Record;
use crate::run::Run;
use crate::store::Quarantined;

/// Consecutive records with the same UTC date, consecutive records that can never be archived, or one nameless record.
/// A nameless record can never be archived, and its change can't be identified; it is alone, so that no other record
/// depends on a made-up name.
///
/// The first record alone names a group's object. Batches that are retried, bisected or read again in other sizes
/// therefore overwrite what they wrote before, and the objects always tile the stream.
#[derive(Clone, Copy, Debug)]
pub struct Group<'a> {
    records: &'a [Record<'a>],
    /// Number of nameless records with the same text before it in the batch.
    copies: usize,
}

/// Splits a batch into its groups, in order.
pub fn split<'a>(records: &'a [Record<'a>]) -> impl Iterator<Item = Group<'a>> {
    let mut nameless = HashMap::new();
    records.chunk_by(|a, b| a.dt() == b.dt() && !a.is_nameless() && !b.is_nameless()).map(move |records| {
        let mut group = Group { records, copies: 0 };
        if group.first().is_nameless() {
            let seen = nameless.entry(group.first().record.raw().get()).or_default();
            group.copies = *seen;
            *seen += 1;
        }
        group
    })
}

impl<'a> Group<'a> {
    pub fn records(self) -> &'a [Record<'a>] {
        self.records
    }

    pub fn first(self) -> &'a Record<'a> {
        // `split` makes no empty group.
        &self.records[0]
    }

    /// Its rows; `None` if it goes to quarantine.
    pub fn run(self) -> Option<Run<'a>> {
        let mut rows = self.records.iter().filter_map(|record| record.content.as_ref().ok());
        Some(Run::new(rows.next()?, rows))
    }

    /// Its name in quarantine. A nameless record gets one from its text, so that a retry overwrites it as well.
    pub fn name(self) -> String {
        self.first().name.clone().unwrap_or_else(|| {
            let digest = Sha256::digest(self.first().record.raw().get());
            let mut name: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
            if self.copies > 0 {
                name += &format!("-{}", self.copies);
            }
            name
        })
    }

    /// The records as quarantine keeps them.
    pub fn quarantined(self) -> Vec<Quarantined<'a>> {
        let quarantined = |record: &'a Record| {
            let reason = record.content.as_ref().err()?.to_string();
            Some(Quarantined { reason, record: record.record.raw() })
        };
        self.records.iter().filter_map(quarantined).collect()
    }
}
