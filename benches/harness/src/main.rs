//! Starts functions as Lambda would, and measures them: `lambda-bench PLAN` prints the measurements as JSON.
//!
//! Each start is a new process on a processor core of its own, which is what Lambda gives a function with 1,769 MB.
//! Functions take turns, so that other work of the machine affects all alike.

mod function;
mod runtime_api;
mod services;

use std::collections::BTreeMap;
use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::function::{Function, Usage};
use crate::services::Services;

/// The measurements to make.
#[derive(Deserialize)]
struct Plan {
    /// Number of times that each start is made.
    rounds: usize,
    /// In the order of the first round.
    starts: Vec<Start>,
}

/// A function, and the event of all its invocations.
#[derive(Deserialize)]
struct Start {
    /// The name of the measurement.
    name: String,
    /// The function's executable and arguments.
    command: Vec<String>,
    /// Variables beside Lambda's own.
    environment: BTreeMap<String, String>,
    event: PathBuf,
    /// The expected answer; `None` accepts any.
    answer: Option<serde_json::Value>,
    /// Number of invocations after the first.
    warm: usize,
}

/// One start of a function.
#[derive(Serialize)]
struct Measurement<'a> {
    name: &'a str,
    /// From the start of the process until it asks for an event.
    init: Usage,
    first: Usage,
    warm: Vec<Usage>,
    peak_memory_bytes: u64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let path = env::args().nth(1).ok_or("usage: lambda-bench PLAN")?;
    let plan: Plan = serde_json::from_slice(&fs::read(path)?)?;
    let cores = Cores::take()?;
    let services = Services::start().await?;
    let mut measurements = Vec::new();
    for round in 0..plan.rounds {
        eprintln!("==> Round {} of {}", round + 1, plan.rounds);
        // Each round begins with another start, and every second round goes backwards, so that no start always follows
        // the same one.
        let mut starts: Vec<&Start> = plan.starts.iter().collect();
        starts.rotate_left(round % plan.starts.len());
        if round % 2 == 1 {
            starts.reverse();
        }
        for start in starts {
            measurements
                .push(measure(start, &cores, &services).await.map_err(|error| format!("{}: {error}", start.name))?);
        }
    }
    println!("{}", serde_json::to_string(&measurements)?);
    Ok(())
}

async fn measure<'a>(start: &'a Start, cores: &Cores, services: &Services) -> Result<Measurement<'a>, Box<dyn Error>> {
    let event = fs::read(&start.event)?;
    let (mut function, init) = Function::start(&start.command, &start.environment, cores, services).await?;
    let mut usages = Vec::new();
    for _ in 0..=start.warm {
        let (answer, usage) = function.invoke(&event, services).await?;
        if let Some(expected) = &start.answer
            && answer != *expected
        {
            return Err(format!("answered {answer} instead of {expected}").into());
        }
        usages.push(usage);
    }
    let first = usages.remove(0);
    let peak_memory_bytes = function.peak_memory_bytes()?;
    function.stop().await?;
    Ok(Measurement { name: &start.name, init, first, warm: usages, peak_memory_bytes })
}

/// The cores of the functions, and the cores of everything else.
struct Cores {
    functions: CpuSet,
    harness: CpuSet,
}

impl Cores {
    /// The last core is for functions, the others for the harness. On a machine with one core, both share it.
    fn take() -> nix::Result<Self> {
        let all = sched_getaffinity(Pid::from_raw(0))?;
        let mut usable = (0..CpuSet::count()).filter(|core| all.is_set(*core) == Ok(true));
        let (mut functions, mut harness) = (CpuSet::new(), all);
        if let Some(last) = usable.next_back() {
            functions.set(last)?;
            if usable.next().is_some() {
                harness.unset(last)?;
            }
        }
        sched_setaffinity(Pid::from_raw(0), &harness)?;
        Ok(Self { functions, harness })
    }

    /// Runs `spawn` so that the process it makes is on the functions' core.
    fn spawn_function<T>(&self, spawn: impl FnOnce() -> T) -> nix::Result<T> {
        // A process starts on the cores of the thread that made it.
        sched_setaffinity(Pid::from_raw(0), &self.functions)?;
        let spawned = spawn();
        sched_setaffinity(Pid::from_raw(0), &self.harness)?;
        Ok(spawned)
    }
}
