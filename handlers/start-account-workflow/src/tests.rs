//! Which messages are settled, with Step Functions replaced at the SDK's HTTP edge.

use aws_sdk_sfn::error::ErrorMetadata;
use aws_sdk_sfn::operation::start_sync_execution::{StartSyncExecutionError, StartSyncExecutionOutput};
use aws_sdk_sfn::primitives::DateTime;
use aws_sdk_sfn::types::SyncExecutionStatus;
use aws_smithy_mocks::{RuleMode, mock, mock_client};
use lambda_runtime::{Context, LambdaEvent};
use powertools::batch::BatchEvent;
use powertools::metrics::Metrics;
use serde_json::json;

use crate::handler::{Workflow, handle};

/// The ids of the messages that stay in the queue; a message says how its workflow ends.
async fn failures(event: BatchEvent) -> Vec<String> {
    failures_counted(event, Metrics::new("Registrar")).await
}

async fn failures_counted(event: BatchEvent, metrics: Metrics) -> Vec<String> {
    let throttled = mock!(aws_sdk_sfn::Client::start_sync_execution)
        .match_requests(|request| request.input() == Some("throttled"))
        .then_error(|| StartSyncExecutionError::generic(ErrorMetadata::builder().code("ThrottlingException").build()));
    let runs = mock!(aws_sdk_sfn::Client::start_sync_execution).then_compute_output(|request| {
        let input = request.input().expect("the input is the message");
        let (status, output) = match input {
            "FAILED" | "TIMED_OUT" => (SyncExecutionStatus::from(input), "{}".to_owned()),
            _ => (SyncExecutionStatus::Succeeded, json!({"statusCode": input.parse().unwrap_or(201)}).to_string()),
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
    };
    let response = handle(&workflow, LambdaEvent::new(event, Context::default())).await.expect("failures are reported");
    response.batch_item_failures.into_iter().filter_map(|failure| failure.item_identifier).collect()
}

#[tokio::test]
async fn an_answer_settles_a_message_and_everything_else_leaves_it_in_the_queue() {
    let ends = ["201", "409", "422", "503", "FAILED", "TIMED_OUT", "throttled", "201"];
    let records: Vec<_> =
        ends.iter().enumerate().map(|(i, end)| json!({"messageId": format!("{i}"), "body": end})).collect();
    let event = serde_json::from_value(json!({"Records": records})).expect("it is an event");
    assert_eq!(failures(event).await, ["3", "4", "5", "6"]);
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
        serde_json::from_str(include_str!("../../../events/start-account-workflow.json")).expect("it is an event");
    assert_eq!(failures(event).await, [""; 0]);
}
