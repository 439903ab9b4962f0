//! From changes of slots to messages and schedules, with SQS and EventBridge Scheduler replaced at the SDK's HTTP edge.

use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_sdk_scheduler::error::ErrorMetadata;
use aws_sdk_scheduler::operation::create_schedule::{CreateScheduleError, CreateScheduleInput, CreateScheduleOutput};
use aws_sdk_scheduler::types::ActionAfterCompletion;
use aws_sdk_scheduler::types::error::ConflictException;
use aws_sdk_sqs::operation::send_message::{SendMessageError, SendMessageOutput};
use aws_smithy_mocks::{Rule, RuleMode, mock, mock_client};
use lambda_runtime::{Context, LambdaEvent};
use powertools::batch::BatchEvent;
use reminders::{Kind, Message};
use serde_json::{Value, json};

use crate::handler::{Reminders, handle};

const EXAMPLE: &str = include_str!("../../../../events/reminders/queue-reminders.json");

/// What was sent to the queue, and what was scheduled.
type Log<T> = Arc<Mutex<Vec<T>>>;

fn queue(sent: &Log<String>) -> Rule {
    let sent = Arc::clone(sent);
    mock!(aws_sdk_sqs::Client::send_message)
        .match_requests(move |request| {
            let body = request.message_body().expect("it has a body").to_owned();
            sent.lock().expect("no thread panics with it").push(body);
            true
        })
        .then_output(|| SendMessageOutput::builder().build())
}

fn scheduler(scheduled: &Log<CreateScheduleInput>) -> Rule {
    let scheduled = Arc::clone(scheduled);
    mock!(aws_sdk_scheduler::Client::create_schedule)
        .match_requests(move |request| {
            scheduled.lock().expect("no thread panics with it").push(request.clone());
            true
        })
        .then_output(|| CreateScheduleOutput::builder().schedule_arn("arn").build().expect("it has an ARN"))
}

async fn failures(queue: &Rule, scheduler: &Rule, event: Value) -> Vec<String> {
    let reminders = Reminders {
        sqs: mock_client!(aws_sdk_sqs, RuleMode::MatchAny, [queue]),
        scheduler: mock_client!(aws_sdk_scheduler, RuleMode::MatchAny, [scheduler]),
        queue_url: "https://sqs.example/reminders".into(),
        queue_arn: "arn:queue".into(),
        failed_queue_arn: "arn:failed".into(),
        schedule_group: "reminders".into(),
        schedule_role_arn: "arn:role".into(),
    };
    let event: BatchEvent = serde_json::from_value(event).expect("it is a batch");
    let response =
        handle(&reminders, LambdaEvent::new(event, Context::default())).await.expect("failures are reported");
    response.batch_item_failures.into_iter().filter_map(|failure| failure.item_identifier).collect()
}

/// The messages and the schedules of an event that is handled.
async fn outcome(event: Value) -> (Vec<String>, Vec<CreateScheduleInput>) {
    let (sent, scheduled) = (Log::default(), Log::default());
    assert_eq!(failures(&queue(&sent), &scheduler(&scheduled), event).await, [""; 0]);
    let (sent, scheduled) = (sent.lock().expect("it is over"), scheduled.lock().expect("it is over"));
    (sent.clone(), scheduled.clone())
}

fn example() -> Value {
    serde_json::from_str(EXAMPLE).expect("it is JSON")
}

/// A record with other images; `null` is none.
fn changed(old: &Value, new: &Value) -> Value {
    let mut record = example()["Records"][0].clone();
    record["dynamodb"]["OldImage"] = old.clone();
    record["dynamodb"]["NewImage"] = new.clone();
    json!({ "Records": [record] })
}

/// A free slot and a booked one.
fn slots() -> (Value, Value) {
    let images = example()["Records"][0]["dynamodb"].clone();
    (images["OldImage"].clone(), images["NewImage"].clone())
}

/// The kind and the number of changes of each message.
fn kinds(messages: &[String]) -> Vec<(String, u64)> {
    let of = |message: &String| {
        let message: Value = serde_json::from_str(message).expect("it is JSON");
        (message["kind"].as_str().unwrap_or_default().to_owned(), message["changes"].as_u64().unwrap_or_default())
    };
    messages.iter().map(of).collect()
}

fn expect(expected: &[(&str, u64)]) -> Vec<(String, u64)> {
    expected.iter().map(|(kind, changes)| ((*kind).to_owned(), *changes)).collect()
}

#[tokio::test]
async fn a_booking_and_a_withdrawal_are_queued_and_a_reminder_of_the_booking_is_scheduled() {
    let (sent, scheduled) = outcome(example()).await;
    assert_eq!(kinds(&sent), expect(&[("booked", 27_900_001), ("withdrawn", 27_900_002)]));
    let Ok(Message::Booked(appointment)) = serde_json::from_str(&sent[0]) else { panic!("{sent:?}") };
    assert_eq!((appointment.place.as_str(), appointment.starts), ("Room 101", 1_904_288_400));

    let [schedule] = &scheduled[..] else { panic!("{scheduled:?}") };
    assert_eq!(schedule.name(), Some(appointment.booking.email_id(Kind::Reminder).as_str()));
    assert_eq!(schedule.group_name(), Some("reminders"));
    assert_eq!(schedule.schedule_expression(), Some("at(2030-05-05T09:00:00)"));
    assert_eq!(schedule.action_after_completion(), Some(&ActionAfterCompletion::Delete));
    let target = schedule.target().expect("it has one");
    assert_eq!((target.arn(), target.role_arn()), ("arn:queue", "arn:role"));
    assert_eq!(target.dead_letter_config().and_then(|config| config.arn()), Some("arn:failed"));
    let input: Message = serde_json::from_str(target.input().expect("it has one")).expect("it is a message");
    assert_eq!(input, Message::Remind(appointment.booking));
}

#[tokio::test]
async fn a_student_who_cancels_is_told_with_the_number_of_that_change() {
    let (free, booked) = slots();
    let mut freed = free.clone();
    freed["changes"]["N"] = "27900002".into();
    let (sent, scheduled) = outcome(changed(&booked, &freed)).await;
    assert_eq!((kinds(&sent), scheduled.len()), (expect(&[("cancelled", 27_900_002)]), 0));
}

#[tokio::test]
async fn a_student_who_follows_another_is_told_as_the_other_is() {
    let (_, booked) = slots();
    let mut next = booked.clone();
    next["student_id"]["S"] = "s-2".into();
    next["changes"]["N"] = "27900003".into();
    let (sent, _) = outcome(changed(&booked, &next)).await;
    assert_eq!(kinds(&sent), expect(&[("cancelled", 27_900_003), ("booked", 27_900_003)]));
}

#[tokio::test]
async fn nobody_is_told_of_other_changes() {
    let (free, booked) = slots();
    let mut moved = booked.clone();
    moved["place"]["S"] = "Room 102".into();
    let mut expired = changed(&booked, &Value::Null);
    expired["Records"][0]["userIdentity"] = json!({"type": "Service", "principalId": "dynamodb.amazonaws.com"});
    for event in [changed(&Value::Null, &free), changed(&free, &Value::Null), changed(&booked, &moved), expired] {
        let (sent, scheduled) = outcome(event).await;
        assert_eq!((sent.len(), scheduled.len()), (0, 0));
    }
}

#[tokio::test]
async fn nobody_is_reminded_of_an_appointment_within_a_day() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_secs();
    let (free, booked) = slots();
    for (seconds, schedules) in [(23 * 60 * 60, 0), (25 * 60 * 60, 1)] {
        let mut soon = booked.clone();
        soon["starts"]["N"] = (now + seconds).to_string().into();
        let (sent, scheduled) = outcome(changed(&free, &soon)).await;
        assert_eq!((sent.len(), scheduled.len()), (1, schedules));
    }
}

#[tokio::test]
async fn a_record_that_comes_again_finds_its_schedule() {
    let exists = mock!(aws_sdk_scheduler::Client::create_schedule).then_error(|| {
        let conflict = ConflictException::builder().message("it exists").build().expect("it has a message");
        CreateScheduleError::ConflictException(conflict)
    });
    let (free, booked) = slots();
    assert_eq!(failures(&queue(&Log::default()), &exists, changed(&free, &booked)).await, [""; 0]);
    assert_eq!(exists.num_calls(), 1);
}

#[tokio::test]
async fn a_change_that_can_not_be_queued_or_scheduled_is_retried() {
    let refuses = || ErrorMetadata::builder().code("AccessDeniedException").build();
    let no_queue = mock!(aws_sdk_sqs::Client::send_message).then_error(move || SendMessageError::generic(refuses()));
    let no_scheduler =
        mock!(aws_sdk_scheduler::Client::create_schedule).then_error(move || CreateScheduleError::generic(refuses()));
    let first = example()["Records"][0]["dynamodb"]["SequenceNumber"].as_str().expect("it has one").to_owned();
    let (sent, scheduled) = (Log::default(), Log::default());
    assert_eq!(failures(&no_queue, &scheduler(&scheduled), example()).await, [first.as_str()]);
    assert_eq!(failures(&queue(&sent), &no_scheduler, example()).await, [first.as_str()]);
}

#[tokio::test]
async fn a_record_that_is_no_change_of_a_slot_does_not_stop_the_stream() {
    let (free, booked) = slots();
    let mut strange = booked.clone();
    strange["starts"] = json!({"S": "soon"});
    let event = changed(&free, &strange);
    let (sent, scheduled) = outcome(event.clone()).await;
    assert_eq!((sent, scheduled.len()), (vec![event["Records"][0].to_string()], 0));
}

#[tokio::test]
async fn a_topic_may_hold_what_sqs_refuses() {
    let (free, booked) = slots();
    let mut odd = booked.clone();
    odd["topic"]["S"] = "a\u{ffff}b\u{fffe}c\u{1}".into();
    let (sent, _) = outcome(changed(&free, &odd)).await;
    assert!(sent[0].contains("a\u{fffd}b\u{fffd}c\\u0001"), "{sent:?}");
}
