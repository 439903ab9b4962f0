//! The state of a reconciliation. It is larger than a payload, so it is in S3, below the reconciliation's name.

use std::collections::BTreeSet;
use std::fmt::{self, Display, Formatter};

use archive::{Archive, Days};
use aws_sdk_s3::primitives::ByteStream;
use aws_services::Unavailable;
use bytes::Bytes;
use chrono::{DateTime, NaiveDate, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::ReconcileError;
use crate::scan::Scan;
use crate::walk::Walk;

/// The steps of a reconciliation, in order.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Makes S3 and the ledger agree, and sums the archive's changes.
    Objects,
    /// Sums the table's items. Dates on which the sums differ are suspects.
    Table,
    /// Finds the changes that are missing on these dates.
    Find,
    /// Finds them again, after all changes on their way have arrived.
    Confirm,
    /// Archives the changes that both steps found missing.
    Repair,
}

impl Display for Step {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        self.serialize(formatter)
    }
}

/// The position in a step.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Position {
    Start,
    Walk(Walk),
    Scan(Scan),
    /// The next partition to compare.
    Partition(usize),
    /// The next change to archive: its partition, and the number of that partition's changes already archived.
    Change(usize, usize),
    Done,
}

/// The state that one invocation passes to the next.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct State {
    /// The time of all rows that the reconciliation makes.
    pub started_at: DateTime<Utc>,
    pub step: Step,
    pub position: Position,
    pub progress: Progress,
    /// Sums of the archive's changes.
    pub archive: Days,
    /// Sums of the table's items.
    pub table: Days,
    /// Number of rows in the archive.
    pub rows: u64,
    pub suspects: BTreeSet<NaiveDate>,
    /// The time at which the step `find` ended.
    pub found_at: Option<DateTime<Utc>>,
    /// The number of partitions for rows and items.
    pub partitions: usize,
    /// The number of parts that this step has written for each partition.
    pub parts: u64,
}

/// The content of `progress.json`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Progress {
    /// The unit depends on the step: days of the archive, items of the table, rows and items, or changes.
    pub done: u64,
    pub total: Option<u64>,
    /// Missing changes found by the step `find`, and later by `confirm`.
    pub missing: u64,
    pub repaired: u64,
    pub restored_objects: u64,
    pub ledger_repairs: u64,
}

/// The files of a reconciliation.
#[derive(Debug)]
pub struct Files<'a> {
    pub archive: &'a Archive,
    pub run: &'a str,
}

/// This object holds the name of the reconciliation that started last.
const LATEST: &str = "reconciliation/latest";

impl State {
    pub fn new(step: Step, now: DateTime<Utc>) -> Self {
        Self {
            started_at: now,
            step,
            position: Position::Start,
            progress: Progress::default(),
            archive: Days::new(),
            table: Days::new(),
            rows: 0,
            suspects: BTreeSet::new(),
            found_at: None,
            partitions: 0,
            parts: 0,
        }
    }

    /// Goes to the beginning of a step unless it is the present step.
    pub fn go_to(&mut self, step: Step) {
        if self.step != step {
            self.step = step;
            self.position = Position::Start;
            (self.progress.done, self.progress.total) = (0, None);
            self.parts = 0;
        }
    }
}

impl Files<'_> {
    pub async fn state(&self, cursor: u64) -> Result<State, ReconcileError> {
        let name = format!("state/{cursor}.json");
        serde_json::from_slice(&self.get(&name).await?).map_err(|source| self.unexpected(&name, source))
    }

    pub async fn put_state(&self, cursor: u64, state: &State) -> Result<(), ReconcileError> {
        self.put_json(&format!("state/{cursor}.json"), state).await
    }

    pub async fn put_progress(&self, state: &State) -> Result<(), ReconcileError> {
        #[derive(Serialize)]
        struct Report<'a> {
            step: Step,
            #[serde(flatten)]
            progress: &'a Progress,
        }
        self.put_json("progress.json", &Report { step: state.step, progress: &state.progress }).await
    }

    /// Reads JSON Lines.
    pub async fn lines<T: DeserializeOwned>(&self, name: &str) -> Result<Vec<T>, ReconcileError> {
        let lines: serde_json::Result<_> =
            serde_json::Deserializer::from_slice(&self.get(name).await?).into_iter().collect();
        lines.map_err(|source| self.unexpected(name, source))
    }

    pub async fn put_lines<T: Serialize>(&self, name: &str, lines: &[T]) -> Result<(), ReconcileError> {
        let mut body = Vec::new();
        for line in lines {
            serde_json::to_writer(&mut body, line).map_err(|source| self.unexpected(name, source))?;
            body.push(b'\n');
        }
        self.put(name, body).await
    }

    /// Records that this reconciliation is the latest one.
    pub async fn begin(&self) -> Result<(), Unavailable> {
        put(self.archive, LATEST.into(), self.run.as_bytes().to_vec()).await
    }

    /// If an earlier reconciliation is resumed after a later one began, it would archive the same changes again.
    pub async fn require_latest(&self) -> Result<(), ReconcileError> {
        let latest = get(self.archive, LATEST).await?;
        match latest == self.run {
            true => Ok(()),
            false => Err(ReconcileError::Superseded(String::from_utf8_lossy(&latest).into())),
        }
    }

    pub async fn put(&self, name: &str, body: Vec<u8>) -> Result<(), ReconcileError> {
        Ok(put(self.archive, self.key(name), body).await?)
    }

    async fn get(&self, name: &str) -> Result<Bytes, ReconcileError> {
        Ok(get(self.archive, &self.key(name)).await?)
    }

    async fn put_json<T: Serialize>(&self, name: &str, value: &T) -> Result<(), ReconcileError> {
        let body = serde_json::to_vec(value).map_err(|source| self.unexpected(name, source))?;
        self.put(name, body).await
    }

    pub fn key(&self, name: &str) -> String {
        format!("reconciliation/{}/{name}", self.run)
    }

    fn unexpected(&self, name: &str, source: serde_json::Error) -> ReconcileError {
        ReconcileError::Unexpected { key: self.key(name), source }
    }
}

/// Reads an object of the archive's bucket.
pub async fn get(archive: &Archive, key: &str) -> Result<Bytes, Unavailable> {
    let output = archive.s3.get_object().bucket(&archive.bucket).key(key).send().await;
    let body = output.map_err(|error| Unavailable::from_sdk("S3", &error))?.body;
    Ok(body.collect().await.map_err(|error| Unavailable::new("S3", error.to_string()))?.into_bytes())
}

async fn put(archive: &Archive, key: String, body: Vec<u8>) -> Result<(), Unavailable> {
    let put = archive.s3.put_object().bucket(&archive.bucket).key(key).body(ByteStream::from(body));
    put.send().await.map_err(|error| Unavailable::from_sdk("S3", &error))?;
    Ok(())
}
