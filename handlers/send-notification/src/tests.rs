//! One e-mail per account, with DynamoDB and SES replaced at the SDK's HTTP edge.

use std::time::Duration;

use aws_lambda_events::sqs::SqsEvent;
use aws_sdk_dynamodb::operation::update_item::{UpdateItemError, UpdateItemOutput};
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_dynamodb::types::error::ConditionalCheckFailedException;
use aws_sdk_sesv2::config::http::HttpResponse;
use aws_sdk_sesv2::operation::send_email::SendEmailOutput;

use aws_smithy_mocks::{Rule, RuleMode, mock, mock_client};
use aws_smithy_types::body::SdkBody;
use lambda_runtime::{Context, LambdaEvent};
use serde_json::json;

use crate::handler::{Notifier, handle};

const EXAMPLE: &str = include_str!("../../../events/send-notification.json");

/// The update whose expression begins so; the student's item is answered.
fn update(expression: &'static str) -> Rule {
    mock!(aws_sdk_dynamodb::Client::update_item)
        .match_requests(move |request| request.update_expression().is_some_and(|e| e.starts_with(expression)))
        .then_output(|| {
            [
                ("account_key", "STUDENT:s-1"),
                ("student_id", "s-1"),
                ("email", "ada@school.example"),
                ("given_name", "Ada"),
                ("family_name", "Lovelace"),
                ("date_of_birth", "2005-12-10"),
                ("programme", "mathematics"),
                ("created_at", "2026-11-20T10:30:00Z"),
            ]
            .into_iter()
            .fold(UpdateItemOutput::builder(), |item, (name, value)| {
                item.attributes(name, AttributeValue::S(value.into()))
            })
            .build()
        })
}

/// A lease that is refused because of this attribute, or because there is no item.
fn refused(attribute: Option<&'static str>) -> Rule {
    mock!(aws_sdk_dynamodb::Client::update_item).then_error(move || {
        let failed = ConditionalCheckFailedException::builder();
        let item = attribute.map(|name| [(name.to_owned(), AttributeValue::N("1795170600".into()))].into());
        UpdateItemError::ConditionalCheckFailedException(failed.set_item(item).build())
    })
}

fn ses(status: u16) -> Rule {
    match status {
        200 => mock!(aws_sdk_sesv2::Client::send_email)
            .match_requests(|request| {
                let to = request.destination().map(|destination| destination.to_addresses().to_vec());
                let tags = request.email_tags().iter().map(|tag| (tag.name(), tag.value()));
                to.unwrap_or_default() == ["ada@school.example"] && tags.eq([("student_id", "s-1")])
            })
            .then_output(|| SendEmailOutput::builder().message_id("m-1").build()),
        _ => mock!(aws_sdk_sesv2::Client::send_email).then_http_response(move || {
            HttpResponse::new(status.try_into().expect("it is a status code"), SdkBody::from("{}"))
        }),
    }
}

async fn failures(dynamodb: &[&Rule], ses: &Rule, event: SqsEvent) -> Vec<String> {
    let notifier = Notifier {
        dynamodb: mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, dynamodb),
        ses: mock_client!(aws_sdk_sesv2, RuleMode::MatchAny, [ses]),
        table: "accounts".into(),
        sender: "registrar@school.example".into(),
        configuration_set: "school".into(),
        web_url: "https://school.example".into(),
        lease: Duration::from_secs(900),
    };
    let response = handle(&notifier, LambdaEvent::new(event, Context::default())).await.expect("failures are reported");
    response.batch_item_failures.into_iter().map(|failure| failure.item_identifier).collect()
}

fn example() -> SqsEvent {
    serde_json::from_str(EXAMPLE).expect("the example is an event of a queue")
}

fn message(body: &str) -> SqsEvent {
    serde_json::from_value(json!({"Records": [{"messageId": "1", "body": body}]})).expect("it is an event of a queue")
}

#[tokio::test]
async fn a_student_is_notified_and_that_is_noted() {
    let (lease, sent, ses) = (update("SET leased_until"), update("SET notified_at"), ses(200));
    assert_eq!(failures(&[&lease, &sent], &ses, example()).await, [""; 0]);
    assert_eq!((lease.num_calls(), ses.num_calls(), sent.num_calls()), (1, 1, 1));
}

#[tokio::test]
async fn who_has_been_notified_is_not_notified_again() {
    let (lease, ses) = (refused(Some("notified_at")), ses(200));
    assert_eq!(failures(&[&lease], &ses, example()).await, [""; 0]);
    assert_eq!(ses.num_calls(), 0);
}

#[tokio::test]
async fn an_attempt_that_may_have_ended_well_is_waited_for() {
    let (lease, ses) = (refused(Some("leased_until")), ses(200));
    assert_eq!(
        failures(&[&lease], &ses, message(r#"{"detail-type":"AccountCreated","detail":{"student_id":"s-1"}}"#)).await,
        ["1"]
    );
    assert_eq!(ses.num_calls(), 0);
}

#[tokio::test]
async fn a_clear_no_from_ses_gives_the_lease_back_and_anything_else_keeps_it() {
    for (status, given_back) in [(400, 1), (403, 1), (429, 1), (500, 0), (503, 0)] {
        let (lease, back, ses) = (update("SET leased_until"), update("REMOVE leased_until"), ses(status));
        assert_eq!(failures(&[&lease, &back], &ses, example()).await.len(), 1, "{status}");
        assert_eq!((ses.num_calls(), back.num_calls()), (1, given_back), "{status}");
    }
}

#[tokio::test]
async fn the_event_of_ses_notes_what_a_dead_function_could_not() {
    let (sent, ses) = (update("SET notified_at"), ses(200));
    let event = message(r#"{"detail-type":"Email Sent","detail":{"student_ids":["s-1"]}}"#);
    assert_eq!(failures(&[&sent], &ses, event).await, [""; 0]);
    assert_eq!((sent.num_calls(), ses.num_calls()), (1, 0));
}

#[tokio::test]
async fn what_can_not_be_handled_stays_in_the_queue_alone() {
    let (unknown, ses) = (refused(None), ses(200));
    for body in [
        "",
        "{}",
        r#"{"detail-type":"Other","detail":{}}"#,
        r#"{"detail-type":"AccountCreated","detail":{"student_id":"s-9"}}"#,
    ] {
        assert_eq!(failures(&[&unknown], &ses, message(body)).await, ["1"], "{body}");
    }
}
