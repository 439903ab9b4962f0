//! From a batch of queued requests to as many runs of the workflow.

use aws_lambda_events::sqs::SqsMessage;
use aws_sdk_sfn::types::SyncExecutionStatus;
use lambda_runtime::LambdaEvent;
use powertools::batch::{BatchEvent, BatchProcessingError, BatchProcessor, BatchResponse, InvalidRecord};
use powertools::metrics::{Metrics, Unit};
use serde::Deserialize;
use thiserror::Error;
use tracing::info;
use workflow::Unavailable;

/// As many as a batch of the queue has: a run of the workflow waits, and does not compute.
const CONCURRENCY: usize = 10;

/// The workflow to run.
#[derive(Debug)]
pub struct Workflow {
    pub sfn: aws_sdk_sfn::Client,
    pub state_machine_arn: String,
    pub metrics: Metrics,
}

/// Why a request has to be tried again.
#[derive(Debug, Error)]
enum RunError {
    #[error(transparent)]
    NotAMessage(#[from] InvalidRecord),
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    #[error("the workflow ended as {0}")]
    Ended(SyncExecutionStatus),
    #[error("the workflow asks to try again: it answered {0}")]
    Answered(u16),
    #[error("the workflow's output can't be read: {0}")]
    BadOutput(#[from] serde_json::Error),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Output {
    status_code: u16,
}

/// Runs the workflow for all messages at once, to its end: an answer, good or bad, settles a message; everything else
/// leaves it in the queue.
pub async fn handle(
    workflow: &Workflow,
    event: LambdaEvent<BatchEvent>,
) -> Result<BatchResponse, BatchProcessingError> {
    let processor = BatchProcessor::sqs().concurrency(CONCURRENCY).raise_on_entire_batch_failure(false);
    let response = processor
        .process(&event.payload.records, async |record| {
            let message: SqsMessage = record.parse()?;
            let message_id = message.message_id.clone();
            let status_code = workflow.run(message).await?;
            info!(message_id, status_code, "request answered");
            Ok::<_, RunError>(())
        })
        .await?;
    if let Some(age) = response.oldest_failure(&event.payload.records) {
        workflow.metrics.add("OldestAccountRequestHandedBack", Unit::Seconds, age.as_secs_f64());
    }
    Ok(response)
}

impl Workflow {
    async fn run(&self, message: SqsMessage) -> Result<u16, RunError> {
        let execution = self
            .sfn
            .start_sync_execution()
            .state_machine_arn(&self.state_machine_arn)
            .set_input(message.body)
            .set_trace_header(message.attributes.get("AWSTraceHeader").cloned())
            .send()
            .await
            .map_err(|error| Unavailable::from_sdk("Step Functions", &error))?;
        if execution.status() != &SyncExecutionStatus::Succeeded {
            return Err(RunError::Ended(execution.status().clone()));
        }
        let Output { status_code } = serde_json::from_str(execution.output().unwrap_or_default())?;
        match status_code {
            500.. => Err(RunError::Answered(status_code)),
            _ => Ok(status_code),
        }
    }
}
