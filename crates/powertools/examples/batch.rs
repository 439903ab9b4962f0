//! A function behind a queue of orders: an order that fails comes again alone, one that can't be read is set aside.

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

/// An error makes this record come again, whatever becomes of the others.
async fn deliver(record: &Record) -> Result<(), Error> {
    let message: SqsMessage = record.parse()?;
    let Ok(Order { item, quantity }) = serde_json::from_str(message.body.as_deref().unwrap_or_default()) else {
        // It will never be an order: a success, so that it does not come again.
        tracing::warn!(message_id = message.message_id, "set aside");
        return Ok(());
    };
    if quantity == 0 {
        return Err(format!("how many of {item}?").into());
    }
    tracing::info!(item, quantity, "delivered");
    Ok(())
}
