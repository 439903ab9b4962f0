//! One e-mail per account, with DynamoDB and SES replaced at the SDK's HTTP edge.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
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
use emails::Mailer;
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

/// The student's item, with the time of the notification if the student was notified.
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

/// The update that records the notification in the student's item.
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
    handle_in(milliseconds, &Notifier { metrics, ..notifier(dynamodb, ses) }, event).await
}

fn notifier(dynamodb: &[&Rule], ses: &Rule) -> Notifier {
    let dynamodb = mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, dynamodb);
    Notifier {
        idempotency: Idempotency::new(dynamodb.clone(), IDEMPOTENCY_TABLE).expires_after(QUIET_AFTER_REFUSAL),
        dynamodb,
        mailer: Mailer {
            ses: mock_client!(aws_sdk_sesv2, RuleMode::MatchAny, [ses]),
            sender: "registrar@school.example".into(),
            configuration_set: "school".into(),
        },
        table: "accounts".into(),
        web_url: Some("https://school.example".into()),
        metrics: Metrics::new("Registrar"),
    }
}

async fn handle_in(milliseconds: u64, notifier: &Notifier, event: BatchEvent) -> Vec<String> {
    let mut context = Context::default();
    // As `cargo lambda watch` gives it: a duration.
    context.deadline = milliseconds;
    let response = handle(notifier, LambdaEvent::new(event, context)).await.expect("failures are reported");
    response.batch_item_failures.into_iter().filter_map(|failure| failure.item_identifier).collect()
}

fn example() -> BatchEvent {
    serde_json::from_str(EXAMPLE).expect("the example is an event of a queue")
}

fn message(body: &str) -> BatchEvent {
    serde_json::from_value(json!({"Records": [{"messageId": "1", "body": body}]})).expect("it is an event of a queue")
}

#[tokio::test]
async fn a_notification_is_recorded() {
    let ([begun, completed, deleted], student, noted, ses) = (record(), student(None), noted(), ses(200));
    let rules = [&begun, &completed, &deleted, &student, &noted];
    assert_eq!(failures(&rules, &ses, example()).await, [""; 0]);
    assert_eq!(rules.map(Rule::num_calls), [1, 1, 0, 1, 1]);
    assert_eq!(ses.num_calls(), 1);
}

#[tokio::test]
async fn a_notified_student_is_not_notified_again_after_the_record_has_expired() {
    let ([begun, completed, _], student, ses) = (record(), student(Some(1_795_170_600)), ses(200));
    assert_eq!(failures(&[&begun, &completed, &student], &ses, example()).await, [""; 0]);
    assert_eq!((ses.num_calls(), completed.num_calls()), (0, 1));
}

#[tokio::test]
async fn an_attempt_that_may_have_succeeded_blocks_another() {
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
async fn a_refusal_by_ses_allows_an_immediate_retry_and_an_unclear_answer_does_not() {
    for (status, is_deleted) in [(400, 1), (403, 1), (429, 1), (500, 0), (503, 0)] {
        let ([begun, completed, deleted], student, ses) = (record(), student(None), ses(status));
        let rules = [&begun, &completed, &deleted, &student];
        assert_eq!(failures(&rules, &ses, example()).await.len(), 1, "{status}");
        assert_eq!(rules.map(Rule::num_calls), [1, 0, is_deleted, 1], "{status}");
        assert_eq!(ses.num_calls(), 1, "{status}");
    }
}

#[tokio::test]
async fn ses_is_not_called_without_time_to_learn_the_result() {
    let ([begun, completed, deleted], student, ses) = (record(), student(None), ses(200));
    let rules = [&begun, &completed, &deleted, &student];
    assert_eq!(failures_in(9_000, &rules, &ses, example()).await.len(), 1);
    assert_eq!(rules.map(Rule::num_calls), [1, 0, 1, 1]);
    assert_eq!(ses.num_calls(), 0);
}

#[tokio::test]
async fn an_accepted_e_mail_is_not_sent_again_when_recording_it_fails() {
    let ([begun, _, deleted], student, ses) = (record(), student(None), ses(200));
    let not_noted = mock!(aws_sdk_dynamodb::Client::update_item)
        .then_error(|| UpdateItemError::generic(ErrorMetadata::builder().code("AccessDeniedException").build()));
    assert_eq!(failures(&[&begun, &deleted, &student, &not_noted], &ses, example()).await.len(), 1);
    assert_eq!((ses.num_calls(), deleted.num_calls()), (1, 0));
}

#[tokio::test]
async fn the_event_of_ses_records_what_a_killed_function_could_not() {
    let ([_, completed, _], noted, ses) = (record(), noted(), ses(200));
    let event = message(r#"{"detail-type":"Email Sent","detail":{"student_ids":["s-1"]}}"#);
    assert_eq!(failures(&[&completed, &noted], &ses, event).await, [""; 0]);
    assert_eq!((noted.num_calls(), completed.num_calls(), ses.num_calls()), (1, 1, 0));
}

/// As EventBridge puts it into the queue.
fn refusal() -> BatchEvent {
    let problem =
        json!({"field": "given_name", "code": "INVALID_NAME", "message": "A name needs at least one letter."});
    let event = json!({
        "version": "0",
        "id": "53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa",
        "detail-type": "AccountRefused",
        "source": "registrar.accounts",
        "account": "123456789012",
        "time": "2026-11-20T10:30:02Z",
        "region": "eu-central-1",
        "resources": [],
        "detail": {"email": "ada@school.example", "problems": [problem]},
    });
    message(&event.to_string())
}

#[tokio::test]
async fn an_address_gets_one_e_mail_about_refusals_a_day() {
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
            let to = request.destination().map(|destination| destination.to_addresses().to_vec());
            to.unwrap_or_default() == ["ada@school.example"] && request.email_tags().is_empty()
        })
        .then_output(|| SendEmailOutput::builder().message_id("m-1").build());
    assert_eq!(failures(&[&begun, &completed], &ses, refusal()).await, [""; 0]);
    assert_eq!((begun.num_calls(), completed.num_calls(), ses.num_calls()), (1, 1, 1));
}

/// The text of the e-mail about an event.
async fn text(event: BatchEvent, web_url: Option<&str>) -> String {
    let ([begun, completed, _], student, noted) = (record(), student(None), noted());
    let text = Arc::new(Mutex::new(String::new()));
    let sent = Arc::clone(&text);
    let ses = mock!(aws_sdk_sesv2::Client::send_email)
        .match_requests(move |request| {
            let message = request.content().and_then(|content| content.simple());
            let data = message.and_then(|message| Some(message.body()?.text()?.data().to_owned()));
            *sent.lock().expect("no thread panics with it") = data.expect("it has a text");
            true
        })
        .then_output(|| SendEmailOutput::builder().message_id("m-1").build());
    let notifier = notifier(&[&begun, &completed, &student, &noted], &ses);
    let notifier = Notifier { web_url: web_url.map(Into::into), ..notifier };
    assert_eq!(handle_in(30_000, &notifier, event).await, [""; 0]);
    text.lock().expect("no thread panics with it").clone()
}

#[tokio::test]
async fn an_e_mail_links_to_the_pages_if_there_are_pages() {
    let pages = Some("https://school.example");
    let ignore = "If you did not ask for an account, somebody mistyped an address: you can ignore this e-mail.\n";
    assert_eq!(
        text(example(), pages).await,
        format!(
            "Hello,\n\nYour account is ready. Choose a password here:\n\nhttps://school.example/#password\n\n{ignore}"
        )
    );
    assert_eq!(
        text(example(), None).await,
        format!(
            "Hello,\n\nYour account is ready. Before you sign in for the first time, choose \"Forgot password\" to set a \
             password.\n\n{ignore}"
        )
    );
    let problems = "Hello,\n\nYou asked for an account, but we can't create it yet:\n\n\
        - given name: A name needs at least one letter.\n\nPlease correct this and ask again";
    assert_eq!(
        text(refusal(), pages).await,
        format!(
            "{problems} here:\n\nhttps://school.example/#sign-up\n\nWe send this e-mail at most once a day. {ignore}"
        )
    );
    assert_eq!(text(refusal(), None).await, format!("{problems}.\n\nWe send this e-mail at most once a day. {ignore}"));
}

#[tokio::test]
async fn an_e_mail_about_a_refusal_that_ses_may_have_accepted_is_not_sent_again_immediately() {
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
async fn only_a_message_that_can_not_be_handled_stays_in_the_queue() {
    let ([begun, _, deleted], ses) = (record(), ses(200));
    let no_student = mock!(aws_sdk_dynamodb::Client::get_item).then_output(|| GetItemOutput::builder().build());
    for body in [
        "",
        "{}",
        r#"{"detail-type":"Other","detail":{}}"#,
        r#"{"detail-type":"AccountCreated","detail":{"student_id":"s-9"}}"#,
    ] {
        assert_eq!(failures(&[&begun, &deleted, &no_student], &ses, message(body)).await, ["1"], "{body}");
    }
}
