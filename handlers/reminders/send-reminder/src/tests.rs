//! One e-mail for each message, with DynamoDB and SES replaced at the SDK's HTTP edge.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use aws_sdk_dynamodb::operation::delete_item::DeleteItemOutput;
use aws_sdk_dynamodb::operation::get_item::GetItemOutput;
use aws_sdk_dynamodb::operation::put_item::PutItemOutput;
use aws_sdk_dynamodb::operation::update_item::UpdateItemOutput;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_sesv2::config::http::HttpResponse;
use aws_sdk_sesv2::operation::send_email::{SendEmailInput, SendEmailOutput};
use aws_smithy_mocks::{Rule, RuleMode, mock, mock_client};
use aws_smithy_types::body::SdkBody;
use emails::Mailer;
use icalendar::{Calendar, Component, EventLike, EventStatus};
use lambda_runtime::{Context, LambdaEvent};
use powertools::batch::BatchEvent;
use powertools::idempotency::Idempotency;
use powertools::metrics::Metrics;
use reminders::{Appointment, Booking, EMAIL_ID, Kind, Message};
use serde_json::{Value, json};

use crate::handler::{KEPT_FOR, Sender, handle};

const EXAMPLE: &str = include_str!("../../../../events/reminders/send-reminder.json");

/// The message of the example.
fn example() -> Value {
    let event: Value = serde_json::from_str(EXAMPLE).expect("it is JSON");
    serde_json::from_str(event["Records"][0]["body"].as_str().expect("it has a body")).expect("it is JSON")
}

fn appointment() -> Appointment {
    match serde_json::from_value(example()) {
        Ok(Message::Booked(appointment)) => appointment,
        other => panic!("{other:?}"),
    }
}

/// The idempotency record: begun, completed, deleted.
fn record() -> [Rule; 3] {
    [
        mock!(aws_sdk_dynamodb::Client::put_item).then_output(|| PutItemOutput::builder().build()),
        mock!(aws_sdk_dynamodb::Client::update_item).then_output(|| UpdateItemOutput::builder().build()),
        mock!(aws_sdk_dynamodb::Client::delete_item).then_output(|| DeleteItemOutput::builder().build()),
    ]
}

/// The slot of the example, or none.
fn slot(item: Option<HashMap<String, AttributeValue>>) -> Rule {
    mock!(aws_sdk_dynamodb::Client::get_item)
        .then_output(move || GetItemOutput::builder().set_item(item.clone()).build())
}

fn booked() -> HashMap<String, AttributeValue> {
    serde_dynamo::to_item(appointment()).expect("it is an item")
}

fn ses(status: u16, sent: &Arc<Mutex<Vec<SendEmailInput>>>) -> Rule {
    let sent = Arc::clone(sent);
    let call = mock!(aws_sdk_sesv2::Client::send_email).match_requests(move |request| {
        sent.lock().expect("no thread panics with it").push(request.clone());
        true
    });
    match status {
        200 => call.then_output(|| SendEmailOutput::builder().message_id("m-1").build()),
        _ => call.then_http_response(move || {
            HttpResponse::new(status.try_into().expect("it is a status code"), SdkBody::from("{}"))
        }),
    }
}

async fn failures(dynamodb: &[&Rule], ses: &Rule, message: &Value) -> Vec<String> {
    failures_counted(dynamodb, ses, message, Metrics::new("Registrar")).await
}

async fn failures_counted(dynamodb: &[&Rule], ses: &Rule, message: &Value, metrics: Metrics) -> Vec<String> {
    let dynamodb = mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, dynamodb);
    let sender = Sender {
        idempotency: Idempotency::new(dynamodb.clone(), "idempotency").expires_after(KEPT_FOR),
        dynamodb,
        mailer: Mailer {
            ses: mock_client!(aws_sdk_sesv2, RuleMode::MatchAny, [ses]),
            sender: "registrar@school.example".into(),
            configuration_set: "school".into(),
        },
        slots_table: "slots".into(),
        web_url: Some("https://school.example".into()),
        metrics,
    };
    let record =
        json!({"messageId": "1", "body": message.to_string(), "attributes": {"SentTimestamp": "1795170602000"}});
    let event: BatchEvent = serde_json::from_value(json!({ "Records": [record] })).expect("it is a batch");
    let mut context = Context::default();
    // As `cargo lambda watch` gives it: a duration.
    context.deadline = 30_000;
    let response = handle(&sender, LambdaEvent::new(event, context)).await.expect("failures are reported");
    response.batch_item_failures.into_iter().filter_map(|failure| failure.item_identifier).collect()
}

/// The e-mails of a message that is handled while the table has this slot.
async fn emails(message: &Value, item: Option<HashMap<String, AttributeValue>>) -> Vec<SendEmailInput> {
    let ([begun, completed, deleted], slot) = (record(), slot(item));
    let sent = Arc::default();
    let ses = ses(200, &sent);
    assert_eq!(failures(&[&begun, &completed, &deleted, &slot], &ses, message).await, [""; 0]);
    assert_eq!((begun.num_calls(), deleted.num_calls()), (completed.num_calls(), 0));
    let sent = sent.lock().expect("it is over");
    sent.clone()
}

fn of_kind(kind: &str) -> Value {
    let mut message = example();
    message["kind"] = kind.into();
    message
}

fn simple(email: &SendEmailInput) -> &aws_sdk_sesv2::types::Message {
    email.content().and_then(|content| content.simple()).expect("it is a simple message")
}

fn subject(email: &SendEmailInput) -> &str {
    simple(email).subject().expect("it has one").data()
}

fn text(email: &SendEmailInput) -> &str {
    simple(email).body().and_then(|body| body.text()).expect("it has one").data()
}

/// The calendar file, and its media type.
fn file(email: &SendEmailInput) -> Option<(Calendar, &str)> {
    let [attachment] = simple(email).attachments() else { return None };
    let text = String::from_utf8(attachment.raw_content().as_ref().to_vec()).expect("it is UTF-8");
    assert!(text.lines().all(|line| line.len() <= 75), "{text}");
    Some((text.parse().expect("it is a calendar"), attachment.content_type().expect("it has a type")))
}

#[tokio::test]
async fn a_booking_is_told_with_a_file_that_adds_it_to_a_calendar() {
    let emails = emails(&example(), None).await;
    let [email] = &emails[..] else { panic!("{emails:?}") };
    assert_eq!(email.destination().map(|to| to.to_addresses()), Some(&["ada@school.example".to_owned()][..]));
    let tags: Vec<_> = email.email_tags().iter().map(|tag| (tag.name(), tag.value().to_owned())).collect();
    assert_eq!(tags, [(EMAIL_ID, appointment().booking.email_id(Kind::Booked))]);
    assert_eq!(subject(email), "Booked: your appointment on Monday, 6 May 2030, 11:00");
    assert_eq!(
        text(email),
        "Hello,\n\nYou have booked an appointment. The attached file adds it to your calendar.\n\n\
         When: Monday, 6 May 2030, 11:00 to 11:30 (Europe/Berlin)\nWhere: Room 101\nWith: ada-lovelace\n\
         Topic: How do I choose a thesis?\n\nTo cancel it:\n\nhttps://school.example/\n"
    );
    let (calendar, media_type) = file(email).expect("it has a file");
    assert_eq!(media_type, "text/calendar; charset=UTF-8; method=PUBLISH");
    assert_eq!(calendar.property_value("METHOD"), Some("PUBLISH"));
    let event = calendar.events().next().expect("it has an event");
    assert_eq!(
        event.get_uid(),
        Some("ada-lovelace~2030-05-06T09:00:00Z~7d1f2a8e-5c1b-4f0e-9a64-2f3f4f1f6a10@registrar")
    );
    assert_eq!((event.get_sequence(), event.get_status()), (Some(27_900_001), Some(EventStatus::Confirmed)));
    assert_eq!(event.property_value("DTSTART"), Some("20300506T090000Z"));
    assert_eq!(event.property_value("DTEND"), Some("20300506T093000Z"));
    assert_eq!(event.get_location(), Some("Room 101"));
    assert!(event.get_timestamp().is_some());
}

#[tokio::test]
async fn a_lost_appointment_is_told_with_a_file_that_takes_it_out_of_a_calendar() {
    for (kind, begins) in [("cancelled", "Cancelled: your"), ("withdrawn", "Cancelled by the school: your")] {
        let emails = emails(&of_kind(kind), None).await;
        assert!(subject(&emails[0]).starts_with(begins), "{emails:?}");
        assert!(text(&emails[0]).contains("To book another one:"), "{emails:?}");
        let (calendar, media_type) = file(&emails[0]).expect("it has a file");
        assert!(media_type.ends_with("; method=CANCEL"));
        assert_eq!(calendar.property_value("METHOD"), Some("CANCEL"));
        assert_eq!(calendar.events().next().and_then(|event| event.get_status()), Some(EventStatus::Cancelled));
    }
}

#[tokio::test]
async fn a_student_is_reminded_of_a_booking_that_has_not_changed() {
    let booking = appointment().booking;
    let message = |booking| serde_json::to_value(Message::Remind(booking)).expect("it is JSON");
    let emails_now = emails(&message(booking.clone()), Some(booked())).await;
    assert_eq!(subject(&emails_now[0]), "Reminder: your appointment on Monday, 6 May 2030, 11:00");
    assert!(file(&emails_now[0]).is_none());

    let mut free = booked();
    free.remove("student_id");
    assert_eq!(emails(&message(booking.clone()), Some(free)).await.len(), 0);
    assert_eq!(emails(&message(booking.clone()), None).await.len(), 0);
    let again = Booking { changes: booking.changes + 2, ..booking };
    assert_eq!(emails(&message(again), Some(booked())).await.len(), 0);
}

#[tokio::test]
async fn what_was_typed_stays_on_its_line() {
    let mut message = example();
    message["topic"] = "a\r\nBcc: b@school.example\u{2028}\u{85}c".into();
    message["place"] = "Room;\r\nATTENDEE:mailto:d@school.example".into();
    message["time_zone"] = "Mars/Base".into();
    let emails = emails(&message, None).await;
    assert!(text(&emails[0]).contains("\nTopic: a Bcc: b@school.example c\n"), "{emails:?}");
    assert!(text(&emails[0]).contains("09:00 to 09:30 (UTC)\nWhere: Room; ATTENDEE:mailto:d@school.example\n"));
    let (calendar, _) = file(&emails[0]).expect("it has a file");
    let event = calendar.events().next().expect("it has an event");
    assert_eq!(event.get_location(), Some("Room; ATTENDEE:mailto:d@school.example"));
    assert!(event.get_attendees().is_empty());
}

#[tokio::test]
async fn nobody_is_told_of_an_appointment_that_has_begun_or_without_an_address() {
    for (field, value) in [("starts", json!(1_795_170_600)), ("student_email", json!(""))] {
        let mut message = example();
        message[field] = value;
        assert_eq!(emails(&message, None).await.len(), 0, "{field}");
    }
}

#[tokio::test]
async fn a_refusal_by_ses_allows_an_immediate_retry_and_an_unclear_answer_does_not() {
    for (status, is_deleted) in [(400, 1), (403, 1), (429, 1), (500, 0), (503, 0)] {
        let ([begun, completed, deleted], ses) = (record(), ses(status, &Arc::default()));
        let metrics = Metrics::new("Registrar");
        let rules = [&begun, &completed, &deleted];
        assert_eq!(failures_counted(&rules, &ses, &example(), metrics.clone()).await, ["1"], "{status}");
        assert_eq!(rules.map(Rule::num_calls), [1, 0, is_deleted], "{status}");
        assert_eq!(ses.num_calls(), 1, "{status}");
        let age = metrics.take().and_then(|counted| counted["OldestReminderHandedBack"][0].as_f64());
        assert!(age.is_some());
    }
}

#[tokio::test]
async fn the_event_of_ses_completes_what_a_killed_function_could_not() {
    let ([_, completed, _], ses) = (record(), ses(200, &Arc::default()));
    let event = json!({"kind": "email_sent", "email_ids": [appointment().booking.email_id(Kind::Booked)]});
    assert_eq!(failures(&[&completed], &ses, &event).await, [""; 0]);
    assert_eq!((completed.num_calls(), ses.num_calls()), (1, 0));
}

#[tokio::test]
async fn only_a_message_that_can_not_be_handled_stays_in_the_queue() {
    let ses = ses(200, &Arc::default());
    let mut never = example();
    never["starts"] = i64::MAX.into();
    for message in [json!({}), json!("booked"), json!({"kind": "other"}), json!({"kind": "booked"}), never] {
        assert_eq!(failures(&[], &ses, &message).await, ["1"], "{message}");
    }
}
