//! Runs handlers against simulated services and faults, in virtual time: docs/simulation.md. This crate knows no
//! handler. The simulation of a room is a program that calls [`main`] with a [`Simulation`].

mod choices;
mod cloud;
mod condition;
mod invocation;
mod network;
mod queue;
mod search;
mod time;
mod update;
mod world;

use std::env;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Instant;

use futures_util::future::LocalBoxFuture;

pub use cloud::{Cloud, Item, Password, User};
pub use invocation::{End, invoke, invoke_undisturbed};
pub use network::{Network, post, unlimited_retries};
pub use queue::Queue;
use search::Finding;
pub use time::{Sleep, VirtualTime, elapsed, set_elapsed, sleep, spawn, timeout};
pub use world::{Violation, choose, cloud, log, settle};

/// Number of schedules that are generated from one seed.
const SCHEDULES_PER_SEED: u32 = 100;

/// The subject of a simulation.
#[derive(Clone, Copy, Debug)]
pub struct Simulation {
    /// Its name in a failure.
    pub name: &'static str,
    /// Number of schedules that `cargo test` runs.
    pub schedules: u32,
    /// Runs under one schedule. The promises are in docs/<room>/simulation.md, those of powertools in
    /// docs/simulation.md.
    pub run: fn() -> LocalBoxFuture<'static, Result<(), Violation>>,
}

/// Runs `SCHEDULES` schedules, starting with the seed `SEED`, and all schedules with one fault.
pub fn main(simulation: Simulation) -> ExitCode {
    let number = |name, default| env::var(name).ok().and_then(|value| value.parse::<u64>().ok()).unwrap_or(default);
    let per_seed = u64::from(SCHEDULES_PER_SEED);
    let (first_seed, seeds) = (number("SEED", 1), number("SCHEDULES", simulation.schedules.into()).div_ceil(per_seed));
    search::catch_panics();
    let began = Instant::now();
    let (next, done, schedules_run) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let found: Mutex<Option<(u64, Finding)>> = Mutex::new(None);
    let work = || {
        loop {
            let index = next.fetch_add(1, Relaxed);
            if index >= seeds {
                return;
            }
            let seed = first_seed + index;
            if let Err(finding) = search::sample(simulation, seed, SCHEDULES_PER_SEED, &schedules_run) {
                // The other threads stop, too.
                next.store(seeds, Relaxed);
                found.lock().expect("nobody panics with it").get_or_insert((seed, finding));
                return;
            }
            let done = done.fetch_add(1, Relaxed) + 1;
            if done * 100 / seeds > (done - 1) * 100 / seeds {
                let seconds = began.elapsed().as_secs();
                eprint!("\r{}: {} of {} schedules, {seconds} s ", simulation.name, done * per_seed, seeds * per_seed);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, Into::into) {
            scope.spawn(work);
        }
    });
    eprintln!();
    if let Some((seed, finding)) = found.into_inner().expect("nobody panics with it") {
        print!("{finding}");
        let seconds = (finding.found_at - began).as_secs_f64();
        println!("Found after {} schedules, {seconds:.1} s.", finding.schedules);
        println!("Again: make simulate SEED={seed} SCHEDULES={SCHEDULES_PER_SEED}");
        return ExitCode::FAILURE;
    }
    match is_deterministic(simulation).and_then(|()| search::exhaust(simulation, 1)) {
        Ok(count) => {
            let (schedules, seconds) = (seeds * per_seed + u64::from(count), began.elapsed().as_secs());
            println!("{}: {schedules} schedules in {seconds} s, and no promise broken", simulation.name);
            ExitCode::SUCCESS
        }
        Err(finding) => {
            print!("{finding}");
            ExitCode::FAILURE
        }
    }
}

/// A schedule always gives the same log; otherwise, no failure could be reproduced.
fn is_deterministic(simulation: Simulation) -> Result<(), Finding> {
    let schedule: Vec<u8> = (0..100).map(|index| if index % 3 == 0 { index } else { 0 }).collect();
    let [first, second] = [(); 2].map(|()| search::run(simulation, &schedule, true).log);
    if first == second {
        return Ok(());
    }
    Err(Finding {
        name: simulation.name,
        schedules: 0,
        found_at: Instant::now(),
        schedule,
        violation: "the simulation is not deterministic".into(),
        log: first.into_iter().zip(second).filter(|(a, b)| a != b).flat_map(|(a, b)| [a, b]).collect(),
    })
}
