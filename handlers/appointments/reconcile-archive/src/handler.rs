//! Compares the table with the archive, one step of a reconciliation at a time, and archives the changes that are
//! missing.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use archive::{Archive, Days, Image, Item, Key, Ledger, Net, Run, Table};
use aws_services::Unavailable;
use chrono::{DateTime, NaiveDate, SubsecRound, TimeDelta, Utc};
use futures_util::future::try_join_all;
use lambda_runtime::{Context, LambdaEvent};
use powertools::metrics::{Metrics, Unit};
use powertools::remaining_time;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tracing::{info, warn};

use crate::chain::{self, Missing, Row};
use crate::error::ReconcileError;
use crate::partitions::{self, Gathered, Known, Line};
use crate::run::{self, Files, Position, State, Step};
use crate::scan::Scan;
use crate::walk::{Found, Settled, Trust, Walk};

/// Maximum objects processed concurrently.
const CONCURRENCY: usize = 8;

/// Approximate number of items in a partition.
const PARTITION: u64 = 20_000;

/// Limited because one part for each partition is written concurrently.
const MAX_PARTITIONS: u64 = 256;

/// Maximum changes archived together, as one batch.
const BATCH: usize = 2_000;

/// Time between two updates of the progress.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(2);

/// The table, and the archive that should hold its changes.
#[derive(Debug)]
pub struct Reconciliation {
    pub ledger: Ledger,
    pub metrics: Metrics,
    /// The name of the table.
    pub table: String,
}

/// A part of a reconciliation, for one invocation.
#[derive(Debug, Deserialize)]
pub struct Request {
    /// The name of the reconciliation, which is the name of its execution.
    run: String,
    step: Step,
    /// The previous invocation's answer; `None` in the first invocation.
    cursor: Option<u64>,
    event_source: EventSource,
}

/// The event source of the rows that the reconciliation makes.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
enum EventSource {
    #[serde(rename = "registrar:reconciliation")]
    Reconciliation,
    #[serde(rename = "registrar:backfill")]
    Backfill,
}

impl EventSource {
    fn as_str(self) -> &'static str {
        match self {
            Self::Reconciliation => "registrar:reconciliation",
            Self::Backfill => "registrar:backfill",
        }
    }

    fn suffix(self) -> &'static str {
        match self {
            Self::Reconciliation => "reconciliation",
            Self::Backfill => "backfill",
        }
    }
}

/// The progress of the reconciliation.
#[derive(Debug, PartialEq, Serialize)]
pub struct Answer {
    pub cursor: u64,
    /// Whether the step is finished.
    pub is_done: bool,
    /// Suspect dates after `table`; missing changes after `find` and `confirm`.
    pub found: u64,
}

/// Works on a step until a quarter of the invocation's time is left. Its work counts only once its state is written: if
/// the invocation dies, the next one starts from the previous state, and does the same again.
pub async fn handle(reconciliation: &Reconciliation, event: LambdaEvent<Request>) -> Result<Answer, ReconcileError> {
    let (Request { run, step, cursor, event_source }, context) = event.into_parts();
    let files = Files { archive: &reconciliation.ledger.archive, run: &run };
    let mut state = match cursor {
        Some(cursor) => files.state(cursor).await?,
        None => State::new(step, Utc::now()),
    };
    state.go_to(step);
    let before = state.progress.clone();
    let mut invocation = Invocation {
        reconciliation,
        files,
        event_source,
        lasts: remaining_time(&context),
        context,
        gathered: Gathered::new(state.partitions),
        quarantined: None,
        reported: Instant::now(),
    };
    invocation.work(&mut state).await?;
    let cursor = cursor.map_or(0, |cursor| cursor + 1);
    let files = invocation.files;
    files.put_state(cursor, &state).await?;
    files.put_progress(&state).await?;
    let is_done = matches!(state.position, Position::Done);
    let (metrics, now) = (&reconciliation.metrics, &state.progress);
    metrics.add("RestoredObjects", Unit::Count, (now.restored_objects - before.restored_objects) as f64);
    metrics.add("LedgerRepairs", Unit::Count, (now.ledger_repairs - before.ledger_repairs) as f64);
    metrics.add("RepairedRecords", Unit::Count, (now.repaired - before.repaired) as f64);
    // A backfill expects missing changes.
    if step == Step::Confirm && is_done && event_source == EventSource::Reconciliation {
        metrics.add("MissingRecords", Unit::Count, now.missing as f64);
    }
    let found = if step == Step::Table { state.suspects.len() as u64 } else { now.missing };
    info!(%step, is_done, found, done = now.done, "worked on a step");
    Ok(Answer { cursor, is_done, found })
}

/// The state of one invocation.
struct Invocation<'a> {
    reconciliation: &'a Reconciliation,
    files: Files<'a>,
    event_source: EventSource,
    context: Context,
    /// The whole time of an invocation. One of another reconciliation may still be at work for that long.
    lasts: Duration,
    gathered: Gathered,
    quarantined: Option<BTreeSet<Key>>,
    reported: Instant,
}

impl Invocation<'_> {
    async fn work(&mut self, state: &mut State) -> Result<(), ReconcileError> {
        while !matches!(state.position, Position::Done) {
            state.position = self.advance(state).await?;
            self.keep_up(state).await?;
            if self.is_over() {
                break;
            }
        }
        self.write_gathered(state).await
    }

    /// Writes the gathered lines if there are too many to keep in memory, and the progress if it is due.
    async fn keep_up(&mut self, state: &mut State) -> Result<(), ReconcileError> {
        if self.gathered.is_full() {
            self.write_gathered(state).await?;
        }
        if self.reported.elapsed() >= PROGRESS_INTERVAL {
            self.reported = Instant::now();
            self.files.put_progress(state).await?;
        }
        Ok(())
    }

    /// Whether there may be too little time left for more work.
    fn is_over(&self) -> bool {
        remaining_time(&self.context) <= self.lasts / 4
    }

    async fn advance(&mut self, state: &mut State) -> Result<Position, ReconcileError> {
        let ledger = &self.reconciliation.ledger;
        Ok(match (state.step, state.position.clone()) {
            (Step::Table, Position::Start) => Position::Scan(Scan::new()),
            (Step::Repair, Position::Start) => {
                state.progress.total = Some(state.progress.missing);
                Position::Change(0, 0)
            }
            (step, Position::Start) => {
                match step {
                    Step::Objects => self.files.begin().await?,
                    Step::Find => state.partitions = partitions(ledger.archive.table, state),
                    _ => self.require_grace(state)?,
                }
                self.gathered = Gathered::new(state.partitions);
                state.progress.missing = 0;
                let walk = Walk::begin(ledger, Utc::now()).await?;
                if step == Step::Objects {
                    state.progress.total = Some(walk.days_left());
                }
                Position::Walk(walk)
            }
            (Step::Objects, Position::Walk(walk)) if walk.is_done() => Position::Done,
            (_, Position::Walk(walk)) if walk.is_done() => Position::Scan(Scan::new()),
            (_, Position::Walk(walk)) => self.look_at_objects(walk, state).await?,
            (Step::Table, Position::Scan(scan)) if scan.is_done() => {
                state.suspects = suspects(state);
                Position::Done
            }
            (_, Position::Scan(scan)) if scan.is_done() => {
                self.write_gathered(state).await?;
                Position::Partition(0)
            }
            (_, Position::Scan(scan)) => self.look_at_items(scan, state).await?,
            (step, Position::Partition(partition)) if partition == state.partitions => {
                if step == Step::Find {
                    state.found_at = Some(Utc::now());
                }
                Position::Done
            }
            (_, Position::Partition(partition)) => {
                self.look_for_missing(partition, state).await?;
                Position::Partition(partition + 1)
            }
            (_, Position::Change(partition, _)) if partition == state.partitions => Position::Done,
            (_, Position::Change(partition, done)) => self.archive_missing(partition, done, state).await?,
            (_, Position::Done) => Position::Done,
        })
    }

    fn require_grace(&self, state: &State) -> Result<(), ReconcileError> {
        let lasts = TimeDelta::from_std(self.lasts).unwrap_or(TimeDelta::MAX);
        match state.found_at.is_some_and(|found_at| Utc::now() - found_at >= lasts) {
            true => Ok(()),
            false => Err(ReconcileError::TooSoon(lasts)),
        }
    }

    /// Settles the next objects; adds up their sums, or gathers their rows of suspect dates.
    async fn look_at_objects(&mut self, mut walk: Walk, state: &mut State) -> Result<Position, ReconcileError> {
        let lasts = TimeDelta::from_std(self.lasts).unwrap_or(TimeDelta::MAX);
        // A repair relies on the objects alone.
        let settled_before = Utc::now().checked_sub_signed(lasts).unwrap_or(DateTime::<Utc>::MIN_UTC);
        let trust = Trust { ledger: state.step == Step::Objects, settled_before };
        let ledger = &self.reconciliation.ledger;
        let window = walk.window(ledger).await?;
        for found in window.found.chunks(CONCURRENCY) {
            let looks = found.iter().map(|found| look_at(ledger, found, trust, &state.suspects));
            for (settled, rows) in try_join_all(looks).await? {
                state.progress.restored_objects += u64::from(settled.is_restored);
                state.progress.ledger_repairs += u64::from(settled.is_repaired);
                if state.step == Step::Objects {
                    state.rows += settled.rows;
                    for (date, net) in settled.days {
                        add(&mut state.archive, compared(ledger.archive.table, Some(date)), net);
                    }
                } else {
                    state.progress.done += rows.len() as u64;
                    rows.into_iter().for_each(|(key, row)| self.gathered.add_row(key, row));
                }
            }
            walk.looked_at(found);
            if self.is_over() {
                return Ok(Position::Walk(walk));
            }
        }
        walk.looked_through(&window, &ledger.archive);
        if state.step == Step::Objects {
            state.progress.done += u64::from(window.is_last);
        }
        Ok(Position::Walk(walk))
    }

    /// Reads the next items of the table; sums them, or gathers those of suspect dates.
    async fn look_at_items(&mut self, mut scan: Scan, state: &mut State) -> Result<Position, ReconcileError> {
        let Reconciliation { ledger, table, .. } = self.reconciliation;
        let is_sum = state.step == Step::Table;
        let visit = async |images: Vec<Image>| {
            for image in images {
                let date = compared(ledger.archive.table, image.date);
                if is_sum {
                    *state.table.entry(date).or_default() += Net::between(None, Some(&image.text));
                } else if state.suspects.contains(&date) {
                    self.gathered.add_item(image);
                } else {
                    continue;
                }
                state.progress.done += 1;
            }
            self.keep_up(state).await?;
            Ok(!self.is_over())
        };
        scan.read(ledger.archive.table, &ledger.dynamodb, table, !is_sum, visit).await?;
        Ok(Position::Scan(scan))
    }

    async fn write_gathered(&mut self, state: &mut State) -> Result<(), ReconcileError> {
        let partitions = self.gathered.take();
        if partitions.iter().all(Vec::is_empty) {
            return Ok(());
        }
        let (files, part) = (&self.files, state.parts);
        for (first, chunk) in partitions.chunks(CONCURRENCY).enumerate() {
            let puts = chunk.iter().enumerate().map(async |(index, lines)| {
                files.put_lines(&part_name(state.step, first * CONCURRENCY + index, part), lines).await
            });
            try_join_all(puts).await?;
        }
        state.parts += 1;
        Ok(())
    }

    async fn look_for_missing(&mut self, partition: usize, state: &mut State) -> Result<(), ReconcileError> {
        let mut lines: Vec<Line> = Vec::new();
        for part in 0..state.parts {
            lines.append(&mut self.files.lines(&part_name(state.step, partition, part)).await?);
        }
        let suffix = self.event_source.suffix();
        let missing = |(key, known): (Key, Known)| chain::missing(&key, known.rows, known.item, suffix);
        let mut missing: Vec<Missing> = partitions::by_key(lines).into_iter().flat_map(missing).collect();
        if state.step == Step::Confirm {
            let found: Vec<Missing> = self.files.lines(&missing_name(Step::Find, partition)).await?;
            let found: BTreeSet<String> = found.into_iter().map(|missing| missing.event_id).collect();
            missing.retain(|missing| found.contains(&missing.event_id));
        }
        if !missing.is_empty() {
            let quarantined = match self.quarantined.take() {
                Some(quarantined) => quarantined,
                None => quarantined(&self.reconciliation.ledger.archive).await?,
            };
            let all = missing.len();
            missing.retain(|missing| !quarantined.contains(&missing.key));
            if missing.len() < all {
                warn!(changes = all - missing.len(), "changes left out: records of their items are in quarantine");
            }
            self.quarantined = Some(quarantined);
        }
        state.progress.missing += missing.len() as u64;
        self.files.put_lines(&missing_name(state.step, partition), &missing).await
    }

    /// Archives missing changes in batches that are always the same, so that a repeated batch overwrites.
    async fn archive_missing(
        &self,
        partition: usize,
        mut done: usize,
        state: &mut State,
    ) -> Result<Position, ReconcileError> {
        let (archive, name) = (self.files.archive, missing_name(Step::Confirm, partition));
        let source = self.event_source.as_str();
        // Whole seconds, as the stream gives them.
        let time = state.started_at.trunc_subsecs(0);
        let missing: Vec<Missing> = self.files.lines(&name).await?;
        for batch in missing[done..].chunks(BATCH) {
            self.files.require_latest().await?;
            let rows: Result<Vec<_>, _> =
                batch.iter().map(|missing| missing.row(archive.table, source, time)).collect();
            let rows = rows.map_err(|source| ReconcileError::NotARow { key: self.files.key(&name), source })?;
            if let Some((first, others)) = rows.split_first() {
                archive.put(&Run::new(first, others.iter()), &self.context).await?;
            }
            done += batch.len();
            state.progress.done += batch.len() as u64;
            state.progress.repaired += batch.len() as u64;
            if self.is_over() {
                return Ok(Position::Change(partition, done));
            }
        }
        Ok(Position::Change(partition + 1, 0))
    }
}

/// The date by which a change or an item is compared. A table without dates is compared as a whole.
fn compared(table: &Table, date: Option<NaiveDate>) -> NaiveDate {
    date.filter(|_| table.date.is_some()).unwrap_or_default()
}

/// Removes a date whose changes cancel each other out: the canary adds such dates without end.
fn add(days: &mut Days, date: NaiveDate, net: Net) {
    let sum = days.entry(date).or_default();
    *sum += net;
    if *sum == Net::default() {
        days.remove(&date);
    }
}

fn part_name(step: Step, partition: usize, part: u64) -> String {
    format!("{step}/{partition}/{part}.jsonl")
}

fn missing_name(step: Step, partition: usize) -> String {
    format!("{step}/missing/{partition}.jsonl")
}

/// Dates on which the archive and the table disagree.
fn suspects(state: &State) -> BTreeSet<NaiveDate> {
    let dates = state.archive.keys().chain(state.table.keys());
    let net = |days: &Days, date| days.get(date).copied().unwrap_or_default();
    dates.filter(|date| net(&state.archive, date) != net(&state.table, date)).copied().collect()
}

/// The number of partitions for the rows and items of suspect dates.
fn partitions(table: &Table, state: &State) -> usize {
    let count = |days: &Days, date| days.get(date).map_or(0, |net| net.count().unsigned_abs());
    let items = |date| count(&state.archive, date) + count(&state.table, date);
    // Without dates, all rows of a table are gathered, including rows of deleted items.
    let rows = if table.date.is_some() { 0 } else { state.rows };
    let partitions = (state.suspects.iter().map(items).sum::<u64>() + rows) / PARTITION + 1;
    partitions.min(MAX_PARTITIONS) as usize
}

/// Settles what S3 and the ledger have under a key, and reads the object's rows of suspect dates, if there are any.
async fn look_at(
    ledger: &Ledger,
    found: &Found,
    trust: Trust,
    suspects: &BTreeSet<NaiveDate>,
) -> Result<(Settled, Vec<(Key, Row)>), ReconcileError> {
    let table = ledger.archive.table;
    let settled = found.settle(ledger, trust).await?;
    if !settled.days.keys().any(|date| suspects.contains(&compared(table, Some(*date)))) {
        return Ok((settled, Vec::new()));
    }
    let object = run::get(&ledger.archive, &found.key).await?;
    let changes = archive::read(object);
    let changes = changes.map_err(|source| ReconcileError::Damaged { key: found.key.clone(), source })?;
    let rows = changes.into_iter().filter_map(|change| chain::row(table, change));
    let suspect = rows.filter(|(_, date, _)| suspects.contains(&compared(table, *date)));
    Ok((settled, suspect.map(|(key, _, row)| (key, row)).collect()))
}

/// The keys of the quarantined records that have a readable key.
async fn quarantined(archive: &Archive) -> Result<BTreeSet<Key>, ReconcileError> {
    let mut keys = BTreeSet::new();
    let list = archive.s3.list_objects_v2().bucket(&archive.bucket).prefix(archive.table.quarantine_prefix());
    let mut pages = list.into_paginator().send();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| Unavailable::from_sdk("S3", &error))?;
        let objects: Vec<String> =
            page.contents.unwrap_or_default().into_iter().filter_map(|object| object.key).collect();
        for objects in objects.chunks(CONCURRENCY) {
            for body in try_join_all(objects.iter().map(|key| run::get(archive, key))).await? {
                let Ok(Value::Array(records)) = serde_json::from_slice(&body) else { continue };
                keys.extend(records.iter().filter_map(|quarantined| {
                    Item::deserialize(&quarantined["record"]["dynamodb"]["Keys"]).ok()?.key(archive.table)
                }));
            }
        }
    }
    Ok(keys)
}
