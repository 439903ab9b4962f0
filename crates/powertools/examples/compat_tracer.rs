//! Ends in the way that its event says.

use std::time::Duration;

use lambda_runtime::tower::Layer;
use lambda_runtime::{Diagnostic, Error, LambdaEvent, service_fn};
use powertools::Powertools;
use serde::Deserialize;
use tokio::time::sleep;
use tracing::info_span;

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Act {
    Fail(String),
    Panic,
    /// Takes some milliseconds.
    Work(u64),
    /// `count` spans, each with a field of `bytes` bytes.
    Spans(usize, usize),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    lambda_runtime::run_concurrent(Powertools::init()?.layer(service_fn(handle))).await
}

async fn handle(event: LambdaEvent<Act>) -> Result<(), Diagnostic> {
    match event.payload {
        Act::Fail(error_message) => Err(Diagnostic { error_type: "Unlucky".into(), error_message }),
        Act::Panic => panic!("this should not be"),
        Act::Work(milliseconds) => {
            sleep(Duration::from_millis(milliseconds)).await;
            Ok(())
        }
        Act::Spans(count, bytes) => {
            (0..count).for_each(|_| drop(info_span!("work", field = "x".repeat(bytes)).entered()));
            Ok(())
        }
    }
}
