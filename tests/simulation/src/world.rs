//! The one world of a schedule: what was chosen, what is stored, and the log of what happened.

use std::cell::RefCell;
use std::time::{Duration, SystemTime};

use tokio::runtime::{Builder, Handle};
use tokio::time::sleep;

use crate::choices::{Answer, Choices};
use crate::clock;
use crate::cloud::Cloud;
use crate::simulation::Simulation;

/// 2026-11-20T23:50:00Z: midnight is near.
pub const BEGINNING: Duration = Duration::from_secs(1_795_218_600);

/// Longer than anything that is still on its way.
const LONG_AFTER: Duration = Duration::from_secs(48 * 60 * 60);

/// A promise that was not kept.
pub type Violation = String;

#[derive(Default)]
struct World {
    choices: Choices,
    cloud: Cloud,
    log: Option<Vec<String>>,
}

thread_local! {
    static WORLD: RefCell<World> = RefCell::default();
}

/// What came of a schedule.
pub struct Outcome {
    pub result: Result<(), Violation>,
    /// All answers that were given.
    pub answers: Vec<Answer>,
    /// What happened, if it was to be logged.
    pub log: Vec<String>,
}

/// Runs a simulation under a schedule, in virtual time.
pub fn run(simulation: Simulation, schedule: &[u8], with_log: bool) -> Outcome {
    WORLD.replace(World {
        choices: Choices::new(schedule.to_vec()),
        log: with_log.then(Vec::new),
        ..World::default()
    });
    fastrand::seed(0);
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().expect("it needs no resources");
    let result = runtime.block_on(async {
        clock::begin(SystemTime::UNIX_EPOCH + BEGINNING);
        simulation.run().await
    });
    clock::end();
    let world = WORLD.take();
    Outcome { result, answers: world.choices.answers().to_vec(), log: world.log.unwrap_or_default() }
}

/// Ends a simulation that panicked.
pub fn abandon(violation: Violation) -> Outcome {
    clock::end();
    let world = WORLD.take();
    Outcome {
        result: Err(violation),
        answers: world.choices.answers().to_vec(),
        log: world.log.unwrap_or_default(),
    }
}

/// A number below `of`; 0 when nothing goes wrong.
pub fn choose(of: usize) -> usize {
    WORLD.with_borrow_mut(|world| world.choices.choose(of))
}

/// The services' state.
pub fn cloud<R>(work: impl FnOnce(&mut Cloud) -> R) -> R {
    WORLD.with_borrow_mut(|world| work(&mut world.cloud))
}

/// Logs what happened, if anybody wants to read it.
pub fn log(message: impl FnOnce() -> String) {
    let wanted = WORLD.with_borrow(|world| world.log.is_some());
    if wanted {
        let seconds = clock::elapsed() as f64 / 1000.0;
        let line = format!("{seconds:>10.2} s  {}", message());
        WORLD.with_borrow_mut(|world| world.log.get_or_insert_default().push(line));
    }
}

/// Lets something happen later, whoever is gone by then.
pub fn later(delay: Duration, work: impl FnOnce() + Send + 'static) {
    // When a schedule has come to its end, nobody looks any more.
    if let Ok(runtime) = Handle::try_current() {
        runtime.spawn(async move {
            sleep(delay).await;
            work();
        });
    }
}

/// Waits until all that was to happen later has happened.
pub async fn settle() {
    sleep(LONG_AFTER).await;
}
