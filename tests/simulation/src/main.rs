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
const SCHEDULES_PER_SEED: u64 = 100;

/// Runs `SCHEDULES` schedules, from the seed `SEED` on, and all those in which one thing goes wrong.
fn main() -> ExitCode {
    let number = |name, default| env::var(name).ok().and_then(|value| value.parse::<u64>().ok()).unwrap_or(default);
    let (first_seed, seeds) = (number("SEED", 1), number("SCHEDULES", 20_000).div_ceil(SCHEDULES_PER_SEED));
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
            let result = Simulation::ALL
                .into_iter()
                .try_for_each(|simulation| search::sample(simulation, seed, simulation.share(), &schedules_run));
            if let Err(finding) = result {
                // The others stop, too.
                next.store(seeds, Relaxed);
                found.lock().expect("nobody panics with it").get_or_insert((seed, finding));
                return;
            }
            let done = done.fetch_add(1, Relaxed) + 1;
            if done * 100 / seeds > (done - 1) * 100 / seeds {
                let seconds = began.elapsed().as_secs();
                eprint!("\r{} of {} schedules, {seconds} s ", done * SCHEDULES_PER_SEED, seeds * SCHEDULES_PER_SEED);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, Into::into) {
            scope.spawn(work);
        }
    });
    eprintln!();
    match found.into_inner().expect("nobody panics with it") {
        None => {
            let mut schedules = seeds * SCHEDULES_PER_SEED;
            for simulation in Simulation::ALL {
                match is_deterministic(simulation).and_then(|()| search::exhaust(simulation, 1)) {
                    Ok(count) => schedules += u64::from(count),
                    Err(finding) => {
                        print!("{finding}");
                        return ExitCode::FAILURE;
                    }
                }
            }
            println!("{schedules} schedules in {} s, and no promise broken", began.elapsed().as_secs());
            ExitCode::SUCCESS
        }
        Some((seed, finding)) => {
            print!("{finding}");
            let seconds = (finding.found_at - began).as_secs_f64();
            println!("Found after {} schedules, {seconds:.1} s.", finding.schedules);
            println!("Again: make simulate SEED={seed} SCHEDULES={SCHEDULES_PER_SEED}");
            ExitCode::FAILURE
        }
    }
}

/// The same schedule is the same story, or no failure could be looked at again.
fn is_deterministic(simulation: Simulation) -> Result<(), Finding> {
    let schedule: Vec<u8> = (0..100).map(|index| if index % 3 == 0 { index } else { 0 }).collect();
    let [first, second] = [(); 2].map(|()| search::run(simulation, &schedule, true).log);
    if first == second {
        return Ok(());
    }
    Err(Finding {
        simulation,
        schedules: 0,
        found_at: Instant::now(),
        schedule,
        violation: "the simulation is not deterministic".into(),
        log: first.into_iter().zip(second).filter(|(a, b)| a != b).flat_map(|(a, b)| [a, b]).collect(),
    })
}
