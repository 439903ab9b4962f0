//! Which messages are settled, with Step Functions replaced at the SDK's HTTP edge.

use aws_sdk_sfn::error::ErrorMetadata;
use aws_sdk_sfn::operation::start_sync_execution::{StartSyncExecutionError, StartSyncExecutionOutput};
use aws_sdk_sfn::primitives::DateTime;
use aws_sdk_sfn::types::SyncExecutionStatus;
use aws_sdk_sqs::operation::send_message::{SendMessageError, SendMessageOutput};
use aws_smithy_mocks::{Rule, RuleMode, mock, mock_client};
use lambda_runtime::{Context, LambdaEvent};
use powertools::batch::BatchEvent;
use powertools::metrics::Metrics;
use serde_json::{Value, json};

use crate::handler::{Workflow, handle};

fn problem() -> Value {
    json!({"field": "given_name", "code": "INVALID_NAME", "message": "This is no name."})
}

/// In a request that the workflow refuses.
const REFUSED: &str = "<b>";

fn refused(email: &str) -> BatchEvent {
    let body = json!({"email": email, "given_name": REFUSED}).to_string();
    serde_json::from_value(json!({"Records": [{"messageId": "0", "body": body}]})).expect("it is an event")
}

/// The ids of the messages that stay in the queue, when nobody is to be told; a message says how its workflow ends.
async fn failures(event: BatchEvent) -> Vec<String> {
    failures_counted(event, Metrics::new("Registrar")).await
}

async fn failures_counted(event: BatchEvent, metrics: Metrics) -> Vec<String> {
    failures_with(event, metrics, &mock!(aws_sdk_sqs::Client::send_message).then_output(|| panic!("nobody is told")))
        .await
}

async fn failures_with(event: BatchEvent, metrics: Metrics, sqs: &Rule) -> Vec<String> {
    let throttled = mock!(aws_sdk_sfn::Client::start_sync_execution)
        .match_requests(|request| request.input() == Some("throttled"))
        .then_error(|| StartSyncExecutionError::generic(ErrorMetadata::builder().code("ThrottlingException").build()));
    let runs = mock!(aws_sdk_sfn::Client::start_sync_execution).then_compute_output(|request| {
        let input = request.input().expect("the input is the message");
        let (status, output) = match input {
            "FAILED" | "TIMED_OUT" => (SyncExecutionStatus::from(input), "{}".to_owned()),
            _ => {
                let status_code = if input.contains(REFUSED) { 422 } else { input.parse().unwrap_or(201) };
                let body = json!({"problems": [problem()]}).to_string();
                (SyncExecutionStatus::Succeeded, json!({"statusCode": status_code, "body": body}).to_string())
            }
        };
        let now = DateTime::from_secs(1_795_170_600);
        StartSyncExecutionOutput::builder()
            .execution_arn("arn")
            .start_date(now)
            .stop_date(now)
            .status(status)
            .output(output)
            .build()
            .expect("it has all that is required")
    });
    let workflow = Workflow {
        sfn: mock_client!(aws_sdk_sfn, RuleMode::MatchAny, [&throttled, &runs]),
        state_machine_arn: "arn".into(),
        metrics,
        sqs: mock_client!(aws_sdk_sqs, RuleMode::MatchAny, [sqs]),
        notifications_queue_url: "https://sqs.example/notifications".into(),
    };
    let response = handle(&workflow, LambdaEvent::new(event, Context::default())).await.expect("failures are reported");
    response.batch_item_failures.into_iter().filter_map(|failure| failure.item_identifier).collect()
}

#[tokio::test]
async fn an_answer_settles_a_message_and_everything_else_leaves_it_in_the_queue() {
    let ends = ["201", "409", "503", "FAILED", "TIMED_OUT", "throttled", "201"];
    let records: Vec<_> =
        ends.iter().enumerate().map(|(i, end)| json!({"messageId": format!("{i}"), "body": end})).collect();
    let event = serde_json::from_value(json!({"Records": records})).expect("it is an event");
    assert_eq!(failures(event).await, ["2", "3", "4", "5"]);
}

#[tokio::test]
async fn messages_that_all_fail_are_no_failure_of_the_function() {
    let event =
        serde_json::from_value(json!({"Records": [{"messageId": "0", "body": "503"}]})).expect("it is an event");
    assert_eq!(failures(event).await, ["0"]);
}

#[tokio::test]
async fn a_request_that_keeps_failing_shows_its_age() {
    let queued = |messages: &[(&str, u64)]| -> BatchEvent {
        let records = messages.iter().map(
            |(end, sent)| json!({"messageId": end, "body": end, "attributes": {"SentTimestamp": format!("{sent}000")}}),
        );
        serde_json::from_value(json!({"Records": records.collect::<Vec<_>>()})).expect("it is an event")
    };
    let (then, now) = (0, 1_795_170_600);
    let metrics = Metrics::new("Registrar");
    assert_eq!(failures_counted(queued(&[("503", now), ("FAILED", then)]), metrics.clone()).await, ["503", "FAILED"]);
    let counted = metrics.take().expect("the failures are counted");
    assert!(counted["OldestAccountRequestHandedBack"][0].as_f64() > Some(1e9), "{counted}");
    assert_eq!(failures_counted(queued(&[("201", then)]), metrics.clone()).await, [""; 0]);
    assert_eq!(metrics.take(), None);
}

#[tokio::test]
async fn the_example_event_is_settled() {
    let event =
        serde_json::from_str(include_str!("../../../../events/accounts/start-account-workflow.json")).expect("it is an event");
    assert_eq!(failures(event).await, [""; 0]);
}

#[tokio::test]
async fn who_is_refused_is_told_why_and_nothing_else_that_was_typed() {
    let told = mock!(aws_sdk_sqs::Client::send_message)
        .match_requests(|request| {
            let body: Value = serde_json::from_str(request.message_body().unwrap_or_default()).unwrap_or_default();
            let detail = json!({"email": "jo@xn--mnchen-3ya.example", "problems": [problem()]});
            request.queue_url() == Some("https://sqs.example/notifications")
                && body == json!({"detail-type": "AccountRefused", "detail": detail})
        })
        .then_output(|| SendMessageOutput::builder().build());
    assert_eq!(failures_with(refused(" Jo@MÜNCHEN.example"), Metrics::new("Registrar"), &told).await, [""; 0]);
    assert_eq!(told.num_calls(), 1);
}

#[tokio::test]
async fn who_has_no_address_is_not_told() {
    for email in ["", "jo", "jo@1.2.3.4", "jo@school.example\nBcc: eve@school.example"] {
        assert_eq!(failures(refused(email)).await, [""; 0]);
    }
}

#[tokio::test]
async fn a_request_stays_in_the_queue_until_the_refusal_is_told() {
    let throttled = mock!(aws_sdk_sqs::Client::send_message)
        .then_error(|| SendMessageError::generic(ErrorMetadata::builder().code("ThrottlingException").build()));
    assert_eq!(failures_with(refused("jo@school.example"), Metrics::new("Registrar"), &throttled).await, ["0"]);
}
