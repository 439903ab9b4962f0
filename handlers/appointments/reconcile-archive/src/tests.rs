//! A reconciliation dies after each of its effects, and is resumed or started again: missing changes are archived
//! exactly once all the same.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use archive::examples::{LOANS, ORDERS};
use archive::{Archive, Event, Image, Ledger, Run, Table};
use aws_sdk_dynamodb::operation::{describe_table, put_item, query, scan};
use aws_sdk_dynamodb::types::{AttributeValue, TableDescription};
use aws_sdk_s3::operation::{get_object, list_objects_v2, put_object};
use aws_sdk_s3::primitives::{ByteStream, DateTime as SdkTime};
use aws_sdk_s3::types::Object;
use aws_smithy_mocks::{MockResponse, RuleMode, mock, mock_client};
use chrono::{DateTime, Utc};
use lambda_runtime::{Context, LambdaEvent};
use powertools::metrics::Metrics;
use serde_json::{Value, json};

use crate::chain::{self, Missing, Row};
use crate::error::ReconcileError;
use crate::handler::{Answer, Reconciliation, handle};

type Item = std::collections::HashMap<String, AttributeValue>;

fn image(hour: u32, note: &str) -> String {
    let item = json!({
        "book_id": {"S": "ada"},
        "due_at": {"S": format!("2026-12-01T{hour:02}:00:00Z")},
        "reader_id": {"S": "s-1"},
        "note": {"S": note},
    });
    Image::parse(&LOANS, &item.to_string()).expect("it is a loan").text
}

fn order(number: u32, total: &str) -> String {
    json!({"is_paid": {"BOOL": false}, "order_id": {"N": number.to_string()}, "total": {"N": total}}).to_string()
}

fn row<'a>(table: &Table, number: u64, old: Option<&'a str>, new: Option<&'a str>) -> archive::Row<'a> {
    let event = Event {
        id: format!("event-{number}").into(),
        source: "aws:dynamodb".into(),
        name: "MODIFY".into(),
        sequence_number: number.to_string().into(),
        time: Utc::now(),
    };
    let item = |text: Option<&'a str>| text.map(|text| serde_json::from_str(text).expect("it is DynamoDB JSON"));
    archive::Row::new(table, event, item(old), item(new)).expect("the items fit")
}

/// S3 and DynamoDB, as far as a reconciliation calls them.
#[derive(Default)]
struct Cloud {
    objects: BTreeMap<String, Vec<u8>>,
    ledger: BTreeMap<String, Item>,
    table: Vec<Item>,
    effects: usize,
    /// The effect after which the function dies, before it gets the answer.
    death: Option<usize>,
}

impl Cloud {
    /// An archive that lacks an INSERT, a MODIFY in the middle of a chain and a REMOVE, and has other changes.
    fn damaged() -> Self {
        let [removed, a, b, c, quiet] =
            [image(9, "removed"), image(10, "a"), image(10, "b"), image(10, "c"), image(13, "quiet")];
        let rows = [
            row(&LOANS, 9, None, Some(&removed)),
            row(&LOANS, 10, None, Some(&a)),
            row(&LOANS, 12, Some(&b), Some(&c)),
            row(&LOANS, 13, None, Some(&quiet)),
        ];
        Self::new(&LOANS, &rows, [&c, &quiet, &image(14, "inserted")])
    }

    /// An archive with one object, and a table with these items.
    fn new<const ITEMS: usize>(table: &Table, rows: &[archive::Row], items: [&String; ITEMS]) -> Self {
        let (first, others) = rows.split_first().expect("there are rows");
        let run = Run::new(first, others.iter());
        let item = |text: &String| -> Item {
            serde_json::from_str::<serde_dynamo::Item>(text).expect("it is DynamoDB JSON").into()
        };
        Self {
            objects: [(run.key(table), run.encode(table).expect("the rows are well-formed"))].into(),
            table: items.into_iter().map(item).collect(),
            ..Self::default()
        }
    }

    /// Counts an effect; returns whether the function gets its answer.
    fn survives(&mut self) -> bool {
        self.effects += 1;
        self.death != Some(self.effects)
    }

    /// The rows that were made, in order: sequence number, old image, new image.
    fn made(&self) -> Vec<(String, Option<String>, Option<String>)> {
        let objects = self.objects.iter().filter(|(key, _)| key.ends_with(".parquet"));
        let changes = objects.flat_map(|(_, object)| archive::read(object.clone().into()).expect("it is an object"));
        let made = changes.filter(|change| change.event.source != "aws:dynamodb");
        made.map(|made| (made.event.sequence_number.into_owned(), made.old_image, made.new_image)).collect()
    }
}

/// A call that only reads.
macro_rules! reads {
    ($cloud:expr, $operation:expr, $does:expr) => {{
        let cloud = $cloud.clone();
        mock!($operation).then_compute_output(move |request| $does(&lock(&cloud), request))
    }};
}

/// A call that has an effect.
macro_rules! writes {
    ($cloud:expr, $operation:expr, $error:path, $does:expr) => {{
        let cloud = $cloud.clone();
        mock!($operation).then_compute_response(move |request| {
            let mut cloud = lock(&cloud);
            let output = $does(&mut cloud, request);
            match cloud.survives() {
                true => MockResponse::Output(output),
                false => MockResponse::Error($error("the function has died")),
            }
        })
    }};
}

fn lock(cloud: &Mutex<Cloud>) -> MutexGuard<'_, Cloud> {
    cloud.lock().expect("no test panics with the lock")
}

fn etag(object: &[u8]) -> String {
    format!("\"{}\"", object.len())
}

fn list(cloud: &Cloud, request: &list_objects_v2::ListObjectsV2Input) -> list_objects_v2::ListObjectsV2Output {
    let (prefix, after) = (request.prefix().expect("there is a prefix"), request.start_after().unwrap_or_default());
    let listed = cloud.objects.iter().filter(|(key, _)| key.starts_with(prefix) && key.as_str() > after);
    let listed = listed.map(|(key, object)| {
        let size = object.len().try_into().expect("it is small");
        Object::builder().key(key).size(size).e_tag(etag(object)).last_modified(SdkTime::from_secs(0)).build()
    });
    list_objects_v2::ListObjectsV2Output::builder().set_contents(Some(listed.collect())).build()
}

fn get(cloud: &Cloud, request: &get_object::GetObjectInput) -> get_object::GetObjectOutput {
    let object = &cloud.objects[request.key().expect("there is a key")];
    get_object::GetObjectOutput::builder().body(ByteStream::from(object.clone())).build()
}

fn put(cloud: &mut Cloud, request: &put_object::PutObjectInput) -> put_object::PutObjectOutput {
    let (key, body) = (request.key().expect("there is a key"), request.body().bytes().expect("it is in memory"));
    cloud.objects.insert(key.into(), body.to_vec());
    put_object::PutObjectOutput::builder().build()
}

fn describe(_: &Cloud, _: &describe_table::DescribeTableInput) -> describe_table::DescribeTableOutput {
    let created = SdkTime::from_secs(Utc::now().timestamp());
    let table = TableDescription::builder().creation_date_time(created).build();
    describe_table::DescribeTableOutput::builder().table(table).build()
}

fn enter(cloud: &mut Cloud, request: &put_item::PutItemInput) -> put_item::PutItemOutput {
    let item = request.item().expect("there is an item");
    let key = item["object_key"].as_s().expect("it is a text");
    cloud.ledger.insert(key.clone(), item.clone());
    put_item::PutItemOutput::builder().build()
}

fn entries(cloud: &Cloud, request: &query::QueryInput) -> query::QueryOutput {
    let values = request.expression_attribute_values().expect("there are values");
    let text = |name: &str| values[name].as_s().expect("it is a text").clone();
    let entries = cloud.ledger.range(text(":after")..=text(":end")).map(|(_, item)| item.clone());
    query::QueryOutput::builder().set_items(Some(entries.collect())).build()
}

fn items(cloud: &Cloud, request: &scan::ScanInput) -> scan::ScanOutput {
    let items = if request.segment() == Some(0) { cloud.table.clone() } else { Vec::new() };
    scan::ScanOutput::builder().set_items(Some(items)).build()
}

fn reconciliation(table: &'static Table, cloud: &Arc<Mutex<Cloud>>) -> Reconciliation {
    let s3 = mock_client!(
        aws_sdk_s3,
        RuleMode::MatchAny,
        &[
            reads!(cloud, aws_sdk_s3::Client::list_objects_v2, list),
            reads!(cloud, aws_sdk_s3::Client::get_object, get),
            writes!(cloud, aws_sdk_s3::Client::put_object, put_object::PutObjectError::unhandled, put),
        ]
    );
    let dynamodb = mock_client!(
        aws_sdk_dynamodb,
        RuleMode::MatchAny,
        &[
            reads!(cloud, aws_sdk_dynamodb::Client::describe_table, describe),
            reads!(cloud, aws_sdk_dynamodb::Client::query, entries),
            reads!(cloud, aws_sdk_dynamodb::Client::scan, items),
            writes!(cloud, aws_sdk_dynamodb::Client::put_item, put_item::PutItemError::unhandled, enter),
        ]
    );
    Reconciliation {
        ledger: Ledger { archive: Archive { table, s3, bucket: "archive".into() }, dynamodb, name: "ledger".into() },
        metrics: Metrics::new("Registrar"),
        table: "the table".into(),
    }
}

async fn invoke(
    reconciliation: &Reconciliation,
    run: &str,
    step: &str,
    cursor: Option<u64>,
    lasts: Duration,
) -> Result<Answer, ReconcileError> {
    let request = json!({"run": run, "step": step, "cursor": cursor, "event_source": "registrar:reconciliation"});
    let mut context = Context::default();
    let deadline = (SystemTime::now() + lasts).duration_since(UNIX_EPOCH).expect("now is after 1970");
    context.deadline = deadline.as_millis() as u64;
    let request = serde_json::from_value(request).expect("it is a request");
    handle(reconciliation, LambdaEvent::new(request, context)).await
}

/// Does what the state machine does; a failed invocation is repeated once if `retries`.
async fn run(cloud: &Arc<Mutex<Cloud>>, name: &str, retries: bool, lasts: Duration) -> Result<(), ReconcileError> {
    run_of(&LOANS, cloud, name, retries, lasts).await
}

async fn run_of(
    table: &'static Table,
    cloud: &Arc<Mutex<Cloud>>,
    name: &str,
    mut retries: bool,
    lasts: Duration,
) -> Result<(), ReconcileError> {
    let reconciliation = reconciliation(table, cloud);
    let mut cursor = None;
    for step in ["objects", "table", "find", "confirm", "repair"] {
        // No batch is started with less than two seconds left.
        let lasts = if step == "repair" { Duration::from_secs(60) } else { lasts };
        loop {
            let answer = match invoke(&reconciliation, name, step, cursor, lasts).await {
                Err(_) if retries => {
                    retries = false;
                    continue;
                }
                answer => answer?,
            };
            cursor = Some(answer.cursor);
            if !answer.is_done {
                continue;
            }
            if step != "objects" && answer.found == 0 {
                return Ok(());
            }
            break;
        }
        if step == "find" {
            let key = format!("reconciliation/{name}/state/{}.json", cursor.expect("there was an answer"));
            let mut cloud = lock(cloud);
            let mut state: Value = serde_json::from_slice(&cloud.objects[&key]).expect("it is JSON");
            state["found_at"] = json!(DateTime::UNIX_EPOCH);
            cloud.objects.insert(key, state.to_string().into_bytes());
        }
    }
    Ok(())
}

/// The changes that [`Cloud::damaged`] lacks.
fn missing() -> Vec<(String, Option<String>, Option<String>)> {
    vec![
        ("9".into(), Some(image(9, "removed")), None),
        ("10".into(), Some(image(10, "a")), Some(image(10, "b"))),
        ("0".into(), None, Some(image(14, "inserted"))),
    ]
}

const LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_run_that_dies_anywhere_doubles_nothing_and_leaves_nothing_out() {
    let cloud = Arc::new(Mutex::new(Cloud::damaged()));
    run(&cloud, "undisturbed", false, LONG).await.expect("nothing goes wrong");
    assert_eq!(lock(&cloud).made(), missing());
    let effects = lock(&cloud).effects;
    assert!(effects > 15, "{effects} effects");
    for death in 1..=effects {
        let cloud = Arc::new(Mutex::new(Cloud { death: Some(death), ..Cloud::damaged() }));
        let is_resumed = death % 2 == 0;
        if run(&cloud, "first", is_resumed, LONG).await.is_err() {
            run(&cloud, "second", false, LONG).await.expect("nothing goes wrong any more");
        }
        assert_eq!(lock(&cloud).made(), missing(), "died after effect {death} of {effects}, resumed: {is_resumed}");
    }
}

#[tokio::test]
async fn a_run_in_many_invocations_does_the_same() {
    let cloud = Arc::new(Mutex::new(Cloud::damaged()));
    run(&cloud, "short", false, Duration::ZERO).await.expect("nothing goes wrong");
    assert_eq!(lock(&cloud).made(), missing());
    let states = lock(&cloud).objects.keys().filter(|key| key.contains("/state/")).count();
    assert!(states > 10, "{states} invocations");
}

#[tokio::test]
async fn an_entry_that_hides_what_its_object_has_hides_nothing_that_is_missing() {
    let cloud = Arc::new(Mutex::new(Cloud::damaged()));
    run(&cloud, "first", false, LONG).await.expect("nothing goes wrong");
    {
        let (mut cloud, damaged) = (lock(&cloud), Cloud::damaged().objects);
        cloud.objects.retain(|key, _| !key.ends_with(".parquet") || damaged.contains_key(key));
        cloud.ledger.retain(|key, _| damaged.contains_key(key));
        for entry in cloud.ledger.values_mut() {
            entry.insert("days".into(), AttributeValue::M(Item::new()));
        }
        assert_eq!((cloud.made().len(), cloud.ledger.len()), (0, 1));
    }
    run(&cloud, "second", false, LONG).await.expect("nothing goes wrong");
    assert_eq!(lock(&cloud).made(), missing());
}

#[tokio::test]
async fn what_has_a_record_in_quarantine_is_left_to_its_redrive() {
    let cloud = Arc::new(Mutex::new(Cloud::damaged()));
    let keys = json!({"book_id": {"S": "ada"}, "due_at": {"S": "2026-12-01T10:00:00Z"}});
    let quarantined = json!([{"reason": "too old for us", "record": {"dynamodb": {"Keys": keys}}}]);
    let key = "quarantine/loans/11.json".to_owned();
    lock(&cloud).objects.insert(key, quarantined.to_string().into_bytes());
    run(&cloud, "run", false, LONG).await.expect("nothing goes wrong");
    assert_eq!(lock(&cloud).made(), [missing()[0].clone(), missing()[2].clone()]);
}

#[tokio::test]
async fn a_run_believes_nothing_that_another_may_still_be_archiving() {
    let cloud = Arc::new(Mutex::new(Cloud::damaged()));
    let reconciliation = reconciliation(&LOANS, &cloud);
    let mut cursor = None;
    for step in ["objects", "table", "find"] {
        cursor = Some(invoke(&reconciliation, "run", step, cursor, LONG).await.expect("nothing goes wrong").cursor);
    }
    let error = invoke(&reconciliation, "run", "confirm", cursor, LONG).await.expect_err("it is too soon");
    assert!(matches!(error, ReconcileError::TooSoon(_)), "{error}");
}

#[tokio::test]
async fn a_run_that_is_taken_up_again_after_a_later_one_archives_nothing() {
    let cloud = Arc::new(Mutex::new(Cloud::damaged()));
    lock(&cloud).objects.insert("reconciliation/latest".into(), b"later".to_vec());
    run(&cloud, "earlier", false, LONG).await.expect("it is the latest itself");
    let cursor = lock(&cloud).objects.keys().filter(|key| key.contains("earlier/state/")).count() as u64 - 2;
    lock(&cloud).objects.insert("reconciliation/latest".into(), b"later".to_vec());
    let before = lock(&cloud).objects.clone();
    let error = invoke(&reconciliation(&LOANS, &cloud), "earlier", "repair", Some(cursor), LONG).await;
    assert!(matches!(error, Err(ReconcileError::Superseded(ref run)) if run == "later"), "{error:?}");
    assert_eq!(lock(&cloud).objects, before);
}

#[tokio::test]
async fn a_table_without_dates_is_compared_as_a_whole() {
    let [kept, a, b, inserted] = [order(1, "12.5"), order(2, "1"), order(2, "2"), order(3, "-0.01")];
    // On different days, and of order 2 only the end.
    let mut rows = [row(&ORDERS, 9, None, Some(&kept)), row(&ORDERS, 12, Some(&a), Some(&b))];
    rows[1].date = DateTime::UNIX_EPOCH.date_naive();
    let cloud = Arc::new(Mutex::new(Cloud::new(&ORDERS, &rows, [&kept, &b, &inserted])));
    run_of(&ORDERS, &cloud, "first", false, LONG).await.expect("nothing goes wrong");
    let mut made = lock(&cloud).made();
    made.sort();
    assert_eq!(made, [("0".into(), None, Some(a)), ("0".into(), None, Some(inserted))]);
    run_of(&ORDERS, &cloud, "second", false, LONG).await.expect("nothing goes wrong");
    assert_eq!(lock(&cloud).made().len(), 2);
    assert!(!lock(&cloud).objects.contains_key("reconciliation/second/find/missing/0.jsonl"), "the sums agree");
}

fn chain_row(number: &str, event_id: &str, old: Option<&str>, new: Option<&str>) -> Row {
    Row {
        event_id: event_id.into(),
        sequence_number: number.into(),
        event_time: DateTime::UNIX_EPOCH,
        old: old.map(Into::into),
        new: new.map(Into::into),
    }
}

fn missing_of(rows: Vec<Row>, item: Option<&str>) -> Vec<Missing> {
    let key = Image::parse(&LOANS, &image(9, "a")).expect("it is a loan").key;
    chain::missing(&key, rows, item.map(Into::into), "reconciliation")
}

#[test]
fn a_chain_is_followed_by_number_and_a_doubled_row_hides_nothing() {
    let rows = || {
        vec![
            chain_row("10", "third", Some("b"), Some("c")),
            chain_row("9", "second", Some("a"), Some("b")),
            chain_row("9", "second", Some("a"), Some("b")),
            chain_row("08", "first", None, Some("a")),
        ]
    };
    assert_eq!(missing_of(rows(), Some("c")), []);
    let removed = missing_of(rows(), None);
    assert_eq!(removed.iter().map(|missing| missing.old.as_deref()).collect::<Vec<_>>(), [Some("c")]);
    assert_eq!(removed, missing_of(rows(), None), "what is missing has the same name whenever it is found");
}

#[test]
fn a_row_that_was_made_stands_behind_the_one_that_it_follows() {
    let mut made = chain_row("8", "made", Some("a"), Some("b"));
    made.event_time = Utc::now();
    let rows = vec![made, chain_row("8", "zero", None, Some("a")), chain_row("9", "last", Some("b"), None)];
    assert_eq!(missing_of(rows, None), []);
}
