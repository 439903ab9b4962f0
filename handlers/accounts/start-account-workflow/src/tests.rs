//! Which messages leave the queue, with Step Functions and EventBridge replaced at the SDK's HTTP edge.

use aws_sdk_eventbridge::operation::put_events::{PutEventsError, PutEventsOutput};
use aws_sdk_eventbridge::types::PutEventsResultEntry;
use aws_sdk_sfn::error::ErrorMetadata;
use aws_sdk_sfn::operation::start_sync_execution::{StartSyncExecutionError, StartSyncExecutionOutput};
use aws_sdk_sfn::primitives::DateTime;
use aws_sdk_sfn::types::SyncExecutionStatus;
use aws_services::EventBus;
use aws_smithy_mocks::{Rule, RuleMode, mock, mock_client};
use lambda_runtime::{Context, LambdaEvent};
use powertools::batch::BatchEvent;
use powertools::metrics::Metrics;
use serde_json::{Value, json};

use crate::handler::{Workflow, handle};

fn problem() -> Value {
    json!({"field": "given_name", "code": "INVALID_NAME", "message": "Leave out the emoji."})
}

/// Part of a request that the workflow refuses.
const REFUSED: &str = "<b>";

fn refused(email: &str) -> BatchEvent {
    let body = json!({"email": email, "given_name": REFUSED}).to_string();
    serde_json::from_value(json!({"Records": [{"messageId": "0", "body": body}]})).expect("it is an event")
}

/// The ids of the messages that stay in the queue, of which none may cause an event. A message says how its workflow ends.
async fn failures(event: BatchEvent) -> Vec<String> {
    failures_counted(event, Metrics::new("Registrar")).await
}

async fn failures_counted(event: BatchEvent, metrics: Metrics) -> Vec<String> {
    let no_event = mock!(aws_sdk_eventbridge::Client::put_events).then_output(|| panic!("there is no refusal"));
    failures_with(event, metrics, &no_event).await
}

async fn failures_with(event: BatchEvent, metrics: Metrics, put_events: &Rule) -> Vec<String> {
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
        event_bus: EventBus {
            client: mock_client!(aws_sdk_eventbridge, RuleMode::MatchAny, [put_events]),
            name: "school".into(),
        },
    };
    let response = handle(&workflow, LambdaEvent::new(event, Context::default())).await.expect("failures are reported");
    response.batch_item_failures.into_iter().filter_map(|failure| failure.item_identifier).collect()
}

#[tokio::test]
async fn an_answer_removes_a_message_from_the_queue_and_a_failure_does_not() {
    let ends = ["201", "409", "503", "FAILED", "TIMED_OUT", "throttled", "201"];
    let records: Vec<_> =
        ends.iter().enumerate().map(|(i, end)| json!({"messageId": format!("{i}"), "body": end})).collect();
    let event = serde_json::from_value(json!({"Records": records})).expect("it is an event");
    assert_eq!(failures(event).await, ["2", "3", "4", "5"]);
}

#[tokio::test]
async fn a_batch_of_failed_messages_is_not_a_failure_of_the_function() {
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
async fn the_message_of_the_example_event_leaves_the_queue() {
    let event = serde_json::from_str(include_str!("../../../../events/accounts/start-account-workflow.json"))
        .expect("it is an event");
    assert_eq!(failures(event).await, [""; 0]);
}

#[tokio::test]
async fn a_refusal_is_an_event_with_the_address_and_the_problems_only() {
    let put_events = mock!(aws_sdk_eventbridge::Client::put_events)
        .match_requests(|request| {
            let [entry] = request.entries() else { return false };
            let detail: Value = serde_json::from_str(entry.detail().unwrap_or_default()).unwrap_or_default();
            detail == json!({"email": "jo@xn--mnchen-3ya.example", "problems": [problem()]})
                && entry.event_bus_name() == Some("school")
                && entry.source() == Some("registrar.accounts")
                && entry.detail_type() == Some("AccountRefused")
        })
        .then_output(|| PutEventsOutput::builder().entries(PutEventsResultEntry::builder().build()).build());
    assert_eq!(failures_with(refused(" Jo@MÜNCHEN.example"), Metrics::new("Registrar"), &put_events).await, [""; 0]);
    assert_eq!(put_events.num_calls(), 1);
}

#[tokio::test]
async fn a_refusal_of_an_invalid_address_is_no_event() {
    for email in ["", "jo", "jo@1.2.3.4", "jo@school.example\nBcc: eve@school.example"] {
        assert_eq!(failures(refused(email)).await, [""; 0]);
    }
}

#[tokio::test]
async fn a_request_stays_in_the_queue_until_the_bus_has_the_event_about_its_refusal() {
    let throttled = mock!(aws_sdk_eventbridge::Client::put_events)
        .then_error(|| PutEventsError::generic(ErrorMetadata::builder().code("ThrottlingException").build()));
    let not_accepted = mock!(aws_sdk_eventbridge::Client::put_events).then_output(|| {
        let entry = PutEventsResultEntry::builder().error_code("InternalFailure").build();
        PutEventsOutput::builder().failed_entry_count(1).entries(entry).build()
    });
    for put_events in [throttled, not_accepted] {
        let failures = failures_with(refused("jo@school.example"), Metrics::new("Registrar"), &put_events).await;
        assert_eq!(failures, ["0"]);
    }
}
