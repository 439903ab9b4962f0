//! A primary, and a replica that lags behind it.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use simulation::choose;
use tokio::time::sleep;

use crate::{LONGEST_LAG, RECOVERY, ROWS, fault, kill, log, now, world};

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Source {
    Primary,
    Replica,
}

/// The replica is behind by one of these, or by nothing.
const LAGS: [Duration; 4] =
    [Duration::ZERO, Duration::from_millis(100), Duration::from_millis(1_500), Duration::from_millis(4_990)];

const QUICKLY: Duration = Duration::from_millis(2);

/// The times before and after a statement takes effect; a process that is frozen takes long, too.
const TIMES: [(Duration, Duration); 6] = [
    (QUICKLY, QUICKLY),
    (QUICKLY, Duration::from_millis(100)),
    (Duration::from_millis(100), QUICKLY),
    (QUICKLY, Duration::from_millis(900)),
    (QUICKLY, Duration::from_secs(20)),
    (Duration::from_secs(4), QUICKLY),
];

/// A change of a row: when it was committed, and the row then.
struct Commit {
    at: Duration,
    value: String,
}

pub struct Database {
    /// The changes of each row.
    commits: [Vec<Commit>; ROWS.len()],
    /// The first change of each row that a read may give.
    floors: [usize; ROWS.len()],
    /// The replica's lag.
    lag: Duration,
    /// The replica has the changes until then.
    replayed: Duration,
    /// Number of reads.
    pub reads: usize,
    /// The time that each request took in the database.
    durations: Vec<Duration>,
}

impl Default for Database {
    fn default() -> Self {
        let commits = [(); ROWS.len()].map(|()| vec![Commit { at: Duration::ZERO, value: "0".into() }]);
        Self {
            commits,
            floors: Default::default(),
            lag: Duration::ZERO,
            replayed: Duration::ZERO,
            reads: 0,
            durations: Vec::new(),
        }
    }
}

impl Database {
    pub fn choose_lag(&mut self) {
        self.lag = LAGS[choose(LAGS.len())];
        assert!(self.lag < LONGEST_LAG, "the promise is about replicas that lag by less");
    }

    /// The number of a new request.
    pub fn begin(&mut self) -> usize {
        self.durations.push(Duration::ZERO);
        self.durations.len() - 1
    }

    pub fn duration(&self, request: usize) -> Duration {
        self.durations[request]
    }

    /// The first change that a read may give which begins now: the last one that was answered, or that happened before
    /// `oldest`.
    pub fn floor(&self, row: usize, oldest: Duration) -> usize {
        self.floors[row].max(self.at(row, oldest))
    }

    /// Notes that a write was answered.
    pub fn answer(&mut self, row: usize, commit: usize) {
        self.floors[row] = self.floors[row].max(commit);
    }

    pub fn check(&self, row: usize, value: &str, floor: usize) -> Result<(), String> {
        let is_value = |commit: &Commit| commit.value == value;
        match self.commits[row].iter().rposition(is_value) {
            None => Err(format!("{value} was never in the database")),
            Some(position) if position < floor => Err(format!("a read gives {value}, which is too old")),
            Some(_) => Ok(()),
        }
    }

    /// The number of the row's last change at this time.
    fn at(&self, row: usize, time: Duration) -> usize {
        self.commits[row].iter().rposition(|commit| commit.at <= time).unwrap_or_default()
    }
}

/// Waits, and counts the time for a request.
async fn wait(request: usize, duration: Duration) {
    sleep(duration).await;
    world(|world| world.database.durations[request] += duration);
}

pub async fn read(
    request: usize,
    process: usize,
    rows: Vec<usize>,
    source: Source,
) -> Result<Option<Bytes>, Infallible> {
    world(|world| world.database.reads += 1);
    let (before, after) = TIMES[fault(TIMES.len())];
    wait(request, before).await;
    // Lagging is no fault.
    let is_current = source == Source::Primary || world(|world| world.is_calm) || choose(2) == 1;
    let values = world(|world| {
        let database = &mut world.database;
        let behind = if is_current { Duration::ZERO } else { database.lag };
        let time = match source {
            Source::Primary => now(),
            // It never goes back.
            Source::Replica => {
                database.replayed = database.replayed.max(now().saturating_sub(behind));
                database.replayed
            }
        };
        rows.into_iter().map(|row| database.commits[row][database.at(row, time)].value.clone()).collect::<Vec<_>>()
    });
    log(|| format!("process {process} gets {values:?} from the {source:?}"));
    wait(request, after).await;
    let document = values.join(" ");
    Ok((document != "-").then(|| document.into()))
}

/// Returns the number of the change.
pub async fn write(request: usize, process: usize, row: usize, began: Duration) -> usize {
    let (before, after) = TIMES[fault(TIMES.len())];
    let is_killed = fault(2) == 1;
    wait(request, before).await;
    let number = world(|world| {
        let database = &mut world.database;
        let number = database.commits[row].len();
        // Some changes delete the row.
        let value = if number % 3 == 2 { "-".to_owned() } else { number.to_string() };
        database.commits[row].push(Commit { at: now(), value });
        // The tombstones are in place, because nothing failed.
        if world.failed_until.is_none_or(|time| time.saturating_add(RECOVERY) < began) && now() - began < LONGEST_LAG {
            database.answer(row, number);
        }
        number
    });
    log(|| format!("process {process} commits change {number} of {}", ROWS[row]));
    if is_killed {
        kill(process);
    }
    wait(request, after).await;
    number
}
