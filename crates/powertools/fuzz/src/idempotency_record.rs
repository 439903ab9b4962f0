//! A record that another program left in the table: it replays its response, or it is an error.

use std::sync::{LazyLock, Mutex};

use arbitrary::Arbitrary;
use fuzzing::{services, wait};
use lambda_runtime::Context;
use powertools::idempotency::Idempotency;
use serde_json::{Value, json};

#[derive(Arbitrary, Debug)]
struct Item {
    completed: bool,
    status: Option<String>,
    expiration: Option<String>,
    expires_in_time: bool,
    in_progress_expiration: Option<String>,
    data: Option<String>,
    validation: Option<String>,
}

static ANSWER: Mutex<String> = Mutex::new(String::new());

static IDEMPOTENCY: LazyLock<Idempotency> = LazyLock::new(|| {
    let services = services(|_, _, _| (400, ANSWER.lock().expect("nobody panics with it").clone().into()));
    Idempotency::new(aws_sdk_dynamodb::Client::new(&services), "table").key_prefix("fuzz")
});

/// Checks the promise above.
pub fn check(data: &[u8]) {
    let Some(item) = fuzzing::input::<Item>(data) else { return };
    let mut attributes = serde_json::Map::new();
    let mut set = |name: &str, kind: &str, value: Option<String>| {
        attributes.extend(value.map(|value| (name.to_owned(), json!({ kind: value }))));
    };
    set("status", "S", if item.completed { Some("COMPLETED".into()) } else { item.status });
    set("expiration", "N", if item.expires_in_time { Some("9999999999".into()) } else { item.expiration });
    set("in_progress_expiration", "N", item.in_progress_expiration);
    set("data", "S", item.data.clone());
    set("validation", "S", item.validation);
    *ANSWER.lock().expect("nobody panics with it") = json!({
        "__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException",
        "Item": attributes,
    })
    .to_string();

    let body = async || -> Result<Value, String> { unreachable!("there is a record") };
    let mut context = Context::default();
    context.deadline = 1000;
    let result = wait(IDEMPOTENCY.run("key", &context, body));
    if let Ok(response) = result {
        let data = item.data.filter(|data| !data.is_empty()).unwrap_or("null".into());
        assert_eq!(response, serde_json::from_str::<Value>(&data).expect("what was replayed is JSON"));
    }
}
