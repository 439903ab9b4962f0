//! Starts one execution of the workflow for each queued request, and waits for its result.
//!
//! Students learn the result by e-mail, because they don't wait for it. The workflow itself announces a new account; this
//! function announces a refusal.

use accounts::{AccountRequest, EVENT_SOURCE, Problem, canonical_email};
use aws_lambda_events::sqs::SqsMessage;
use aws_sdk_sfn::types::SyncExecutionStatus;
use aws_services::{EventBus, Unavailable};
use lambda_runtime::LambdaEvent;
use powertools::batch::{BatchEvent, BatchProcessingError, BatchProcessor, BatchResponse, InvalidRecord};
use powertools::metrics::{Metrics, Unit};
use serde::Deserialize;
use serde_json::json;
use thiserror::Error;
use tracing::info;

/// The size of the queue's batches: an execution of the workflow costs this function waiting, not computing.
const CONCURRENCY: usize = 10;

/// The workflow to run, and the event bus for the requests that it refuses.
#[derive(Debug)]
pub struct Workflow {
    pub sfn: aws_sdk_sfn::Client,
    pub state_machine_arn: String,
    pub metrics: Metrics,
    pub event_bus: EventBus,
}

/// Why a request stays in the queue.
#[derive(Debug, Error)]
enum RunError {
    #[error(transparent)]
    NotAMessage(#[from] InvalidRecord),
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    #[error("the workflow ended as {0}")]
    Ended(SyncExecutionStatus),
    #[error("the workflow answered {0}: try again")]
    Answered(u16),
    #[error("the request or the workflow's output can't be read: {0}")]
    BadJson(#[from] serde_json::Error),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Output {
    status_code: u16,
    body: String,
}

/// The body of a 422 answer.
#[derive(Deserialize)]
struct Refusal {
    problems: Vec<Problem>,
}

/// Runs the workflow for all messages concurrently. A message leaves the queue when the workflow has accepted or refused its
/// request; on any failure it stays.
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
        let body = message.body.unwrap_or_default();
        let trace_header = message.attributes.get("AWSTraceHeader").cloned();
        let execution = self
            .sfn
            .start_sync_execution()
            .state_machine_arn(&self.state_machine_arn)
            .input(&body)
            .set_trace_header(trace_header.clone())
            .send()
            .await
            .map_err(|error| Unavailable::from_sdk("Step Functions", &error))?;
        if execution.status() != &SyncExecutionStatus::Succeeded {
            return Err(RunError::Ended(execution.status().clone()));
        }
        let output: Output = serde_json::from_str(execution.output().unwrap_or_default())?;
        match output.status_code {
            500.. => return Err(RunError::Answered(output.status_code)),
            422 => {
                let (request, refusal) = (serde_json::from_str(&body)?, serde_json::from_str(&output.body)?);
                self.announce_refusal(&request, refusal, trace_header).await?;
            }
            _ => (),
        }
        Ok(output.status_code)
    }

    /// Puts an event about the refusal on the event bus, unless the address itself is invalid.
    ///
    /// Of the request, only the address is in the event: the event becomes an e-mail, and somebody who enters another
    /// person's address must not choose its text.
    async fn announce_refusal(
        &self,
        request: &AccountRequest,
        refusal: Refusal,
        trace_header: Option<String>,
    ) -> Result<(), RunError> {
        let Some(email) = canonical_email(&request.email) else { return Ok(()) };
        let detail = json!({ "email": email, "problems": refusal.problems }).to_string();
        Ok(self.event_bus.put(EVENT_SOURCE, "AccountRefused", detail, trace_header).await?)
    }
}
