//! The answers of the jobs: docs/insights/report.md, check.md and compaction.md.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

/// What a job answers.
pub trait Answer: DeserializeOwned {
    /// The job's name, which is that of its folder.
    const JOB: &str;
}

impl Answer for Report {
    const JOB: &str = "report";
}

impl Answer for Check {
    const JOB: &str = "check";
}

impl Answer for Compact {
    const JOB: &str = "compact";
}

/// Why a folder has no answer. Without its text, which names advisors.
#[derive(Debug, Error)]
pub enum Unreadable {
    #[error("it has {0} lines instead of one")]
    Lines(usize),
    #[error("it is unexpected at column {}", .0.column())]
    Unexpected(serde_json::Error),
}

/// The answer in the files of a job's folder: the only line. Spark also writes files without a line.
pub fn parse<A: Answer>(texts: &[String]) -> Result<A, Unreadable> {
    let lines: Vec<_> = texts.iter().flat_map(|text| text.lines()).collect();
    let [line] = lines[..] else { return Err(Unreadable::Lines(lines.len())) };
    serde_json::from_str(line).map_err(Unreadable::Unexpected)
}

#[derive(Debug, Deserialize)]
pub struct Report {
    /// Changes that were read.
    pub rows: usize,
    /// A smaller count is merged with others.
    pub least: i64,
    pub problems: Vec<Problem>,
    pub zone: String,
    /// The first UTC date whose changes were left out.
    pub before: String,
    /// The first and the last date of appointments, in the zone.
    pub first: String,
    pub last: String,
    pub late_hours: i64,
    pub totals: Section<(), Totals>,
    pub advisors: Section<Advisor, Bookings>,
    pub months: Vec<Months>,
    pub hours: Section<Hour, Kept>,
    pub leads: Section<Lead, Booked>,
    pub repeats: Section<Repeat, Students>,
}

/// What a job could not read.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd)]
pub struct Problem {
    pub kind: String,
    pub what: String,
}

/// A count, or `None` if it is merged with others. Less than 0 are kept if bookings are older than the archive.
pub type Count = Option<i64>;

/// Counts, and the sums of those that are merged.
#[derive(Debug, Deserialize)]
pub struct Section<Key, Counts> {
    pub cells: Vec<Cell<Key, Counts>>,
    pub rest: Counts,
}

#[derive(Debug, Deserialize)]
pub struct Cell<Key, Counts> {
    #[serde(flatten)]
    pub key: Key,
    #[serde(flatten)]
    pub counts: Counts,
}

#[derive(Debug, Deserialize)]
pub struct Bookings {
    pub bookings: Count,
    pub cancellations: Count,
    pub late_cancellations: Count,
}

#[derive(Debug, Deserialize)]
pub struct Totals {
    #[serde(flatten)]
    pub timed: Bookings,
    pub untimed_bookings: Count,
    pub untimed_cancellations: Count,
}

#[derive(Debug, Deserialize)]
pub struct Advisor {
    pub advisor: String,
}

#[derive(Debug, Deserialize)]
pub struct Months {
    pub advisor: String,
    #[serde(flatten)]
    pub section: Section<Month, Kept>,
}

#[derive(Debug, Deserialize)]
pub struct Month {
    /// YYYY-MM.
    pub month: String,
}

#[derive(Debug, Deserialize)]
pub struct Kept {
    pub kept: Count,
}

#[derive(Debug, Deserialize)]
pub struct Hour {
    /// Monday is 1.
    pub weekday: usize,
    pub hour: u32,
}

#[derive(Debug, Deserialize)]
pub struct Lead {
    /// The upper limit, if there is one. Below 0 hours, the booking is later than the appointment.
    pub below_hours: Option<i64>,
}

#[derive(Debug, Deserialize)]
pub struct Booked {
    pub bookings: Count,
}

#[derive(Debug, Deserialize)]
pub struct Repeat {
    /// The upper limit, if there is one.
    pub bookings_up_to: Option<i64>,
}

#[derive(Debug, Deserialize)]
pub struct Students {
    pub students: Count,
}

#[derive(Debug, Deserialize)]
pub struct Check {
    pub rows: usize,
    pub days: usize,
    pub before: String,
    pub differences: Vec<Difference>,
    pub problems: Vec<Problem>,
}

/// Where the archive and the ledger differ. `dt` is the day of the changes, `day` that of the appointments.
#[derive(Debug, Deserialize)]
#[serde(tag = "kind")]
pub enum Difference {
    #[serde(rename = "rows")]
    Rows { dt: String, archive: i64, ledger: i64 },
    /// Net number of appointments added, and a checksum of which.
    #[serde(rename = "sums")]
    Sums { dt: String, day: String, archive: String, ledger: String },
    #[serde(rename = "repeated rows")]
    Repeated { dt: String, day: String, archive: i64, distinct: i64 },
    #[serde(rename = "altered rows")]
    Altered { dt: String, day: String, archive: i64 },
    /// Sizes in bytes.
    #[serde(rename = "object")]
    Object { object: String, archive: Option<i64>, ledger: Option<i64> },
}

#[derive(Debug, Deserialize)]
pub struct Compact {
    pub days: Vec<CompactedDay>,
    pub left_out: Vec<LeftOutDay>,
    pub problems: Vec<Problem>,
}

#[derive(Debug, Deserialize)]
pub struct CompactedDay {
    pub rows: usize,
}

/// A day that was not compacted, because its numbers of rows differ.
#[derive(Debug, Deserialize)]
pub struct LeftOutDay {
    pub dt: String,
    pub archive: i64,
    pub ledger: i64,
}
