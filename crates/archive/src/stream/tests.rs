//! No record of a batch is lost, with S3 replaced at the SDK's HTTP edge.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_sdk_s3::operation::put_object::{PutObjectError, PutObjectOutput};
use aws_smithy_mocks::{Rule, RuleMode, mock, mock_client};
use lambda_runtime::{Context, LambdaEvent};
use powertools::batch::{BatchResponse, UnparsedEvent};
use powertools::metrics::Metrics;
use serde_json::{Value, json};

use super::handle;
use crate::examples::LOANS;
use crate::store::Archive;

/// 2026-11-20T23:59:59Z and the second after it.
const BEFORE_MIDNIGHT: i64 = 1_795_219_199;
const AFTER_MIDNIGHT: i64 = BEFORE_MIDNIGHT + 1;

type Objects = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

fn loan(sequence_number: u64, seconds: i64) -> Value {
    let image = json!({
        "book_id": {"S": "ada"},
        "due_at": {"S": "2026-12-01T09:00:00Z"},
        "reader_id": {"S": "s-1"},
        "note": {"S": "Thesis"},
    });
    json!({
        "eventID": format!("event-{sequence_number}"),
        "eventName": "INSERT",
        "eventSource": "aws:dynamodb",
        "dynamodb": {
            "ApproximateCreationDateTime": seconds,
            "Keys": {"book_id": {"S": "ada"}, "due_at": {"S": "2026-12-01T09:00:00Z"}},
            "NewImage": image,
            "SequenceNumber": sequence_number.to_string(),
        },
    })
}

fn event(records: &[Value], time_left: Duration) -> LambdaEvent<UnparsedEvent> {
    let mut context = Context::default();
    let deadline = (SystemTime::now() + time_left).duration_since(UNIX_EPOCH).expect("now is after 1970");
    context.deadline = deadline.as_millis() as u64;
    LambdaEvent::new(UnparsedEvent(json!({ "Records": records }).to_string().into()), context)
}

/// An S3 that accepts every object whose key does not contain `refused`.
fn s3(refused: &'static str) -> (Archive, Objects, [Rule; 2]) {
    let objects = Objects::default();
    let stored = objects.clone();
    let rules = [
        mock!(aws_sdk_s3::Client::put_object)
            .match_requests(move |request| {
                let key = request.key().expect("PutObject has a key");
                if !refused.is_empty() && key.contains(refused) {
                    return false;
                }
                let body = request.body().bytes().expect("the body is in memory");
                stored.lock().expect("no test panics with the lock").insert(key.to_owned(), body.to_vec());
                true
            })
            .then_output(|| PutObjectOutput::builder().build()),
        mock!(aws_sdk_s3::Client::put_object).then_error(|| PutObjectError::unhandled("refused")),
    ];
    let client = mock_client!(aws_sdk_s3, RuleMode::MatchAny, &rules);
    (Archive { table: &LOANS, s3: client, bucket: "archive".into() }, objects, rules)
}

async fn handle_event(archive: &Archive, event: LambdaEvent<UnparsedEvent>) -> BatchResponse {
    handle(archive, &Metrics::new("Registrar"), event).await.expect("failures are reported, not returned")
}

async fn handle_in_time(archive: &Archive, records: &[Value]) -> BatchResponse {
    handle_event(archive, event(records, Duration::from_secs(60))).await
}

fn keys(objects: &Objects) -> Vec<String> {
    objects.lock().expect("no test panics with the lock").keys().cloned().collect()
}

fn failures(response: &BatchResponse) -> Vec<Option<&str>> {
    response.batch_item_failures.iter().map(|failure| failure.item_identifier.as_deref()).collect()
}

#[tokio::test]
async fn a_run_is_one_object_named_by_its_first_record() {
    let (archive, objects, _rules) = s3("");
    let response =
        handle_in_time(&archive, &[loan(1, BEFORE_MIDNIGHT), loan(2, BEFORE_MIDNIGHT), loan(3, AFTER_MIDNIGHT)]).await;
    assert_eq!(failures(&response), []);
    assert_eq!(keys(&objects), ["loans/dt=2026-11-20/1-event-1.parquet", "loans/dt=2026-11-21/3-event-3.parquet"]);
}

#[tokio::test]
async fn the_first_record_of_the_first_run_that_fails_is_the_checkpoint() {
    let (archive, objects, _rules) = s3("dt=2026-11-21");
    let response =
        handle_in_time(&archive, &[loan(1, BEFORE_MIDNIGHT), loan(2, AFTER_MIDNIGHT), loan(3, BEFORE_MIDNIGHT)]).await;
    assert_eq!(failures(&response), [Some("2")]);
    assert_eq!(keys(&objects), ["loans/dt=2026-11-20/1-event-1.parquet"]);
}

#[tokio::test]
async fn a_record_that_can_never_be_archived_goes_raw_to_quarantine_and_blocks_nothing() {
    let without = |field: &str| {
        let mut record = loan(2, BEFORE_MIDNIGHT);
        record["dynamodb"].as_object_mut().expect("it is an object").remove(field);
        record
    };
    let with = |pointer: &str, value: Value| {
        let mut record = loan(2, BEFORE_MIDNIGHT);
        *record.pointer_mut(pointer).expect("the field exists") = value;
        record
    };
    for poison in [
        without("ApproximateCreationDateTime"),
        without("NewImage"),
        without("SequenceNumber"),
        with("/dynamodb/ApproximateCreationDateTime", json!(1e300)),
        // In milliseconds.
        with("/dynamodb/ApproximateCreationDateTime", json!(BEFORE_MIDNIGHT * 1000)),
        with("/dynamodb/ApproximateCreationDateTime", json!(0)),
        with("/dynamodb/SequenceNumber", json!("two")),
        with("/dynamodb/SequenceNumber", json!("2".repeat(41))),
        with("/eventID", json!("../event")),
        with("/eventID", json!("e".repeat(2000))),
        with("/dynamodb/NewImage/due_at/S", json!("+12026-12-01T09:00:00Z")),
        with("/dynamodb/NewImage/due_at/S", json!("tomorrow")),
        with("/dynamodb/NewImage", json!({"book_id": {"S": "ada"}})),
        with("/dynamodb/NewImage", json!({"book_id": "ada"})),
        with("/eventName", json!("TRUNCATE")),
        with("/eventSource", Value::Null),
        json!("not even an object"),
        json!({}),
        Value::Null,
    ] {
        let (archive, objects, _rules) = s3("");
        let batch = [loan(1, BEFORE_MIDNIGHT), poison.clone(), loan(3, BEFORE_MIDNIGHT)];
        assert_eq!(failures(&handle_in_time(&archive, &batch).await), [], "{poison}");
        let keys = keys(&objects);
        assert_eq!(keys.len(), 3, "{poison}");
        assert!(keys[2].starts_with("quarantine/loans/"), "{poison}");
        let objects = objects.lock().expect("no test panics with the lock");
        let quarantined: Value = serde_json::from_slice(&objects[&keys[2]]).expect("quarantine objects are JSON");
        assert_eq!(quarantined[0]["record"], poison);
        assert_ne!(quarantined[0]["reason"], "");
    }
}

#[tokio::test]
async fn a_bad_record_changes_nothing_in_the_rows_of_its_neighbours() {
    let mut escaped = loan(2, BEFORE_MIDNIGHT);
    escaped["dynamodb"]["NewImage"]["note"] = json!({"S": "\"Emma\"\n\u{1f4d6}"});
    escaped["dynamodb"]["OldImage"] = json!({"tags": {"SS": ["b", "a"]}, "book_id": {"S": "ada"}});
    let good = [loan(1, BEFORE_MIDNIGHT), escaped];
    let archived = async |batch: &[Value]| {
        let (archive, objects, _rules) = s3("");
        assert_eq!(failures(&handle_in_time(&archive, batch).await), []);
        let objects = objects.lock().expect("no test panics with the lock");
        objects.iter().find(|(key, _)| key.starts_with("loans/")).map(|(_, object)| object.clone())
    };
    assert_eq!(archived(&[&good[..], &[json!({})]].concat()).await, archived(&good).await);
}

#[tokio::test]
async fn records_without_a_name_of_their_own_overwrite_no_other() {
    let (archive, objects, _rules) = s3("");
    let mut nearly_named = loan(2, BEFORE_MIDNIGHT);
    nearly_named["dynamodb"].as_object_mut().expect("it is an object").remove("SequenceNumber");
    let mut named = loan(3, BEFORE_MIDNIGHT);
    named["eventName"] = json!("TRUNCATE");
    let batch = [json!({}), nearly_named, named, json!({}), loan(4, BEFORE_MIDNIGHT), json!({})];
    // And again in halves, as the mapping does after a crash.
    for records in [&batch[..], &batch[..3], &batch[3..]] {
        assert_eq!(failures(&handle_in_time(&archive, records).await), []);
        let objects = objects.lock().expect("no test panics with the lock");
        let quarantined: Vec<Value> = objects
            .iter()
            .filter(|(key, _)| key.starts_with("quarantine/"))
            .flat_map(|(_, body)| serde_json::from_slice::<Vec<Value>>(body).expect("quarantine objects are JSON"))
            .map(|entry| entry["record"].clone())
            .collect();
        assert_eq!(quarantined.len(), 5);
        for record in [&batch[0], &batch[1], &batch[2]] {
            let copies = batch.iter().filter(|other| *other == record).count();
            assert_eq!(quarantined.iter().filter(|other| *other == record).count(), copies, "{record}");
        }
    }
}

#[tokio::test]
async fn what_is_archived_and_what_is_quarantined_is_counted() {
    let (archive, _objects, _rules) = s3("dt=2026-11-21");
    let batch = [loan(1, BEFORE_MIDNIGHT), loan(2, BEFORE_MIDNIGHT), json!({})];
    let batch = [&batch[..], &[loan(4, AFTER_MIDNIGHT)]].concat();
    let metrics = Metrics::new("Registrar");
    let event = event(&batch, Duration::from_secs(60));
    handle(&archive, &metrics, event).await.expect("failures are reported, not returned");
    let metrics = metrics.take().expect("something was counted");
    assert_eq!((&metrics["ArchivedRecords"], &metrics["QuarantinedRecords"]), (&json!([2.0]), &json!([1.0])));
}

#[tokio::test]
async fn a_failure_that_has_no_sequence_number_fails_the_whole_batch() {
    let (archive, _objects, _rules) = s3("quarantine");
    let response = handle_in_time(&archive, &[loan(1, BEFORE_MIDNIGHT), json!({})]).await;
    assert_eq!(failures(&response), [None]);
}

#[tokio::test]
async fn nothing_is_written_without_time_left_to_do_it_in() {
    let (archive, _objects, rules) = s3("");
    let event = event(&[loan(1, BEFORE_MIDNIGHT)], Duration::from_millis(1900));
    let response = handle_event(&archive, event).await;
    assert_eq!(failures(&response), [Some("1")]);
    assert_eq!(rules.iter().map(Rule::num_calls).sum::<usize>(), 0);
}

#[tokio::test]
async fn the_deadline_of_cargo_lambda_watch_is_a_duration() {
    let (archive, objects, _rules) = s3("");
    let mut event = event(&[loan(1, BEFORE_MIDNIGHT)], Duration::ZERO);
    event.context.deadline = 600_000;
    let response = handle_event(&archive, event).await;
    assert_eq!(failures(&response), []);
    assert_eq!(keys(&objects).len(), 1);
}

#[tokio::test]
async fn a_put_that_hangs_ends_before_its_invocation() {
    let deaf = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let config = aws_sdk_s3::Config::builder()
        .with_test_defaults_v2()
        .endpoint_url(format!("http://{}", deaf.local_addr().expect("it is bound")))
        .force_path_style(true)
        .timeout_config(aws_sdk_s3::config::timeout::TimeoutConfig::disabled())
        .build();
    let archive = Archive { table: &LOANS, s3: aws_sdk_s3::Client::from_conf(config), bucket: "archive".into() };
    let event = event(&[loan(1, BEFORE_MIDNIGHT)], Duration::from_millis(2500));
    let deadline = event.context.deadline();
    let response = handle_event(&archive, event).await;
    assert_eq!(failures(&response), [Some("1")]);
    assert!(SystemTime::now() < deadline);
}
