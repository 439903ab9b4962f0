//! Makes the calls of an event concurrently, and returns their results and the number of bodies that ran.

use std::cell::Cell;
use std::env;
use std::time::Duration;

use aws_config::BehaviorVersion;
use futures_util::future::join_all;
use lambda_runtime::{Context, Diagnostic, Error, LambdaEvent, service_fn};
use powertools::idempotency::{Idempotency, JmesPath};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

#[derive(Deserialize)]
struct Event {
    calls: Vec<Call>,
}

#[derive(Deserialize)]
struct Call {
    payload: Box<RawValue>,
    /// Where the key is in the payload.
    path: Option<String>,
    validation: Option<Box<RawValue>>,
    /// The body's response; without it, the body fails with `error`, or never ends.
    response: Option<Box<RawValue>>,
    error: Option<String>,
}

#[derive(Serialize)]
struct Answer {
    outcomes: Vec<Outcome>,
    runs: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    /// The response's JSON text.
    Response(String),
    Error(String),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let client = aws_sdk_dynamodb::Client::new(&aws_config::load_defaults(BehaviorVersion::latest()).await);
    let seconds = |name| env::var(name).ok().and_then(|value| value.parse().ok()).map(Duration::from_secs);
    let idempotency = Idempotency::new(client, env::var("IDEMPOTENCY_TABLE")?)
        .key_prefix(env::var("KEY_PREFIX")?)
        .expires_after(seconds("EXPIRES_AFTER").unwrap_or(Duration::from_secs(60)))
        .in_progress_for(seconds("IN_PROGRESS_FOR").unwrap_or_default());
    lambda_runtime::run(service_fn(async |event| handle(&idempotency, event).await)).await
}

async fn handle(idempotency: &Idempotency, event: LambdaEvent<Event>) -> Result<Answer, Error> {
    let runs = Cell::new(0);
    let calls = event.payload.calls.into_iter().map(|call| make(idempotency, call, &event.context, &runs));
    let outcomes = join_all(calls).await.into_iter().map(|result| match result {
        Ok(response) => Outcome::Response(response.get().into()),
        Err(error) => Outcome::Error(error.error_type),
    });
    Ok(Answer { outcomes: outcomes.collect(), runs: runs.get() })
}

async fn make(
    idempotency: &Idempotency,
    call: Call,
    context: &Context,
    runs: &Cell<u32>,
) -> Result<Box<RawValue>, Diagnostic> {
    let key = match call.path {
        Some(path) => JmesPath::new(&path)?.search(&call.payload)?,
        None => call.payload,
    };
    let mut request = idempotency.for_key(&key).keep_in_progress_if(|error| *error == "unknown");
    if let Some(payload) = call.validation {
        request = request.validate(&payload);
    }
    let body = async || {
        runs.set(runs.get() + 1);
        match (call.response, call.error) {
            (Some(response), _) => Ok(response),
            (None, Some(error)) => Err(if error == "unknown" { "unknown" } else { "refused" }),
            (None, None) => std::future::pending().await,
        }
    };
    Ok(request.run(context, body).await?)
}
