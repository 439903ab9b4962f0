//! The handlers against simulated streams, services and faults, in virtual time: docs/simulation.md.

mod accounts;
mod archive;
mod choices;
mod cloud;
mod idempotency;
mod invocation;
mod network;
mod notifications;
mod search;
mod simulation;
mod time;
mod world;

use std::env;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Instant;

use search::Finding;
use simulation::Simulation;

/// How many schedules are drawn from one seed.
const SCHEDULES_PER_SEED: u64 = 1_000;

/// `simulation <first seed> <schedules>`
fn main() -> ExitCode {
    let number = |index| env::args().nth(index).and_then(|argument| argument.replace('_', "").parse::<u64>().ok());
    let (Some(first_seed), Some(schedules)) = (number(1), number(2)) else {
        eprintln!("Say the first seed and the number of schedules.");
        return ExitCode::FAILURE;
    };
    search::catch_panics();
    let began = Instant::now();
    let seeds = schedules.div_ceil(SCHEDULES_PER_SEED);
    let (next, done) = (AtomicU64::new(0), AtomicU64::new(0));
    let found: Mutex<Option<(u64, Finding)>> = Mutex::new(None);
    let work = || {
        loop {
            let index = next.fetch_add(1, Relaxed);
            if index >= seeds {
                return;
            }
            let seed = first_seed + index;
            let result = Simulation::ALL
                .into_iter()
                .try_for_each(|simulation| search::sample(simulation, seed, simulation.share()));
            if let Err(finding) = result {
                // The others stop, too.
                next.store(seeds, Relaxed);
                found.lock().expect("nobody panics with it").get_or_insert((seed, finding));
                return;
            }
            let done = done.fetch_add(1, Relaxed) + 1;
            if done * 100 / seeds > (done - 1) * 100 / seeds {
                let seconds = began.elapsed().as_secs_f64();
                let schedules = done * SCHEDULES_PER_SEED;
                eprint!("\r{schedules} of {} schedules, {seconds:.0} s ", seeds * SCHEDULES_PER_SEED);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, Into::into) {
            scope.spawn(work);
        }
    });
    eprintln!();
    let seconds = began.elapsed().as_secs();
    match found.into_inner().expect("nobody panics with it") {
        None => {
            println!("{} schedules in {seconds} s, and no promise broken", seeds * SCHEDULES_PER_SEED);
            ExitCode::SUCCESS
        }
        Some((seed, finding)) => {
            print!("{finding}");
            let seconds = (finding.found_at - began).as_secs_f64();
            let schedules = done.into_inner() * SCHEDULES_PER_SEED + u64::from(finding.schedules_before) + 1;
            println!("Found after {schedules} schedules, {seconds:.1} s.");
            println!("Again: make simulate SEED={seed} SCHEDULES={SCHEDULES_PER_SEED}");
            ExitCode::FAILURE
        }
    }
}
