//! Messages that others can send to the queues: each is settled or reported, and nothing panics.

#![no_main]

use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use aws_services::EventBus;
use aws_types::SdkConfig;
use handlers_fuzz::{event, services, wait};
use libfuzzer_sys::{arbitrary, fuzz_target};
use powertools::batch::BatchResponse;
use powertools::idempotency::Idempotency;
use powertools::metrics::Metrics;
use send_notification::handler::Notifier;
use serde_json::{Value, json};
use start_account_workflow::handler::Workflow;

#[derive(arbitrary::Arbitrary, Debug)]
struct Input {
    bodies: Vec<Body>,
    /// What the workflow, DynamoDB and SES answer.
    answer: Answer,
}

#[derive(arbitrary::Arbitrary, Debug)]
enum Body {
    None,
    Text(String),
    AccountCreated(String),
    AccountRefused(String, Vec<(String, String)>),
    EmailSent(Vec<String>),
}

#[derive(arbitrary::Arbitrary, Debug)]
enum Answer {
    Text(u16, String),
    Ended { status: Option<String>, output: String },
    Answered { status_code: u16 },
    Item(Vec<(String, String)>),
}

static ANSWER: Mutex<(u16, String)> = Mutex::new((200, String::new()));

static SERVICES: LazyLock<SdkConfig> = LazyLock::new(|| {
    services(|_, _, _| {
        let (status, body) = ANSWER.lock().expect("nobody panics with it").clone();
        (status, body.into())
    })
});

fn message(place: usize, body: Body) -> Value {
    let body = match body {
        Body::None => Value::Null,
        Body::Text(text) => text.into(),
        Body::AccountCreated(student_id) => {
            json!({"detail-type": "AccountCreated", "detail": {"student_id": student_id}}).to_string().into()
        }
        Body::AccountRefused(email, problems) => {
            let problems: Vec<_> = problems
                .into_iter()
                .map(|(field, message)| json!({"field": field, "code": "", "message": message}))
                .collect();
            let detail = json!({"email": email, "problems": problems});
            json!({"detail-type": "AccountRefused", "detail": detail}).to_string().into()
        }
        Body::EmailSent(student_ids) => {
            json!({"detail-type": "Email Sent", "detail": {"student_ids": student_ids}}).to_string().into()
        }
    };
    json!({"messageId": format!("m-{place}"), "body": body, "attributes": {}, "messageAttributes": {}})
}

/// The messages that come again are messages of the batch, each once.
fn check(response: BatchResponse, messages: usize) {
    let mut reported: Vec<_> =
        response.batch_item_failures.into_iter().map(|failure| failure.item_identifier).collect();
    let count = reported.len();
    reported.sort();
    reported.dedup();
    assert_eq!(reported.len(), count);
    let is_known = |id: &Option<String>| (0..messages).any(|place| *id == Some(format!("m-{place}")));
    assert!(reported.iter().all(is_known), "{reported:?}");
}

fuzz_target!(|input: Input| {
    *ANSWER.lock().expect("nobody panics with it") = match input.answer {
        Answer::Text(status, text) => (200 + status % 400, text),
        Answer::Ended { status, output } => {
            let status = status.unwrap_or("SUCCEEDED".into());
            let ended = json!({"executionArn": "a", "startDate": 0, "stopDate": 0, "status": status, "output": output});
            (200, ended.to_string())
        }
        Answer::Answered { status_code } => {
            let output = json!({ "statusCode": status_code, "body": "{\"problems\":[]}" }).to_string();
            let ended =
                json!({"executionArn": "a", "startDate": 0, "stopDate": 0, "status": "SUCCEEDED", "output": output});
            (200, ended.to_string())
        }
        Answer::Item(attributes) => {
            let item: Value = attributes.into_iter().map(|(name, text)| (name, json!({ "S": text }))).collect();
            (200, json!({ "Item": item }).to_string())
        }
    };
    let messages: Vec<_> = input.bodies.into_iter().enumerate().map(|(place, body)| message(place, body)).collect();
    let count = messages.len();
    let batch = || serde_json::from_value(json!({ "Records": messages })).expect("it is a batch");

    let workflow = Workflow {
        sfn: aws_sdk_sfn::Client::new(&SERVICES),
        state_machine_arn: "arn".into(),
        metrics: Metrics::new("Registrar"),
        event_bus: EventBus { client: aws_sdk_eventbridge::Client::new(&SERVICES), name: "school".into() },
    };
    let response = wait(start_account_workflow::handler::handle(&workflow, event(batch())));
    check(response.expect("failures are reported, not returned"), count);

    let dynamodb = aws_sdk_dynamodb::Client::new(&SERVICES);
    let notifier = Notifier {
        idempotency: Idempotency::new(dynamodb.clone(), "idempotency").in_progress_for(Duration::from_secs(900)),
        dynamodb,
        ses: aws_sdk_sesv2::Client::new(&SERVICES),
        table: "accounts".into(),
        sender: "registrar@school.example".into(),
        configuration_set: "notifications".into(),
        web_url: Some("https://school.example".into()),
        metrics: Metrics::new("Registrar"),
    };
    let response = wait(send_notification::handler::handle(&notifier, event(batch())));
    check(response.expect("failures are reported, not returned"), count);
});
