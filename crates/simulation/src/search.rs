//! Generates or enumerates schedules until one breaks a promise.

use std::cell::{Cell, RefCell};
use std::fmt::{self, Display, Formatter};
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestError, TestRunner};

use crate::Simulation;
use crate::world::{self, Outcome, Violation};

/// A schedule that breaks a promise.
#[derive(Debug)]
pub struct Finding {
    /// Name of the simulation.
    pub name: &'static str,
    /// Number of schedules that had been run by then, on all threads.
    pub schedules: u64,
    /// The time at which a schedule first broke it. After that, a shorter one was sought.
    pub found_at: Instant,
    pub schedule: Vec<u8>,
    pub violation: Violation,
    /// The log of the schedule.
    pub log: Vec<String>,
}

impl Display for Finding {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let Self { name, violation, schedule, log, .. } = self;
        writeln!(formatter, "{name}: {violation}")?;
        writeln!(formatter, "The shortest schedule that shows it has {} numbers: {schedule:?}", schedule.len())?;
        log.iter().try_for_each(|line| writeln!(formatter, "{line}"))
    }
}

thread_local! {
    static PANIC: RefCell<String> = RefCell::default();
}

/// Silences panics of simulations: they are violations, and are reported as such.
pub fn catch_panics() {
    panic::set_hook(Box::new(|info| PANIC.set(info.to_string())));
}

pub fn run(simulation: Simulation, schedule: &[u8], with_log: bool) -> Outcome {
    panic::catch_unwind(AssertUnwindSafe(|| world::run(simulation, schedule, with_log)))
        .unwrap_or_else(|_| world::end(Err(PANIC.take())))
}

/// Mostly zeros, after a beginning with few zeros: the first numbers decide how much there is to do.
fn schedules() -> impl Strategy<Value = Vec<u8>> {
    let number = |percent| prop_oneof![100 - percent => Just(0), percent => 1..=u8::MAX];
    let faults = prop_oneof![vec(number(5), 0..120), vec(number(20), 0..80), vec(number(60), 0..40)];
    (vec(number(70), 0..=15), faults).prop_map(|(beginning, faults)| [beginning, faults].concat())
}

/// Generates this number of schedules from a seed. If one breaks a promise, `proptest` finds a shorter one that still
/// does.
pub fn sample(simulation: Simulation, seed: u64, count: u32, schedules_run: &AtomicU64) -> Result<(), Finding> {
    let config = Config {
        cases: count,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(seed),
        max_shrink_iters: 1_000,
        ..Config::default()
    };
    let found = Cell::new(None);
    let result = TestRunner::new(config).run(&schedules(), |schedule| {
        let result = run(simulation, &schedule, false).result;
        if found.get().is_none() {
            let schedules = schedules_run.fetch_add(1, Relaxed) + 1;
            found.set(result.is_err().then(|| (schedules, Instant::now())));
        }
        result.map_err(TestCaseError::fail)
    });
    match result {
        Ok(()) => Ok(()),
        Err(TestError::Fail(_, schedule)) => {
            let (schedules, found_at) = found.get().expect("a failure has been noted");
            Err(Finding { schedules, found_at, ..finding(simulation, schedule) })
        }
        Err(TestError::Abort(reason)) => panic!("no schedule could be generated: {reason}"),
    }
}

/// Runs all schedules with at most this number of faults; returns the number of schedules.
pub fn exhaust(simulation: Simulation, faults: usize) -> Result<u32, Finding> {
    let mut schedule = Vec::new();
    for count in 1.. {
        let Outcome { result, answers, .. } = run(simulation, &schedule, false);
        if result.is_err() {
            return Err(finding(simulation, schedule));
        }
        // The last question that has another answer gets its next one.
        let faults_before = |index: usize| answers[..index].iter().filter(|answer| answer.answer > 0).count();
        let next = (0..answers.len())
            .rev()
            .find(|&index| answers[index].answer + 1 < answers[index].of && faults_before(index) < faults);
        let Some(next) = next else { return Ok(count) };
        schedule = answers[..=next].iter().map(|answer| answer.answer).collect();
        schedule[next] += 1;
    }
    unreachable!("there is an end to all schedules")
}

/// Runs the schedule once more, with a log.
fn finding(simulation: Simulation, mut schedule: Vec<u8>) -> Finding {
    while schedule.last() == Some(&0) {
        schedule.pop();
    }
    let Outcome { result, log, .. } = run(simulation, &schedule, true);
    let violation = result.err().unwrap_or_else(|| "not found again: the simulation is not deterministic".into());
    Finding { name: simulation.name, schedules: 0, found_at: Instant::now(), schedule, violation, log }
}
