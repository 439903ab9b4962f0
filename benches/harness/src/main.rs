//! Starts functions as Lambda would, and HTTP servers, and measures them: `lambda-bench PLAN` prints the measurements
//! as JSON.
//!
//! Each start is a new process on a processor core of its own, which is what Lambda gives a function with 1,769 MB.
//! They take turns, so that other work of the machine affects all alike.

mod fronts;
mod function;
mod process;
mod runtime_api;
mod server;
mod services;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::error::Error;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, fs};

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::fronts::Front;
use crate::function::Function;
use crate::process::Usage;
use crate::server::Server;
use crate::services::Services;

/// In an event or a path: a number that no other request of the plan has.
const NUMBER: &str = "{number}";

/// The measurements to make.
#[derive(Deserialize)]
struct Plan {
    /// Number of times that each start is made.
    rounds: usize,
    /// In the order of the first round.
    starts: Vec<Start>,
    #[serde(default)]
    fronts: Vec<Front>,
    /// The value that the Parameters and Secrets extension has for each parameter; `None` if there is no extension.
    parameter: Option<String>,
}

/// A function or a server, and what it is asked.
#[derive(Deserialize)]
struct Start {
    /// The name of the measurement.
    name: String,
    /// The executable and its arguments.
    command: Vec<String>,
    /// Variables beside Lambda's own.
    environment: BTreeMap<String, String>,
    /// The event of all invocations, or the path of all requests to a server.
    event: PathBuf,
    /// What the expected answer has, maybe among other members; `None` accepts any.
    answer: Option<Value>,
    /// Number of invocations or requests after the first.
    warm: usize,
    /// For a server.
    server: Option<Asked>,
}

/// How a server is asked.
#[derive(Deserialize)]
struct Asked {
    /// Where it listens.
    port: u16,
    /// Number of clients that send the requests after the first.
    clients: usize,
}

/// One start of a function or a server.
#[derive(Serialize)]
struct Measurement<'a> {
    name: &'a str,
    /// From the start of the process until it asks for an event, or answers requests.
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
    let services = Services::start(plan.parameter.as_deref()).await?;
    for front in &plan.fronts {
        front.listen(services.tls()).await?;
    }
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
    let event = fs::read_to_string(&start.event)?;
    let Start { name, command, environment, warm, .. } = start;
    let (init, first, warm, peak_memory_bytes) = if let Some(asked) = &start.server {
        let (server, init) = Server::start(command, environment, asked.port, cores, services).await?;
        let (answer, first) = server.ask(&event).await?;
        start.check(&answer)?;
        // A compiler that compiles while a program runs has done so for the most part after these.
        server.load(&event, asked.clients, warm / 4).await?;
        let warm = server.load(&event, asked.clients, *warm).await?;
        (init, first, warm, server.stop().await?)
    } else {
        let (mut function, init) = Function::start(command, environment, cores, services).await?;
        let mut usages = Vec::new();
        for _ in 0..=*warm {
            let (answer, usage) = function.invoke(numbered(&event).as_bytes(), services).await?;
            start.check(&answer)?;
            usages.push(usage);
        }
        let first = usages.remove(0);
        (init, first, usages, function.stop().await?)
    };
    Ok(Measurement { name, init, first, warm, peak_memory_bytes })
}

impl Start {
    fn check(&self, answer: &Value) -> Result<(), Box<dyn Error>> {
        match &self.answer {
            Some(expected) if !has(answer, expected) => Err(format!("answered {answer} instead of {expected}").into()),
            _ => Ok(()),
        }
    }
}

/// Whether it is the expected value, or an object with the expected members.
fn has(value: &Value, expected: &Value) -> bool {
    match (value, expected) {
        (Value::Object(value), Value::Object(expected)) => {
            expected.iter().all(|(name, expected)| value.get(name) == Some(expected))
        }
        _ => value == expected,
    }
}

/// The text, with a number in it that no other text has.
fn numbered(text: &str) -> Cow<'_, str> {
    static NEXT: AtomicUsize = AtomicUsize::new(1);
    match text.contains(NUMBER) {
        true => text.replace(NUMBER, &NEXT.fetch_add(1, Ordering::Relaxed).to_string()).into(),
        false => text.into(),
    }
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
