//! Idempotency: which calls with one key run a body, and which get its response.

use std::cell::RefCell;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use powertools::idempotency::Idempotency;
use simulation::{Simulation, Violation, choose, client, cloud, elapsed, invoke, log, settle, sleep};

fn main() -> ExitCode {
    simulation::main(Simulation { name: "idempotency", schedules: 3_000, run: || Box::pin(simulate()) })
}

const TABLE: &str = "idempotency";

const TIMEOUT: Duration = Duration::from_secs(30);
const RETRY_AFTER: Duration = Duration::from_secs(20);
/// The default of Powertools.
const EXPIRES_AFTER: Duration = Duration::from_secs(60 * 60);

/// The delay of each call.
const DELAYS: [Duration; 5] = [
    Duration::ZERO,
    Duration::from_millis(15),
    Duration::from_millis(30_015),
    Duration::from_secs(45),
    Duration::from_secs(2 * 60 * 60),
];

/// The duration of the body.
const DURATIONS: [Duration; 3] = [Duration::from_millis(10), Duration::from_secs(5), Duration::from_secs(29)];

/// The history of the bodies, outside of any table.
#[derive(Debug, Default)]
struct Bodies {
    begun: usize,
    running: usize,
    /// The number and the end of each body that succeeded.
    succeeded: Vec<(usize, Duration)>,
    /// The body whose response was given, and the time at which it had succeeded.
    given: Option<(usize, Duration)>,
    violation: Option<Violation>,
}

thread_local! {
    static BODIES: RefCell<Bodies> = RefCell::default();
}

/// The handler's state, made once for each thread.
fn idempotency() -> Arc<Idempotency> {
    thread_local! {
        static IDEMPOTENCY: Arc<Idempotency> =
            Arc::new(Idempotency::new(client!(aws_sdk_dynamodb), TABLE).key_prefix("simulation"));
    }
    IDEMPOTENCY.with(Arc::clone)
}

fn bodies<R>(work: impl FnOnce(&mut Bodies) -> R) -> R {
    BODIES.with_borrow_mut(work)
}

/// Several calls with one key, each repeated until it is answered, with any faults.
async fn simulate() -> Result<(), Violation> {
    cloud(|cloud| cloud.keys.insert(TABLE, "id"));
    BODIES.take();
    let count = [2, 1, 3, 4][choose(4)];
    let calls: Vec<_> = (1..=count).map(|call| answer(call, DELAYS[choose(DELAYS.len())])).collect();
    join_all(calls).await;
    settle().await;
    bodies(|bodies| bodies.violation.take()).map_or(Ok(()), Err)
}

async fn answer(call: usize, delay: Duration) {
    sleep(delay).await;
    loop {
        log(|| format!("call {call}"));
        let result = invoke(TIMEOUT, |context| async move { idempotency().run("key", &context, body).await }).await;
        log(|| format!("call {call} is answered {result:?}"));
        if let Ok(Ok(response)) = result {
            bodies(|bodies| match bodies.succeeded.iter().find(|(number, _)| *number == response) {
                Some(succeeded) => bodies.given = Some(*succeeded),
                None => bodies.violation = Some(format!("{response} is the response of no body that succeeded")),
            });
            return;
        }
        sleep(RETRY_AFTER).await;
    }
}

/// Counts a running body, and ends the count also if its function is killed.
struct Running;

impl Running {
    fn begin() -> (usize, Self) {
        let now = elapsed();
        let number = bodies(|bodies| {
            bodies.begun += 1;
            bodies.running += 1;
            if bodies.running > 1 {
                bodies.violation.get_or_insert_with(|| "the body runs twice at the same time".into());
            }
            if bodies.given.is_some_and(|(_, succeeded)| now < succeeded + EXPIRES_AFTER) {
                bodies.violation.get_or_insert_with(|| "the body runs again although its response was given".into());
            }
            bodies.begun
        });
        log(|| format!("body {number} begins"));
        (number, Self)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        bodies(|bodies| bodies.running -= 1);
    }
}

async fn body() -> Result<usize, &'static str> {
    let (number, _running) = Running::begin();
    sleep(DURATIONS[choose(DURATIONS.len())]).await;
    if choose(2) == 1 {
        log(|| format!("body {number} fails"));
        return Err("no");
    }
    log(|| format!("body {number} succeeds"));
    bodies(|bodies| bodies.succeeded.push((number, elapsed())));
    Ok(number)
}
