//! The directory's cache, with the real client: which answers processes get while Valkey, the replica and they themselves
//! fail. docs/directory/cache.md says what is promised.

mod database;
mod valkey;

use std::cell::{Cell, RefCell};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use directory::{Cache, Change, Key};
use simulation::{Simulation, Violation, choose};
use tokio::runtime;
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::{Instant, sleep};

use database::{Database, Source};
use valkey::Valkey;

fn main() -> ExitCode {
    simulation::main(Simulation { name: "directory", schedules: 6_000, run: || Box::pin(async { simulate() }) })
}

/// The list has all of them. The last one is never written.
const ROWS: [&str; 3] = ["a", "b", "c"];
const UNWRITTEN: usize = 2;
const GROUP: &str = "advisors";
const LIST: Key<'static> = Key::List { group: GROUP, query: "all" };
const PROCESSES: usize = 3;

/// The promises.
const LIMIT: Duration = Duration::from_millis(100);
const LONGEST_LAG: Duration = Duration::from_secs(5);
const TTL: Duration = Duration::from_secs(60);
const RECOVERY: Duration = Duration::from_secs(2);

/// A timer ends up to a millisecond late, and an answer waits for several.
const TOLERANCE: Duration = Duration::from_millis(5);

/// Nothing is delayed by more.
const LONGEST_DELAY: Duration = Duration::from_secs(30);

/// What happens in a step.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Depends on the step's number.
    Usual,
    Read(usize),
    ReadList,
    Write(usize),
    LoseAll,
    Restart,
    FailOver,
    Evict,
    Fill,
    Hang,
    Refuse,
    Kill,
}

const STEPS: [Step; 15] = [
    Step::Usual,
    Step::Read(0),
    Step::Write(0),
    Step::ReadList,
    Step::Evict,
    Step::LoseAll,
    Step::Kill,
    Step::Restart,
    Step::FailOver,
    Step::Fill,
    Step::Hang,
    Step::Refuse,
    Step::Read(1),
    Step::Write(1),
    Step::Read(UNWRITTEN),
];

const USUAL: [Step; 5] = [Step::Read(0), Step::Write(0), Step::Read(0), Step::ReadList, Step::Read(0)];

/// The time from a step to the next.
const GAPS: [Duration; 8] = [
    Duration::from_millis(1),
    Duration::ZERO,
    Duration::from_millis(12),
    Duration::from_millis(300),
    Duration::from_secs(2),
    Duration::from_millis(5_200),
    Duration::from_secs(61),
    // Longer than a token is valid.
    Duration::from_secs(16 * 60),
];

/// A process that serves requests.
struct Process {
    cache: Arc<Cache>,
    requests: Vec<AbortHandle>,
}

#[derive(Default)]
struct World {
    valkey: Valkey,
    database: Database,
    processes: Vec<Process>,
    /// Nothing fails any more.
    is_calm: bool,
    /// The time until which something fails, if anything has.
    failed_until: Option<Duration>,
    violation: Option<Violation>,
}

thread_local! {
    static BEGAN: Cell<Option<Instant>> = const { Cell::new(None) };
    static WORLD: RefCell<World> = RefCell::default();
}

fn world<R>(work: impl FnOnce(&mut World) -> R) -> R {
    WORLD.with_borrow_mut(work)
}

/// The time since the simulation began.
fn now() -> Duration {
    BEGAN.get().map_or(Duration::ZERO, |began| began.elapsed())
}

fn log(message: impl FnOnce() -> String) {
    simulation::set_elapsed(now());
    simulation::log(message);
}

/// Whether, and how, something fails.
fn fault(of: usize) -> usize {
    if world(|world| world.is_calm) {
        return 0;
    }
    let fault = choose(of);
    if fault > 0 {
        world(|world| world.failed_until = world.failed_until.max(Some(now())));
    }
    fault
}

fn violate(violation: Violation) {
    log(|| violation.clone());
    world(|world| {
        world.violation.get_or_insert(violation);
    });
}

fn simulate() -> Result<(), Violation> {
    // The time for which an entry is kept is random.
    fastrand::seed(0);
    world(|world| *world = World::default());
    let runtime = runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime without input and output needs nothing").block_on(async {
        BEGAN.set(Some(Instant::now()));
        schedule().await;
    });
    BEGAN.set(None);
    // Caches stay no longer than their runtime.
    world(std::mem::take).violation.map_or(Ok(()), Err)
}

async fn schedule() {
    world(|world| world.processes = (0..PROCESSES).map(process).collect());
    world(|world| world.database.choose_lag());
    let count = [6, 3, 9, 14][choose(4)];
    let steps: Vec<_> =
        (0..count).map(|_| (STEPS[choose(STEPS.len())], choose(PROCESSES), GAPS[choose(GAPS.len())])).collect();
    let mut requests = Vec::new();
    for (number, (step, process, gap)) in steps.into_iter().enumerate() {
        world(|world| world.valkey.copy());
        let step = if matches!(step, Step::Usual) { USUAL[number % USUAL.len()] } else { step };
        log(|| format!("process {process}: {step:?}"));
        match step {
            Step::Usual => unreachable!("these are replaced"),
            Step::Read(row) => requests.push(start(process, read(process, item(row)))),
            Step::ReadList => requests.push(start(process, read(process, LIST))),
            Step::Write(row) => requests.push(start(process, write(process, row))),
            Step::Kill => kill(process),
            step => valkey::disturb(step),
        }
        sleep(gap).await;
    }
    sleep(LONGEST_DELAY).await;
    log(|| "nothing fails any more".into());
    world(|world| {
        world.is_calm = true;
        world.valkey.heal();
    });
    sleep(RECOVERY).await;
    for process in 0..PROCESSES {
        read(process, item(UNWRITTEN)).await;
        let reads = world(|world| world.database.reads);
        read(process, item(UNWRITTEN)).await;
        if world(|world| world.database.reads) > reads {
            violate(format!("process {process} does not use the cache {} s after its return", RECOVERY.as_secs()));
        }
    }
    sleep(TTL).await;
    let reads = world(|world| world.database.reads);
    let readers: Vec<_> = (0..2 * PROCESSES).map(|reader| reader % PROCESSES).collect();
    let readers: Vec<_> = readers.into_iter().map(|process| start(process, read(process, LIST))).collect();
    for request in requests.into_iter().chain(readers) {
        if let Err(error) = request.await
            && error.is_panic()
        {
            violate(format!("a request fails: {error}"));
        }
    }
    match world(|world| world.database.reads) - reads {
        1 => {}
        count => violate(format!("the database is read {count} times for one document")),
    }
}

fn process(number: usize) -> Process {
    let token = || async { Ok(now().as_millis().to_string()) };
    Process { cache: Arc::new(Cache::new("directory", move || valkey::open(number), token)), requests: Vec::new() }
}

fn start(process: usize, request: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    let request = tokio::spawn(request);
    world(|world| world.processes[process].requests.push(request.abort_handle()));
    request
}

/// Ends a process, and starts another in its place.
fn kill(number: usize) {
    log(|| format!("process {number} is killed"));
    let killed = world(|world| {
        world.failed_until = world.failed_until.max(Some(now()));
        std::mem::replace(&mut world.processes[number], process(number))
    });
    killed.requests.iter().for_each(AbortHandle::abort);
}

fn item(row: usize) -> Key<'static> {
    Key::Item { group: GROUP, id: ROWS[row] }
}

/// The rows of a document.
fn rows(key: Key<'_>) -> Vec<usize> {
    (0..ROWS.len())
        .filter(|&row| matches!(key, Key::List { .. }) || matches!(key, Key::Item { id, .. } if id == ROWS[row]))
        .collect()
}

async fn read(process: usize, key: Key<'static>) {
    let began = now();
    let (cache, request, floors) = world(|world| {
        let oldest = began.saturating_sub(TTL + LONGEST_LAG);
        let floors = rows(key).into_iter().map(|row| (row, world.database.floor(row, oldest))).collect::<Vec<_>>();
        (Arc::clone(&world.processes[process].cache), world.database.begin(), floors)
    });
    let from = |source| database::read(request, process, rows(key), source);
    let Ok(document) = cache.read(key, from(Source::Replica), from(Source::Primary)).await;
    log(|| format!("process {process} reads {} from {key:?}", text(document.as_ref())));
    check_duration(request, began);
    for ((row, floor), value) in floors.into_iter().zip(text(document.as_ref()).split(' ')) {
        let result = world(|world| world.database.check(row, value, floor));
        if let Err(problem) = result {
            violate(format!("{}: {problem}", ROWS[row]));
        }
    }
}

fn text(document: Option<&Bytes>) -> &str {
    document.map_or("-", |document| std::str::from_utf8(document).unwrap_or("no text"))
}

async fn write(process: usize, row: usize) {
    let began = now();
    let (cache, request) = world(|world| (Arc::clone(&world.processes[process].cache), world.database.begin()));
    let changes = [Change { group: GROUP, ids: &[ROWS[row]] }];
    let written = cache.write(&changes, database::write(request, process, row, began)).await;
    check_duration(request, began);
    log(|| format!("process {process} has written {}: {written:?}", ROWS[row]));
    if written.reached_cache {
        world(|world| world.database.answer(row, written.output));
    }
}

fn check_duration(request: usize, began: Duration) {
    let waited = now() - began - world(|world| world.database.duration(request));
    if waited > LIMIT + TOLERANCE {
        violate(format!("an answer waited {} ms for the cache", waited.as_millis()));
    }
}
