//! Handles each record as its content says, for a comparison with Powertools for Python.

use aws_lambda_events::{dynamodb::EventRecord, kinesis::KinesisEventRecord, sqs::SqsMessage};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use powertools::batch::{AfterFailure, BatchProcessingError, BatchProcessor, BatchResponse, InvalidRecord, Record};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Source {
    Sqs,
    SqsFifo,
    Kinesis,
    Dynamodb,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum After {
    Continue,
    Stop,
    SkipGroup,
}

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "Records")]
    records: Vec<Record>,
    source: Source,
    after_failure: Option<After>,
    concurrency: Option<usize>,
    raise_on_entire_batch_failure: Option<bool>,
}

#[derive(Deserialize)]
struct Instructions {
    #[serde(default)]
    outcome: Outcome,
    #[serde(default)]
    pauses: usize,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    #[default]
    Success,
    Error,
    Panic,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    lambda_runtime::tracing::init_default_subscriber();
    lambda_runtime::run(service_fn(handle)).await
}

async fn handle(event: LambdaEvent<Event>) -> Result<BatchResponse, BatchProcessingError> {
    let event = event.payload;
    let mut processor = match event.source {
        Source::Sqs => BatchProcessor::sqs(),
        Source::SqsFifo => BatchProcessor::sqs_fifo(),
        Source::Kinesis | Source::Dynamodb => BatchProcessor::stream(),
    };
    match event.after_failure {
        Some(After::Continue) => processor = processor.after_failure(AfterFailure::Continue),
        Some(After::Stop) => processor = processor.after_failure(AfterFailure::Stop),
        Some(After::SkipGroup) => processor = processor.after_failure(AfterFailure::SkipGroup),
        None => {}
    }
    if let Some(concurrency) = event.concurrency {
        processor = processor.concurrency(concurrency);
    }
    if let Some(raise) = event.raise_on_entire_batch_failure {
        processor = processor.raise_on_entire_batch_failure(raise);
    }
    let read = match event.source {
        Source::Sqs | Source::SqsFifo => |record: &Record| record.parse::<SqsMessage>().map(drop),
        Source::Kinesis => |record: &Record| record.parse::<KinesisEventRecord>().map(drop),
        Source::Dynamodb => |record: &Record| record.parse::<EventRecord>().map(drop),
    };
    processor.process(&event.records, async |record| follow(record, read).await).await
}

async fn follow(record: &Record, read: fn(&Record) -> Result<(), InvalidRecord>) -> Result<(), Error> {
    read(record)?;
    let Instructions { outcome, pauses } = record.parse()?;
    for _ in 0..pauses {
        tokio::task::yield_now().await;
    }
    match outcome {
        Outcome::Success => Ok(()),
        Outcome::Error => Err("told to fail".into()),
        Outcome::Panic => panic!("told to panic"),
    }
}
