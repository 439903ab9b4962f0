//! A record by another program replays its response or is an error.

#![no_main]

use std::sync::{LazyLock, Mutex};

use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use aws_smithy_http_client::test_util::infallible_client_fn;
use lambda_runtime::Context;
use libfuzzer_sys::{arbitrary, fuzz_target};
use powertools::idempotency::Idempotency;
use serde_json::{Value, json};

#[derive(arbitrary::Arbitrary, Debug)]
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
    let http_client = infallible_client_fn(|_| {
        let answer = ANSWER.lock().expect("nobody panics with it").clone();
        http::Response::builder().status(400).body(answer).expect("it is a response")
    });
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .credentials_provider(Credentials::new("id", "key", None, None, "fuzz"))
        .http_client(http_client)
        .region(Region::from_static("us-east-1"))
        .retry_config(RetryConfig::disabled())
        .build();
    Idempotency::new(aws_sdk_dynamodb::Client::from_conf(config), "table").key_prefix("fuzz")
});

static RUNTIME: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("there are resources for it")
});

fuzz_target!(|item: Item| {
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
    let result = RUNTIME.block_on(IDEMPOTENCY.run("key", &context, body));
    if let Ok(response) = result {
        let data = item.data.filter(|data| !data.is_empty()).unwrap_or("null".into());
        assert_eq!(response, serde_json::from_str::<Value>(&data).expect("what was replayed is JSON"));
    }
});
