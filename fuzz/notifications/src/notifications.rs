//! Messages that others can send to the queue. Each is handled or reported, and nothing panics.

use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use arbitrary::Arbitrary;
use aws_types::SdkConfig;
use emails::Mailer;
use fuzzing::{check_failures, event, services, wait};
use powertools::idempotency::Idempotency;
use powertools::metrics::Metrics;
use send_notification::handler::Notifier;
use serde_json::{Value, json};

#[derive(Arbitrary, Debug)]
struct Input {
    bodies: Vec<Body>,
    /// The answer of DynamoDB and SES.
    answer: Answer,
}

#[derive(Arbitrary, Debug)]
enum Body {
    None,
    Text(String),
    AccountCreated(String),
    AccountRefused(String, Vec<(String, String)>),
    EmailSent(Vec<String>),
}

#[derive(Arbitrary, Debug)]
enum Answer {
    Text(u16, String),
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

/// Checks the promise above.
pub fn check(data: &[u8]) {
    let Some(input) = fuzzing::input::<Input>(data) else { return };
    *ANSWER.lock().expect("nobody panics with it") = match input.answer {
        Answer::Text(status, text) => (200 + status % 400, text),
        Answer::Item(attributes) => {
            let item: Value = attributes.into_iter().map(|(name, text)| (name, json!({ "S": text }))).collect();
            (200, json!({ "Item": item }).to_string())
        }
    };
    let messages: Vec<_> = input.bodies.into_iter().enumerate().map(|(place, body)| message(place, body)).collect();
    let count = messages.len();
    let batch = serde_json::from_value(json!({ "Records": messages })).expect("it is a batch");

    let dynamodb = aws_sdk_dynamodb::Client::new(&SERVICES);
    let notifier = Notifier {
        idempotency: Idempotency::new(dynamodb.clone(), "idempotency").in_progress_for(Duration::from_secs(900)),
        dynamodb,
        mailer: Mailer {
            ses: aws_sdk_sesv2::Client::new(&SERVICES),
            sender: "registrar@school.example".into(),
            configuration_set: "notifications".into(),
        },
        table: "accounts".into(),
        web_url: Some("https://school.example".into()),
        metrics: Metrics::new("Registrar"),
    };
    let response = wait(send_notification::handler::handle(&notifier, event(batch)));
    check_failures(response.expect("failures are reported, not returned"), count);
}
