//! From a batch of queued requests to as many runs of the workflow.
//!
//! Nobody waits for an answer here, so students are told by e-mail: of a new account by the workflow itself, of a refusal from
//! here.

use accounts::{AccountRequest, Problem, canonical_email};
use aws_lambda_events::sqs::SqsMessage;
use aws_sdk_sfn::types::SyncExecutionStatus;
use lambda_runtime::LambdaEvent;
use powertools::batch::{BatchEvent, BatchProcessingError, BatchProcessor, BatchResponse, InvalidRecord};
use powertools::metrics::{Metrics, Unit};
use serde::Deserialize;
use serde_json::json;
use thiserror::Error;
use tracing::info;
use workflow::Unavailable;

/// As many as a batch of the queue has: a run of the workflow waits, and does not compute.
const CONCURRENCY: usize = 10;

/// The workflow to run, and where to say how it ended.
#[derive(Debug)]
pub struct Workflow {
    pub sfn: aws_sdk_sfn::Client,
    pub state_machine_arn: String,
    pub metrics: Metrics,
    pub sqs: aws_sdk_sqs::Client,
    /// Where `send-notification` takes its messages from.
    pub notifications_queue_url: String,
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
    #[error("the request or the workflow's output can't be read: {0}")]
    BadJson(#[from] serde_json::Error),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Output {
    status_code: u16,
    body: String,
}

/// The body of an answer 422.
#[derive(Deserialize)]
struct Refusal {
    problems: Vec<Problem>,
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
        let body = message.body.unwrap_or_default();
        let execution = self
            .sfn
            .start_sync_execution()
            .state_machine_arn(&self.state_machine_arn)
            .input(&body)
            .set_trace_header(message.attributes.get("AWSTraceHeader").cloned())
            .send()
            .await
            .map_err(|error| Unavailable::from_sdk("Step Functions", &error))?;
        if execution.status() != &SyncExecutionStatus::Succeeded {
            return Err(RunError::Ended(execution.status().clone()));
        }
        let output: Output = serde_json::from_str(execution.output().unwrap_or_default())?;
        match output.status_code {
            500.. => return Err(RunError::Answered(output.status_code)),
            422 => self.tell(&serde_json::from_str(&body)?, serde_json::from_str(&output.body)?).await?,
            _ => (),
        }
        Ok(output.status_code)
    }

    /// Has the student told what is wrong, unless it is the address itself.
    ///
    /// Nothing of the request but the address goes on: whoever asks in somebody else's name must not write the e-mail.
    async fn tell(&self, request: &AccountRequest, refusal: Refusal) -> Result<(), RunError> {
        let Some(email) = canonical_email(&request.email) else { return Ok(()) };
        let detail = json!({ "email": email, "problems": refusal.problems });
        self.sqs
            .send_message()
            .queue_url(&self.notifications_queue_url)
            .message_body(json!({ "detail-type": "AccountRefused", "detail": detail }).to_string())
            .send()
            .await
            .map_err(|error| Unavailable::from_sdk("SQS", &error))?;
        Ok(())
    }
}
