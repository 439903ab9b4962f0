//! The ledger's promises, with S3 and DynamoDB replaced at the SDK's HTTP edge.

use archive::examples::LOANS;
use archive::{Archive, Event, Item, Ledger, Row, Run};
use aws_sdk_dynamodb::operation::put_item::{PutItemError, PutItemOutput};
use aws_sdk_dynamodb::types::error::ConditionalCheckFailedException;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use aws_smithy_mocks::{Rule, RuleMode, mock, mock_client};
use chrono::DateTime;
use lambda_runtime::{Context, Error, LambdaEvent};
use serde_json::{Value, json};

use crate::handler::handle;

const KEY: &str = "loans/dt=2026-11-20/100-event.parquet";

/// An archive object with two rows. `note` is in the column statistics, so its length determines the footer's.
fn object(note: &str) -> Vec<u8> {
    let image = json!({
        "book_id": {"S": "ada"},
        "due_at": {"S": "2026-12-01T09:00:00Z"},
        "reader_id": {"S": "s-1"},
        "note": {"S": note},
    });
    let text = image.to_string();
    let row = |sequence_number: &'static str| {
        let event = Event {
            id: "event".into(),
            source: "aws:dynamodb".into(),
            name: "INSERT".into(),
            sequence_number: sequence_number.into(),
            time: DateTime::UNIX_EPOCH,
        };
        let item: Item = serde_json::from_str(&text).expect("it is DynamoDB JSON");
        Row::new(&LOANS, event, None, Some(item)).expect("it is a loan")
    };
    let (first, second) = (row("100"), row("101"));
    Run::new(&first, [&second].into_iter()).encode(&LOANS).expect("the rows are well-formed")
}

/// An S3 that serves the requested range.
fn serves(object: Vec<u8>) -> Rule {
    mock!(aws_sdk_s3::Client::get_object)
        .match_requests(|request| request.key() == Some(KEY) && request.if_match() == Some("etag"))
        .then_compute_output(move |request| {
            let range = request.range().expect("only a range is read");
            let tail: usize = range.strip_prefix("bytes=-").and_then(|n| n.parse().ok()).expect("it is a suffix");
            let from = object.len().saturating_sub(tail);
            GetObjectOutput::builder().body(ByteStream::from(object[from..].to_vec())).build()
        })
}

/// A ledger that accepts only the expected item.
fn takes_row(size: usize) -> Rule {
    mock!(aws_sdk_dynamodb::Client::put_item)
        .match_requests(move |request| {
            let item = request.item().expect("PutItem has an item");
            let text = |name: &str| item[name].as_s().cloned().unwrap_or_default();
            let number = |name: &str| item[name].as_n().cloned().unwrap_or_default();
            text("dt") == "2026-11-20"
                && text("object_key") == KEY
                && text("sequencer") == "0055AED6DCD90281E500000000000000"
                && text("first_sequence_number") == "100"
                && text("last_sequence_number") == "101"
                && number("row_count") == "2"
                && number("size_bytes") == size.to_string()
                && text("etag") == "etag"
                && item["days"].as_m().is_ok_and(|days| {
                    days.len() == 1 && days["2026-12-01"].as_s().is_ok_and(|net| net.starts_with("+2 "))
                })
                && request.condition_expression().is_some()
        })
        .then_output(|| PutItemOutput::builder().build())
}

async fn audit(get_object: &Rule, put_item: &Rule, size: usize) -> Result<(), Error> {
    let s3 = mock_client!(aws_sdk_s3, RuleMode::MatchAny, [get_object]);
    let ledger = Ledger {
        archive: Archive { table: &LOANS, s3, bucket: "archive".into() },
        dynamodb: mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, [put_item]),
        name: "ledger".into(),
    };
    let mut event: Value = serde_json::from_str(include_str!("../../../../events/appointments/audit-archive.json"))
        .expect("the example is JSON");
    event["detail"]["object"] = json!({"key": KEY, "size": size, "etag": "etag", "sequencer": "0055AED6DCD90281E5"});
    let event = serde_json::from_value(event).expect("it is an EventBridge event");
    handle(&ledger, LambdaEvent::new(event, Context::default())).await
}

#[tokio::test]
async fn an_object_gets_a_row_from_its_footer_alone() {
    let object = object("Thesis");
    let (size, put_item) = (object.len(), takes_row(object.len()));
    let get_object = serves(object);
    audit(&get_object, &put_item, size).await.expect("the object is entered");
    assert_eq!((get_object.num_calls(), put_item.num_calls()), (1, 1));
}

#[tokio::test]
async fn a_repeated_or_overtaken_event_changes_nothing() {
    let object = object("Thesis");
    let size = object.len();
    let put_item = mock!(aws_sdk_dynamodb::Client::put_item).then_error(|| {
        PutItemError::ConditionalCheckFailedException(ConditionalCheckFailedException::builder().build())
    });
    audit(&serves(object), &put_item, size).await.expect("it is no error");
    assert_eq!(put_item.num_calls(), 1);
}

#[tokio::test]
async fn an_overwritten_object_is_left_to_its_newer_event() {
    let get_object = mock!(aws_sdk_s3::Client::get_object).then_http_response(|| {
        let status = 412.try_into().expect("412 is a status code");
        HttpResponse::new(status, SdkBody::from("<Error><Code>PreconditionFailed</Code></Error>"))
    });
    let put_item = takes_row(0);
    audit(&get_object, &put_item, 0).await.expect("it is no error");
    assert_eq!(put_item.num_calls(), 0);
}

#[tokio::test]
async fn an_object_that_is_not_of_the_archive_is_an_error() {
    let put_item = takes_row(0);
    let error = audit(&serves(b"not Parquet at all".to_vec()), &put_item, 18).await.expect_err("it is refused");
    assert!(error.to_string().contains(KEY), "{error}");
    assert_eq!(put_item.num_calls(), 0);
}
