//! The calls of notify-student, with EventBridge and DynamoDB replaced at the SDK's HTTP edge.

use aws_sdk_dynamodb::operation::update_item::UpdateItemOutput;
use aws_sdk_eventbridge::operation::put_events::PutEventsOutput;
use aws_sdk_eventbridge::types::PutEventsResultEntry;
use aws_services::{EventBus, Unavailable};
use aws_smithy_mocks::{Rule, RuleMode, mock, mock_client};
use lambda_runtime::{Context, LambdaEvent};

use crate::handler::{Announcer, Student, handle};

async fn notify(put_events: &Rule, update_item: &Rule) -> Result<Student, Unavailable> {
    let announcer = Announcer {
        dynamodb: mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, [update_item]),
        event_bus: EventBus {
            client: mock_client!(aws_sdk_eventbridge, RuleMode::MatchAny, [put_events]),
            name: "school".into(),
        },
        table: "accounts".into(),
    };
    let student =
        serde_json::from_str(include_str!("../../../../events/accounts/notify-student.json")).expect("it is a student");
    handle(&announcer, LambdaEvent::new(student, Context::default())).await
}

fn takes_update() -> Rule {
    mock!(aws_sdk_dynamodb::Client::update_item).then_output(|| UpdateItemOutput::builder().build())
}

#[tokio::test]
async fn an_account_is_finished_once_the_event_bus_has_the_event() {
    let put_events = mock!(aws_sdk_eventbridge::Client::put_events)
        .match_requests(|request| {
            let detail = r#"{"student_id":"7d1f2a8e-5c1b-4f0e-9a64-2f3f4f1f6a10"}"#;
            request
                .entries()
                .iter()
                .all(|entry| entry.detail() == Some(detail) && entry.event_bus_name() == Some("school"))
        })
        .then_output(|| PutEventsOutput::builder().entries(PutEventsResultEntry::builder().build()).build());
    let update_item = takes_update();
    notify(&put_events, &update_item).await.expect("both are done");
    assert_eq!((put_events.num_calls(), update_item.num_calls()), (1, 1));
}

#[tokio::test]
async fn an_event_that_the_bus_did_not_accept_leaves_the_account_unfinished() {
    let put_events = mock!(aws_sdk_eventbridge::Client::put_events).then_output(|| {
        let entry = PutEventsResultEntry::builder().error_code("ThrottlingException").build();
        PutEventsOutput::builder().failed_entry_count(1).entries(entry).build()
    });
    let update_item = takes_update();
    let error = notify(&put_events, &update_item).await.expect_err("the event was not accepted");
    assert_eq!(error.to_string(), "EventBridge: ThrottlingException");
    assert_eq!(update_item.num_calls(), 0);
}
