//! One e-mail per account, with DynamoDB and SES replaced at the SDK's HTTP edge.

use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_sdk_dynamodb::error::ErrorMetadata;
use aws_sdk_dynamodb::operation::delete_item::DeleteItemOutput;
use aws_sdk_dynamodb::operation::get_item::GetItemOutput;
use aws_sdk_dynamodb::operation::put_item::{PutItemError, PutItemInput, PutItemOutput};
use aws_sdk_dynamodb::operation::update_item::{UpdateItemError, UpdateItemOutput};
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_dynamodb::types::error::ConditionalCheckFailedException;
use aws_sdk_sesv2::config::http::HttpResponse;
use aws_sdk_sesv2::operation::send_email::SendEmailOutput;
use aws_smithy_mocks::{Rule, RuleMode, mock, mock_client};
use aws_smithy_types::body::SdkBody;
use lambda_runtime::{Context, LambdaEvent};
use powertools::batch::BatchEvent;
use powertools::idempotency::Idempotency;
use powertools::metrics::Metrics;
use serde_json::json;

use crate::handler::{Notifier, QUIET_AFTER_REFUSAL, handle};

const EXAMPLE: &str = include_str!("../../../../events/notifications/send-notification.json");

/// Of the example.
const STUDENT_ID: &str = "7d1f2a8e-5c1b-4f0e-9a64-2f3f4f1f6a10";

const IDEMPOTENCY_TABLE: &str = "idempotency";

/// The student's item, with when the student was notified, if so.
fn student(notified_at: Option<u64>) -> Rule {
    mock!(aws_sdk_dynamodb::Client::get_item).then_output(move || {
        let fields = [
            ("account_key", "STUDENT:7d1f2a8e-5c1b-4f0e-9a64-2f3f4f1f6a10"),
            ("student_id", STUDENT_ID),
            ("email", "ada@school.example"),
            ("given_name", "Ada"),
            ("family_name", "Lovelace"),
            ("date_of_birth", "2005-12-10"),
            ("programme", "mathematics"),
            ("created_at", "2026-11-20T10:30:00Z"),
        ];
        let mut item: HashMap<_, _> =
            fields.map(|(name, value)| (name.to_owned(), AttributeValue::S(value.to_owned()))).into();
        if let Some(seconds) = notified_at {
            item.insert("notified_at".into(), AttributeValue::N(seconds.to_string()));
        }
        GetItemOutput::builder().set_item(Some(item)).build()
    })
}

/// That the student is notified is noted in the student's item.
fn noted() -> Rule {
    mock!(aws_sdk_dynamodb::Client::update_item)
        .match_requests(|request| request.table_name() == Some("accounts"))
        .then_output(|| UpdateItemOutput::builder().build())
}

/// The idempotency record: begun, completed, deleted.
fn record() -> [Rule; 3] {
    [
        mock!(aws_sdk_dynamodb::Client::put_item).then_output(|| PutItemOutput::builder().build()),
        mock!(aws_sdk_dynamodb::Client::update_item)
            .match_requests(|request| request.table_name() == Some(IDEMPOTENCY_TABLE))
            .then_output(|| UpdateItemOutput::builder().build()),
        mock!(aws_sdk_dynamodb::Client::delete_item).then_output(|| DeleteItemOutput::builder().build()),
    ]
}

fn ses(status: u16) -> Rule {
    match status {
        200 => mock!(aws_sdk_sesv2::Client::send_email)
            .match_requests(|request| {
                let to = request.destination().map(|destination| destination.to_addresses().to_vec());
                let tags = request.email_tags().iter().map(|tag| (tag.name(), tag.value()));
                to.unwrap_or_default() == ["ada@school.example"] && tags.eq([("student_id", STUDENT_ID)])
            })
            .then_output(|| SendEmailOutput::builder().message_id("m-1").build()),
        _ => mock!(aws_sdk_sesv2::Client::send_email).then_http_response(move || {
            HttpResponse::new(status.try_into().expect("it is a status code"), SdkBody::from("{}"))
        }),
    }
}

async fn failures(dynamodb: &[&Rule], ses: &Rule, event: BatchEvent) -> Vec<String> {
    failures_in(30_000, dynamodb, ses, event).await
}

async fn failures_in(milliseconds: u64, dynamodb: &[&Rule], ses: &Rule, event: BatchEvent) -> Vec<String> {
    failures_counted(milliseconds, dynamodb, ses, event, Metrics::new("Registrar")).await
}

async fn failures_counted(
    milliseconds: u64,
    dynamodb: &[&Rule],
    ses: &Rule,
    event: BatchEvent,
    metrics: Metrics,
) -> Vec<String> {
    let dynamodb = mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, dynamodb);
    let notifier = Notifier {
        idempotency: Idempotency::new(dynamodb.clone(), IDEMPOTENCY_TABLE).expires_after(QUIET_AFTER_REFUSAL),
        dynamodb,
        ses: mock_client!(aws_sdk_sesv2, RuleMode::MatchAny, [ses]),
        table: "accounts".into(),
        sender: "registrar@school.example".into(),
        configuration_set: "school".into(),
        web_url: "https://school.example".into(),
        metrics,
    };
    let mut context = Context::default();
    // As `cargo lambda watch` gives it: a duration.
    context.deadline = milliseconds;
    let response = handle(&notifier, LambdaEvent::new(event, context)).await.expect("failures are reported");
    response.batch_item_failures.into_iter().filter_map(|failure| failure.item_identifier).collect()
}

fn example() -> BatchEvent {
    serde_json::from_str(EXAMPLE).expect("the example is an event of a queue")
}

fn message(body: &str) -> BatchEvent {
    serde_json::from_value(json!({"Records": [{"messageId": "1", "body": body}]})).expect("it is an event of a queue")
}

#[tokio::test]
async fn a_student_is_notified_and_that_is_noted() {
    let ([begun, completed, deleted], student, noted, ses) = (record(), student(None), noted(), ses(200));
    let rules = [&begun, &completed, &deleted, &student, &noted];
    assert_eq!(failures(&rules, &ses, example()).await, [""; 0]);
    assert_eq!(rules.map(Rule::num_calls), [1, 1, 0, 1, 1]);
    assert_eq!(ses.num_calls(), 1);
}

#[tokio::test]
async fn who_has_been_notified_is_not_notified_again_when_the_record_is_gone() {
    let ([begun, completed, _], student, ses) = (record(), student(Some(1_795_170_600)), ses(200));
    assert_eq!(failures(&[&begun, &completed, &student], &ses, example()).await, [""; 0]);
    assert_eq!((ses.num_calls(), completed.num_calls()), (0, 1));
}

#[tokio::test]
async fn an_attempt_that_may_have_ended_well_is_waited_for() {
    let in_progress = mock!(aws_sdk_dynamodb::Client::put_item).then_error(|| {
        let attribute = |value: &str| AttributeValue::S(value.into());
        let never = AttributeValue::N("9999999999999".into());
        let item = [
            ("id", attribute("send-notification#")),
            ("status", attribute("INPROGRESS")),
            ("expiration", never.clone()),
            ("in_progress_expiration", never),
        ];
        let failed = ConditionalCheckFailedException::builder()
            .set_item(Some(item.map(|(name, value)| (name.to_owned(), value)).into()));
        PutItemError::ConditionalCheckFailedException(failed.build())
    });
    let ses = ses(200);
    let event = message(r#"{"detail-type":"AccountCreated","detail":{"student_id":"s-1"}}"#);
    assert_eq!(failures(&[&in_progress], &ses, event).await, ["1"]);
    assert_eq!((in_progress.num_calls(), ses.num_calls()), (1, 0));
}

#[tokio::test]
async fn a_clear_no_from_ses_lets_others_try_at_once_and_anything_else_does_not() {
    for (status, is_deleted) in [(400, 1), (403, 1), (429, 1), (500, 0), (503, 0)] {
        let ([begun, completed, deleted], student, ses) = (record(), student(None), ses(status));
        let rules = [&begun, &completed, &deleted, &student];
        assert_eq!(failures(&rules, &ses, example()).await.len(), 1, "{status}");
        assert_eq!(rules.map(Rule::num_calls), [1, 0, is_deleted, 1], "{status}");
        assert_eq!(ses.num_calls(), 1, "{status}");
    }
}

#[tokio::test]
async fn ses_is_not_called_without_time_left_to_learn_what_became_of_it() {
    let ([begun, completed, deleted], student, ses) = (record(), student(None), ses(200));
    let rules = [&begun, &completed, &deleted, &student];
    assert_eq!(failures_in(9_000, &rules, &ses, example()).await.len(), 1);
    assert_eq!(rules.map(Rule::num_calls), [1, 0, 1, 1]);
    assert_eq!(ses.num_calls(), 0);
}

#[tokio::test]
async fn an_e_mail_that_was_accepted_is_not_sent_again_because_that_could_not_be_noted() {
    let ([begun, _, deleted], student, ses) = (record(), student(None), ses(200));
    let not_noted = mock!(aws_sdk_dynamodb::Client::update_item)
        .then_error(|| UpdateItemError::generic(ErrorMetadata::builder().code("AccessDeniedException").build()));
    assert_eq!(failures(&[&begun, &deleted, &student, &not_noted], &ses, example()).await.len(), 1);
    assert_eq!((ses.num_calls(), deleted.num_calls()), (1, 0));
}

#[tokio::test]
async fn the_event_of_ses_notes_what_a_dead_function_could_not() {
    let ([_, completed, _], noted, ses) = (record(), noted(), ses(200));
    let event = message(r#"{"detail-type":"Email Sent","detail":{"student_ids":["s-1"]}}"#);
    assert_eq!(failures(&[&completed, &noted], &ses, event).await, [""; 0]);
    assert_eq!((noted.num_calls(), completed.num_calls(), ses.num_calls()), (1, 1, 0));
}

fn refusal() -> BatchEvent {
    let problem = json!({"field": "given_name", "code": "INVALID_NAME", "message": "A name has at least one letter."});
    let detail = json!({"email": "ada@school.example", "problems": [problem]});
    message(&json!({"detail-type": "AccountRefused", "detail": detail}).to_string())
}

#[tokio::test]
async fn who_is_refused_is_told_what_to_correct_once_a_day() {
    let until_tomorrow = |request: &PutItemInput| {
        let expiration = request.item().and_then(|item| item.get("expiration")?.as_n().ok()?.parse::<u64>().ok());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_secs();
        expiration.is_some_and(|expiration| expiration.abs_diff(now + 24 * 60 * 60) < 60)
    };
    let begun = mock!(aws_sdk_dynamodb::Client::put_item)
        .match_requests(until_tomorrow)
        .then_output(|| PutItemOutput::builder().build());
    let [_, completed, _] = record();
    let ses = mock!(aws_sdk_sesv2::Client::send_email)
        .match_requests(|request| {
            let message = request.content().and_then(|content| content.simple());
            let text = message.and_then(|message| Some(message.body()?.text()?.data().to_owned())).unwrap_or_default();
            let to = request.destination().map(|destination| destination.to_addresses().to_vec());
            to.unwrap_or_default() == ["ada@school.example"]
                && request.email_tags().is_empty()
                && text.contains("\n- given name: A name has at least one letter.\n")
                && text.contains("https://school.example/#sign-up")
        })
        .then_output(|| SendEmailOutput::builder().message_id("m-1").build());
    assert_eq!(failures(&[&begun, &completed], &ses, refusal()).await, [""; 0]);
    assert_eq!((begun.num_calls(), completed.num_calls(), ses.num_calls()), (1, 1, 1));
}

#[tokio::test]
async fn a_refusal_that_ses_may_have_taken_is_not_sent_again_at_once() {
    let ([begun, _, deleted], ses) = (record(), ses(500));
    assert_eq!(failures(&[&begun, &deleted], &ses, refusal()).await, ["1"]);
    assert_eq!((ses.num_calls(), deleted.num_calls()), (1, 0));
}

#[tokio::test]
async fn a_notification_that_ses_keeps_refusing_shows_its_age() {
    for (status, is_counted) in [(403, true), (200, false)] {
        let ([begun, completed, deleted], student, noted, ses) = (record(), student(None), noted(), ses(status));
        let rules = [&begun, &completed, &deleted, &student, &noted];
        let metrics = Metrics::new("Registrar");
        failures_counted(30_000, &rules, &ses, example(), metrics.clone()).await;
        let age = metrics.take().and_then(|counted| counted["OldestNotificationHandedBack"][0].as_f64());
        assert_eq!(age.is_some(), is_counted, "{status}");
    }
}

#[tokio::test]
async fn what_can_not_be_handled_stays_in_the_queue_alone() {
    let ([begun, _, deleted], ses) = (record(), ses(200));
    let nobody = mock!(aws_sdk_dynamodb::Client::get_item).then_output(|| GetItemOutput::builder().build());
    for body in [
        "",
        "{}",
        r#"{"detail-type":"Other","detail":{}}"#,
        r#"{"detail-type":"AccountCreated","detail":{"student_id":"s-9"}}"#,
    ] {
        assert_eq!(failures(&[&begun, &deleted, &nobody], &ses, message(body)).await, ["1"], "{body}");
    }
}
