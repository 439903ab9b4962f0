//! Handles the orders of a queue: only a failed order is delivered again, and an invalid one is set aside.

use aws_lambda_events::sqs::SqsMessage;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use powertools::batch::{BatchEvent, BatchProcessingError, BatchProcessor, BatchResponse, Record};
use serde::Deserialize;

#[derive(Deserialize)]
struct Order {
    item: String,
    quantity: u32,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    lambda_runtime::tracing::init_default_subscriber();
    lambda_runtime::run(service_fn(handle)).await
}

async fn handle(event: LambdaEvent<BatchEvent>) -> Result<BatchResponse, BatchProcessingError> {
    BatchProcessor::sqs().concurrency(10).process(&event.payload.records, deliver).await
}

/// An error makes SQS deliver this record again, independently of the others.
async fn deliver(record: &Record) -> Result<(), Error> {
    let message: SqsMessage = record.parse()?;
    let Ok(Order { item, quantity }) = serde_json::from_str(message.body.as_deref().unwrap_or_default()) else {
        // A retry can't make it valid, so this is a success.
        tracing::warn!(message_id = message.message_id, "set aside");
        return Ok(());
    };
    if quantity == 0 {
        return Err(format!("how many of {item}?").into());
    }
    tracing::info!(item, quantity, "delivered");
    Ok(())
}
