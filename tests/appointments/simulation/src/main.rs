//! The archive: a stream, its mapping, `archive::stream` and S3.

use std::collections::BTreeMap;
use std::ops::Range;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use archive::Archive;
use archive::examples::LOANS;
use archive::stream::handle;
use bytes::Bytes;
use chrono::DateTime;
use futures_util::future::join_all;
use lambda_runtime::LambdaEvent;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use powertools::batch::UnparsedEvent;
use powertools::metrics::Metrics;
use serde_json::{Value, value::RawValue};
use simulation::{Simulation, Violation, choose, client, cloud, invoke, log, settle, sleep};

fn main() -> ExitCode {
    simulation::main(Simulation { name: "archive", schedules: 11_000, run: || Box::pin(simulate()) })
}

/// `Timeout` of the function, and the mapping's `MaximumRecordAgeInSeconds`, as in stacks/appointments/template.yaml.
const TIMEOUT: Duration = Duration::from_secs(60);
const MAXIMUM_RECORD_AGE: Duration = Duration::from_secs(21_600);

/// The mapping waits before it retries; see docs/appointments/simulation.md.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// 2026-11-20T23:59:59Z and the second after it.
const BEFORE_MIDNIGHT: u64 = 1_795_219_199;
const AFTER_MIDNIGHT: u64 = BEFORE_MIDNIGHT + 1;

/// Number of changes; three, if nothing goes wrong.
const COUNTS: [usize; 12] = [3, 1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 12];

/// A change, as a record of the stream.
#[derive(Clone, Copy, Debug)]
struct Change {
    /// Its place in the stream, which identifies it.
    number: usize,
    /// The changed loan.
    key: usize,
    /// Clocks differ: a later change may have a time before midnight.
    after_midnight: bool,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Insert,
    Remove,
    NoLoan,
    NoSequenceNumber,
}

impl Change {
    fn any(number: usize) -> Self {
        const KINDS: [Kind; 6] =
            [Kind::Insert, Kind::NoLoan, Kind::Remove, Kind::Insert, Kind::Insert, Kind::NoSequenceNumber];
        let chosen = choose(2 * 3 * KINDS.len());
        Self { number, after_midnight: chosen % 2 == 1, key: chosen / 2 % 3, kind: KINDS[chosen / 6] }
    }

    fn is_poison(self) -> bool {
        matches!(self.kind, Kind::NoLoan | Kind::NoSequenceNumber)
    }

    /// The UTC date of its partition.
    fn dt(self) -> &'static str {
        if self.after_midnight { "2026-11-21" } else { "2026-11-20" }
    }

    fn seconds(self) -> u64 {
        if self.after_midnight { AFTER_MIDNIGHT } else { BEFORE_MIDNIGHT }
    }

    fn event_id(self) -> String {
        format!("event-{}", self.number)
    }

    fn sequence_number(self) -> String {
        // Numbers of different lengths: their order differs from that of their texts.
        (8 + self.number).to_string()
    }

    fn image(self) -> String {
        let Self { number, key, .. } = self;
        match self.kind {
            Kind::NoLoan => "{}".into(),
            _ => format!(
                r#"{{"book_id":{{"S":"ada"}},"due_at":{{"S":"2026-12-01T0{key}:00:00Z"}},"note":{{"S":"{number}"}},"reader_id":{{"S":"s-{key}"}}}}"#
            ),
        }
    }

    /// The record that the mapping gives to the function.
    fn record(self) -> String {
        let (event_name, image_name) =
            if self.kind == Kind::Remove { ("REMOVE", "OldImage") } else { ("INSERT", "NewImage") };
        let sequence_number = match self.kind {
            Kind::NoSequenceNumber => String::new(),
            _ => format!(r#","SequenceNumber":"{}""#, self.sequence_number()),
        };
        format!(
            r#"{{"eventID":"{}","eventName":"{event_name}","eventSource":"aws:dynamodb","dynamodb":{{"ApproximateCreationDateTime":{},"Keys":{{}},"{image_name}":{}{sequence_number}}}}}"#,
            self.event_id(),
            self.seconds(),
            self.image(),
        )
    }

    /// The columns of its row, by name.
    fn row(self) -> BTreeMap<&'static str, Field> {
        let text = |text: &str| Field::Str(text.to_owned());
        let due_at = DateTime::parse_from_rfc3339(&format!("2026-12-01T0{}:00:00Z", self.key));
        let removed = self.kind == Kind::Remove;
        BTreeMap::from([
            ("event_id", text(&self.event_id())),
            ("event_source", text("aws:dynamodb")),
            ("event_name", text(if removed { "REMOVE" } else { "INSERT" })),
            ("sequence_number", text(&self.sequence_number())),
            ("event_time", Field::TimestampMillis(self.seconds() as i64 * 1000)),
            ("book_id", text("ada")),
            ("due_at", Field::TimestampMillis(due_at.expect("it is a time").timestamp_millis())),
            ("reader_id", text(&format!("s-{}", self.key))),
            ("note", text(&self.number.to_string())),
            ("new_image", if removed { Field::Null } else { text(&self.image()) }),
            ("old_image", if removed { text(&self.image()) } else { Field::Null }),
        ])
    }
}

/// The handler's state, made once for each thread.
fn archive() -> Arc<Archive> {
    thread_local! {
        static ARCHIVE: Arc<Archive> = {
            Arc::new(Archive { table: &LOANS, s3: client!(aws_sdk_s3), bucket: "archive".into() })
        };
    }
    ARCHIVE.with(Arc::clone)
}

/// Some changes, from the table's stream to the archive, with any faults.
async fn simulate() -> Result<(), Violation> {
    cloud(|cloud| cloud.describe_object = Some(describe));
    let count = COUNTS[choose(COUNTS.len())];
    let changes: Vec<Change> = (0..count).map(Change::any).collect();
    for change in &changes {
        log(|| format!("{change:?}"));
    }
    // A shard that is split ends, and two new shards follow it; their records are read after it has ended.
    let split = count - choose(count + 1);
    // Lanes of a shard, each with the changes of some loans, are processed concurrently.
    let parallelization_factor = 1 + choose(2);
    log(|| format!("the shard is split after {split} changes; ParallelizationFactor is {parallelization_factor}"));
    let mut given_up = Vec::new();
    for shards in [vec![&changes[..split]], vec![&changes[split..]; 2]] {
        let children = shards.len();
        let mut lanes = Vec::new();
        for (shard, changes) in shards.into_iter().enumerate() {
            for lane in 0..parallelization_factor {
                let is_here = |change: &&Change| {
                    change.key % children == shard && change.key / children % parallelization_factor == lane
                };
                lanes.push(read(changes.iter().filter(is_here).copied().collect()));
            }
        }
        given_up.extend(join_all(lanes).await.into_iter().flatten());
    }
    let mut books = Books::read()?;
    books.check_before_redrive(&changes, &given_up)?;
    while !given_up.is_empty() {
        let batch = given_up.remove(choose(given_up.len()));
        redrive(&batch).await;
        if choose(2) == 1 {
            log(|| "redriven once more".into());
            redrive(&batch).await;
        }
    }
    settle().await;
    if cloud(|cloud| cloud.objects != books.objects) {
        books = Books::read()?;
    }
    books.check(&changes)
}

/// The mapping's interpretation of an answer.
enum Delivered {
    Whole,
    /// All records before this one are done; it is counted from the first of the batch.
    Before(usize),
    Nothing,
}

/// Invokes the function with a batch.
async fn deliver(batch: &[Change]) -> Delivered {
    log(|| format!("batch {} is delivered", numbers(batch)));
    let records: Vec<String> = batch.iter().map(|change| change.record()).collect();
    let event = UnparsedEvent(format!(r#"{{"Records":[{}]}}"#, records.join(",")).into());
    let archive = archive();
    let result = invoke(TIMEOUT, |context| {
        let archive = Arc::clone(&archive);
        async move { handle(&archive, &Metrics::new("Registrar"), LambdaEvent::new(event, context)).await }
    })
    .await;
    let Ok(result) = result else { return Delivered::Nothing };
    let Ok(response) = result else {
        log(|| "the invocation fails".into());
        return Delivered::Nothing;
    };
    if choose(2) == 1 {
        log(|| "the function's answer is lost".into());
        return Delivered::Nothing;
    }
    // The lowest reported record counts; an unknown identifier fails the batch.
    let mut first = batch.len();
    for failure in response.batch_item_failures {
        let position = failure.item_identifier.and_then(|identifier| {
            batch
                .iter()
                .position(|change| change.kind != Kind::NoSequenceNumber && change.sequence_number() == identifier)
        });
        let Some(position) = position else {
            log(|| "the answer names no record of the batch".into());
            return Delivered::Nothing;
        };
        first = first.min(position);
    }
    if first < batch.len() {
        log(|| format!("record {} is reported", batch[first].number));
        return Delivered::Before(first);
    }
    Delivered::Whole
}

/// The mapping, for the changes of one lane; returns the batches that it sent to the failure destination.
async fn read(lane: Vec<Change>) -> Vec<Vec<Change>> {
    let mut given_up = Vec::new();
    let mut checkpoint = 0;
    while checkpoint < lane.len() {
        let size = match choose(lane.len() - checkpoint) {
            0 => lane.len() - checkpoint,
            size => size,
        };
        // Parts of the batch that was read, the first one last.
        let whole: Range<usize> = checkpoint..checkpoint + size;
        let mut batches = vec![whole];
        while let Some(batch) = batches.pop() {
            let done = match deliver(&lane[batch.clone()]).await {
                Delivered::Whole => batch.len(),
                Delivered::Before(first) => first,
                Delivered::Nothing => 0,
            };
            checkpoint = batch.start + done;
            if choose(2) == 1 {
                // The last delivered records may be delivered again, together with more or fewer records.
                checkpoint = batch.start;
                log(|| format!("the checkpoint is lost: back to record {}", lane[checkpoint].number));
                sleep(RETRY_AFTER).await;
                break;
            }
            let rest = checkpoint..batch.end;
            if rest.is_empty() {
                continue;
            }
            let expired = match choose(3) {
                0 => 0,
                1 => rest.len(),
                _ => rest.len().div_ceil(2),
            };
            let (old, young) = (rest.start..rest.start + expired, rest.start + expired..rest.end);
            if !old.is_empty() {
                log(|| format!("batch {} goes to the failure destination", numbers(&lane[old.clone()])));
                given_up.push(lane[old].to_vec());
                checkpoint = young.start;
                sleep(MAXIMUM_RECORD_AGE).await;
            }
            sleep(RETRY_AFTER).await;
            // A batch without any progress is cut in two.
            let bisected = done == 0 && expired == 0 && young.len() > 1;
            let middle = if bisected { young.start + young.len() / 2 } else { young.end };
            batches.extend([middle..young.end, young.start..middle].into_iter().filter(|batch| !batch.is_empty()));
        }
    }
    given_up
}

/// Sends a failed batch through the function again, until it is done.
async fn redrive(batch: &[Change]) {
    log(|| format!("batch {} is redriven", numbers(batch)));
    while !matches!(deliver(batch).await, Delivered::Whole) {
        sleep(RETRY_AFTER).await;
    }
}

fn numbers(changes: &[Change]) -> String {
    let numbers: Vec<String> = changes.iter().map(|change| change.number.to_string()).collect();
    format!("[{}]", numbers.join(" "))
}

/// A copy of a change in the archive or in quarantine: its object, and its place there.
type Copies = BTreeMap<usize, Vec<(String, usize)>>;

/// The content of the bucket.
struct Books {
    objects: BTreeMap<String, Bytes>,
    copies: Copies,
    rows: BTreeMap<String, Vec<Vec<(String, Field)>>>,
    quarantined: BTreeMap<String, Vec<String>>,
}

impl Books {
    fn read() -> Result<Self, Violation> {
        let objects = cloud(|cloud| cloud.objects.clone());
        let mut books = Self {
            objects: objects.clone(),
            copies: Copies::new(),
            rows: BTreeMap::new(),
            quarantined: BTreeMap::new(),
        };
        for (key, body) in objects {
            let event_ids: Vec<String> = if key.starts_with("loans/") {
                let rows = rows(body);
                let event_ids = rows.iter().map(|row| text(row, "event_id")).collect();
                books.rows.insert(key.clone(), rows);
                event_ids
            } else if key.starts_with("quarantine/loans/") {
                let records = quarantined(&body);
                let event_ids = records.iter().map(|record| event_id(record)).collect();
                books.quarantined.insert(key.clone(), records);
                event_ids
            } else {
                return Err(format!("{key} is neither in the archive nor in quarantine"));
            };
            for (index, event_id) in event_ids.iter().enumerate() {
                books.copies.entry(number(event_id)).or_default().push((key.clone(), index));
            }
        }
        Ok(books)
    }

    /// Checks that no change is lost, and that a second copy of a change is in an object that redriving overwrites.
    fn check_before_redrive(&self, changes: &[Change], given_up: &[Vec<Change>]) -> Result<(), Violation> {
        let is_given_up = |number: usize| given_up.iter().flatten().any(|change| change.number == number);
        for change in changes {
            let copies = self.copies.get(&change.number).map_or(&[][..], Vec::as_slice);
            if copies.is_empty() && !is_given_up(change.number) {
                return Err(format!("change {} is lost", change.number));
            }
            let overwritten = copies.iter().filter(|(key, _)| {
                self.copies.iter().any(|(&number, places)| is_given_up(number) && places.contains(&(key.clone(), 0)))
            });
            if copies.len() > 1 + overwritten.count() {
                return Err(format!("change {} is doubled: {copies:?}", change.number));
            }
        }
        Ok(())
    }

    /// Checks that each change is in its place, once.
    fn check(&self, changes: &[Change]) -> Result<(), Violation> {
        for change in changes {
            let copies = self.copies.get(&change.number).map_or(&[][..], Vec::as_slice);
            let [(key, index)] = copies else {
                let wrong = if copies.is_empty() { "lost" } else { "doubled" };
                return Err(format!("change {} is {wrong}: {copies:?}", change.number));
            };
            if change.is_poison() {
                let record = self.quarantined.get(key).map(|records| &records[*index]);
                if record != Some(&change.record()) {
                    return Err(format!("change {} is not in quarantine as it came", change.number));
                }
                continue;
            }
            let Some(row) = self.rows.get(key).map(|rows| &rows[*index]) else {
                return Err(format!("change {} is in quarantine", change.number));
            };
            let expected = change.row();
            for (name, value) in row {
                if expected.get(name.as_str()) != Some(value) {
                    return Err(format!("change {} has {value:?} as {name}", change.number));
                }
            }
            if !key.starts_with(&format!("loans/dt={}/", change.dt())) {
                return Err(format!("change {} of {} is in {key}", change.number, change.dt()));
            }
        }
        self.check_order(changes)
    }

    /// Checks that a reader of a date's objects, in the numeric order of their names, gets each loan's changes in
    /// order.
    fn check_order(&self, changes: &[Change]) -> Result<(), Violation> {
        let mut objects: Vec<_> = self.rows.iter().collect();
        objects.sort_by_key(|(_, rows)| text(&rows[0], "sequence_number").parse::<u64>().ok());
        let mut last = BTreeMap::new();
        for (key, rows) in objects {
            for row in rows {
                let number = number(&text(row, "event_id"));
                let change = changes[number];
                if last.insert((change.key, change.after_midnight), number).is_some_and(|last| last > number) {
                    return Err(format!("change {number} in {key} comes after a later one of its loan"));
                }
            }
        }
        Ok(())
    }
}

/// The number of the change with this event id.
fn number(event_id: &str) -> usize {
    event_id.strip_prefix("event-").and_then(|number| number.parse().ok()).expect("all event ids are ours")
}

fn rows(body: Bytes) -> Vec<Vec<(String, Field)>> {
    let reader = SerializedFileReader::new(body).expect("archive objects are Parquet");
    let rows = reader.get_row_iter(None).expect("archive objects have rows");
    rows.map(|row| row.expect("rows can be read").into_columns()).collect()
}

fn text(row: &[(String, Field)], name: &str) -> String {
    match row.iter().find(|column| column.0 == name) {
        Some((_, Field::Str(text))) => text.clone(),
        column => panic!("{name} is {column:?}"),
    }
}

fn quarantined(body: &[u8]) -> Vec<String> {
    let records: Vec<BTreeMap<String, Box<RawValue>>> =
        serde_json::from_slice(body).expect("quarantine objects are JSON");
    records.into_iter().map(|record| record["record"].get().to_owned()).collect()
}

fn event_id(record: &str) -> String {
    let record: Value = serde_json::from_str(record).expect("records are JSON");
    record["eventID"].as_str().expect("all our records have one").to_owned()
}

/// The content of an object, for the log.
fn describe(key: &str, body: &Bytes) -> String {
    let event_ids: Vec<String> = match key.starts_with("loans/") {
        true => rows(body.clone()).iter().map(|row| text(row, "event_id")).collect(),
        false => quarantined(body).iter().map(|record| event_id(record)).collect(),
    };
    event_ids.join(", ")
}
