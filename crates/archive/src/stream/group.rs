//! Groups: the consecutive records of a batch that go into one object.

use std::collections::HashMap;

use sha2::{Digest, Sha256};

use super::record::{Record, Unarchivable};
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

/// What a group becomes.
pub enum Content<'a> {
    Run(Run<'a>),
    Quarantined { name: String, records: Vec<Quarantined<'a>> },
}

/// Splits a batch into its groups, in order.
pub fn split<'a>(records: &'a [Record<'a>]) -> impl Iterator<Item = Group<'a>> {
    let mut nameless = HashMap::new();
    let is_one_group = |a: &Record, b: &Record| match (a, b) {
        (Ok(a), Ok(b)) => a.change.event.dt() == b.change.event.dt(),
        (Err(a), Err(b)) => a.name.is_some() && b.name.is_some(),
        _ => false,
    };
    records.chunk_by(is_one_group).map(move |records| {
        let mut copies = 0;
        if let Err(Unarchivable { name: None, record, .. }) = &records[0] {
            let seen = nameless.entry(record.raw().get()).or_default();
            copies = *seen;
            *seen += 1;
        }
        Group { records, copies }
    })
}

impl<'a> Group<'a> {
    pub fn len(self) -> usize {
        self.records.len()
    }

    pub fn first(self) -> &'a Record<'a> {
        // `split` makes no empty group.
        &self.records[0]
    }

    /// Its rows, or what goes to quarantine.
    pub fn content(self) -> Content<'a> {
        match self.first() {
            Ok(first) => Content::Run(Run::new(first, self.records[1..].iter().flatten())),
            Err(first) => {
                let quarantined = self.records.iter().filter_map(|record| record.as_ref().err());
                let quarantined = quarantined.map(|Unarchivable { reason, record, .. }| Quarantined {
                    reason: reason.to_string(),
                    record: record.raw(),
                });
                Content::Quarantined { name: self.name(first), records: quarantined.collect() }
            }
        }
    }

    /// Its name in quarantine. A nameless record gets one from its text, so that a retry overwrites it as well.
    fn name(self, first: &Unarchivable) -> String {
        first.name.clone().unwrap_or_else(|| {
            let digest = Sha256::digest(first.record.raw().get());
            let mut name: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
            if self.copies > 0 {
                name += &format!("-{}", self.copies);
            }
            name
        })
    }
}
