//! The ledger's promises, kept with S3 and DynamoDB replaced at the SDK's HTTP edge.

use appointments::Appointment;
use appointments::archive::{self, Change};
use appointments::image::Net;
use aws_sdk_dynamodb::operation::put_item::{PutItemError, PutItemOutput};
use aws_sdk_dynamodb::types::error::ConditionalCheckFailedException;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use aws_smithy_mocks::{Rule, RuleMode, mock, mock_client};
use chrono::DateTime;
use lambda_runtime::{Context, Error, LambdaEvent};
use serde_json::{Value, json};

use crate::handler::{Ledger, handle};

const KEY: &str = "appointments/dt=2026-11-20/100-event.parquet";

/// An archive object of two rows; `topic` makes its footer, where column statistics lie, as long as is wanted.
fn object(topic: &str) -> Vec<u8> {
    let image = json!({
        "advisor_id": {"S": "ada"},
        "starts_at": {"S": "2026-12-01T09:00:00Z"},
        "student_id": {"S": "s-1"},
        "topic": {"S": topic},
    });
    let text = image.to_string();
    let change = |sequence_number: &'static str| {
        let change = Change {
            event_id: "event".into(),
            event_source: "aws:dynamodb".into(),
            event_name: "INSERT".into(),
            sequence_number: sequence_number.into(),
            event_time: DateTime::UNIX_EPOCH,
            appointment: Appointment {
                advisor_id: "ada".into(),
                starts_at: DateTime::from_timestamp(1_796_115_600, 0).expect("it is in range"),
                student_id: "s-1".into(),
                topic: Some(topic.into()),
            },
            new_image: Some(text.clone()),
            old_image: None,
        };
        (change, Net::between(None, Some(&text)))
    };
    archive::write(&[&change("100"), &change("101")]).expect("the changes are well-formed")
}

/// S3 that serves the range that is asked for.
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

/// A ledger that takes the row it should be given.
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
    let ledger = Ledger {
        s3: mock_client!(aws_sdk_s3, RuleMode::MatchAny, [get_object]),
        dynamodb: mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, [put_item]),
        bucket: "archive".into(),
        table: "ledger".into(),
    };
    let mut event: Value =
        serde_json::from_str(include_str!("../../../../events/appointments/audit-archive.json")).expect("the example is JSON");
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
