//! The world of a schedule: answers, stored state, and the log.

use std::cell::RefCell;
use std::time::Duration;

use crate::Simulation;
use crate::choices::{Answer, Choices};
use crate::cloud::Cloud;
use crate::time::{self, sleep};

/// Longer than anything stays on its way.
const LONG_AFTER: Duration = Duration::from_secs(48 * 60 * 60);

/// A broken promise.
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

/// The result of a schedule.
pub struct Outcome {
    pub result: Result<(), Violation>,
    /// All answers.
    pub answers: Vec<Answer>,
    /// The log, if there is one.
    pub log: Vec<String>,
}

/// Runs a simulation under a schedule.
pub fn run(simulation: Simulation, schedule: &[u8], with_log: bool) -> Outcome {
    WORLD.replace(World { choices: Choices::new(schedule.to_vec()), log: with_log.then(Vec::new), ..World::default() });
    time::block_on(async { end((simulation.run)().await) })
}

/// Ends the simulation that this thread ran last.
pub fn end(result: Result<(), Violation>) -> Outcome {
    time::end();
    let world = WORLD.take();
    Outcome { result, answers: world.choices.answers().to_vec(), log: world.log.unwrap_or_default() }
}

/// A number below `of`; 0 if nothing goes wrong.
pub fn choose(of: usize) -> usize {
    WORLD.with_borrow_mut(|world| world.choices.choose(of))
}

/// Makes the SDK choose the same waiting times again.
pub fn seed() {
    fastrand::seed(WORLD.with_borrow(|world| world.choices.answers().len() as u64));
}

/// The services' state.
pub fn cloud<R>(work: impl FnOnce(&mut Cloud) -> R) -> R {
    WORLD.with_borrow_mut(|world| work(&mut world.cloud))
}

/// Logs an event, if there is a log.
pub fn log(message: impl FnOnce() -> String) {
    if WORLD.with_borrow(|world| world.log.is_some()) {
        let line = format!("{:>10.2} s  {}", time::elapsed().as_secs_f64(), message());
        WORLD.with_borrow_mut(|world| world.log.get_or_insert_default().push(line));
    }
}

/// Waits until everything has happened that is still to happen.
pub async fn settle() {
    sleep(LONG_AFTER).await;
}
