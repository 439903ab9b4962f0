//! Messages that others can send to the queue of requests. Each is handled or reported, and nothing panics.

use std::sync::{LazyLock, Mutex};

use arbitrary::Arbitrary;
use aws_services::EventBus;
use aws_types::SdkConfig;
use fuzzing::{check_failures, event, services, wait};
use powertools::metrics::Metrics;
use serde_json::{Value, json};
use start_account_workflow::handler::{Workflow, handle};

#[derive(Arbitrary, Debug)]
struct Input {
    bodies: Vec<Option<Body>>,
    /// The workflow's answer.
    answer: Answer,
}

#[derive(Arbitrary, Debug)]
enum Body {
    Text(String),
    Request { email: String },
}

#[derive(Arbitrary, Debug)]
enum Answer {
    Text(u16, String),
    Ended { status: Option<String>, output: String },
    Answered { status_code: u16 },
}

static ANSWER: Mutex<(u16, String)> = Mutex::new((200, String::new()));

static SERVICES: LazyLock<SdkConfig> = LazyLock::new(|| {
    services(|_, _, _| {
        let (status, body) = ANSWER.lock().expect("nobody panics with it").clone();
        (status, body.into())
    })
});

fn message(place: usize, body: Option<Body>) -> Value {
    let body = body.map(|body| match body {
        Body::Text(text) => text,
        Body::Request { email } => json!({
            "email": email, "given_name": "Ada", "family_name": "Lovelace", "date_of_birth": "2005-12-10",
            "programme": "mathematics",
        })
        .to_string(),
    });
    json!({"messageId": format!("m-{place}"), "body": body, "attributes": {}, "messageAttributes": {}})
}

/// Checks the promise above.
pub fn check(data: &[u8]) {
    let Some(input) = fuzzing::input::<Input>(data) else { return };
    let ended = |status: &str, output: String| json!({"executionArn": "a", "startDate": 0, "stopDate": 0, "status": status, "output": output});
    *ANSWER.lock().expect("nobody panics with it") = match input.answer {
        Answer::Text(status, text) => (200 + status % 400, text),
        Answer::Ended { status, output } => (200, ended(status.as_deref().unwrap_or("SUCCEEDED"), output).to_string()),
        Answer::Answered { status_code } => {
            let output = json!({ "statusCode": status_code, "body": "{\"problems\":[]}" });
            (200, ended("SUCCEEDED", output.to_string()).to_string())
        }
    };
    let messages: Vec<_> = input.bodies.into_iter().enumerate().map(|(place, body)| message(place, body)).collect();
    let count = messages.len();
    let batch = serde_json::from_value(json!({ "Records": messages })).expect("it is a batch");
    let workflow = Workflow {
        sfn: aws_sdk_sfn::Client::new(&SERVICES),
        state_machine_arn: "arn".into(),
        metrics: Metrics::new("Registrar"),
        event_bus: EventBus { client: aws_sdk_eventbridge::Client::new(&SERVICES), name: "school".into() },
    };
    let response = wait(handle(&workflow, event(batch)));
    check_failures(response.expect("failures are reported, not returned"), count);
}
