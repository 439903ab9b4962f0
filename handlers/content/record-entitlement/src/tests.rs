//! What an event writes, with DynamoDB replaced at the SDK's HTTP edge. The simulation in `tests/content` shows that the
//! newest event wins.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use aws_sdk_dynamodb::error::ErrorMetadata;
use aws_sdk_dynamodb::operation::put_item::{PutItemError, PutItemOutput};
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_dynamodb::types::error::ConditionalCheckFailedException;
use aws_services::Unavailable;
use aws_smithy_mocks::{Rule, RuleMode, mock, mock_client};
use entitlements::Entitlements;
use lambda_runtime::{Context, LambdaEvent};
use serde_json::{Value, json};

use crate::handler::{PaymentEvent, handle};

const STUDENT: &str = "7d1f2a8e-5c1b-4f0e-9a64-2f3f4f1f6a10";

fn recorded(paid_until: &str, occurred_at: &str) -> Value {
    let detail = json!({"student_id": STUDENT, "paid_until": paid_until, "occurred_at": occurred_at});
    json!({"detail-type": "PaymentRecorded", "source": "registrar.payments", "detail": detail})
}

fn lapsed(occurred_at: &str) -> Value {
    json!({"detail-type": "PaymentLapsed", "detail": {"student_id": STUDENT, "occurred_at": occurred_at}})
}

async fn handle_with(put_item: &Rule, event: Value) -> Result<(), Unavailable> {
    let dynamodb = mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, [put_item]);
    let entitlements = Entitlements { dynamodb, table: "entitlements".into() };
    let event = serde_json::from_value(event).expect("it is a payment event");
    handle(&entitlements, LambdaEvent::new(event, Context::default())).await
}

/// `paid_until` and `occurred_at` of the written item.
async fn written(event: Value) -> (String, String) {
    let item = Arc::new(Mutex::new(HashMap::new()));
    let stored = item.clone();
    let put_item = mock!(aws_sdk_dynamodb::Client::put_item)
        .match_requests(move |request| {
            *stored.lock().expect("no test panics with the lock") = request.item().cloned().unwrap_or_default();
            true
        })
        .then_output(|| PutItemOutput::builder().build());
    handle_with(&put_item, event).await.expect("DynamoDB accepts it");
    let item = item.lock().expect("no test panics with the lock");
    assert_eq!(item["student_id"], AttributeValue::S(STUDENT.into()));
    match (&item["paid_until"], &item["occurred_at"]) {
        (AttributeValue::N(paid_until), AttributeValue::S(occurred_at)) => (paid_until.clone(), occurred_at.clone()),
        other => panic!("{other:?}"),
    }
}

fn item(paid_until: &str, occurred_at: &str) -> (String, String) {
    (paid_until.into(), occurred_at.into())
}

#[tokio::test]
async fn the_payment_of_the_example_event_is_recorded() {
    let example = include_str!("../../../../events/content/record-entitlement.json");
    let event = serde_json::from_str(example).expect("it is JSON");
    assert_eq!(written(event).await, item("1806530400", "2026-11-20T10:29:58.417Z"));
}

#[tokio::test]
async fn a_lapse_ends_what_was_paid_when_it_occurred() {
    assert_eq!(written(lapsed("2026-11-20T10:30:00Z")).await, item("1795170600", "2026-11-20T10:30:00.000Z"));
}

#[tokio::test]
async fn times_are_written_in_one_form_whatever_their_own() {
    for time in ["2026-11-20T10:30:00.5Z", "2026-11-20T11:30:00.500+01:00", "2026-11-20T10:30:00.500999999-00:00"] {
        assert_eq!(written(recorded(time, time)).await, item("1795170600", "2026-11-20T10:30:00.500Z"), "{time}");
    }
}

#[tokio::test]
async fn an_event_that_is_not_the_newest_changes_nothing_and_is_done() {
    let newer = mock!(aws_sdk_dynamodb::Client::put_item).then_error(|| {
        PutItemError::ConditionalCheckFailedException(ConditionalCheckFailedException::builder().build())
    });
    assert!(handle_with(&newer, lapsed("2026-11-20T10:30:00Z")).await.is_ok());
}

#[tokio::test]
async fn an_event_that_was_not_written_is_tried_again() {
    let denied = mock!(aws_sdk_dynamodb::Client::put_item)
        .then_error(|| PutItemError::generic(ErrorMetadata::builder().code("AccessDeniedException").build()));
    let error = handle_with(&denied, lapsed("2026-11-20T10:30:00Z")).await.expect_err("nothing was written");
    assert_eq!(error.to_string(), "DynamoDB: AccessDeniedException");
}

#[test]
fn what_is_not_a_payment_event_is_refused() {
    let time = "2026-11-20T10:30:00Z";
    let mut without_student = lapsed(time);
    without_student["detail"] = json!({"occurred_at": time});
    let mut unknown = lapsed(time);
    unknown["detail-type"] = json!("PaymentRefunded");
    for event in [
        without_student,
        unknown,
        lapsed("today"),
        lapsed("2026-11-20T10:30:00"),
        // Such a text would sort before all others, or after them for ever.
        lapsed("+12026-11-20T10:30:00Z"),
        lapsed("0026-11-20T10:30:00Z"),
        recorded("soon", time),
        json!({}),
    ] {
        assert!(serde_json::from_value::<PaymentEvent>(event.clone()).is_err(), "{event}");
    }
}
