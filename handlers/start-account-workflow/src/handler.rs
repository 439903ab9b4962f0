//! From a batch of queued requests to as many runs of the workflow.

use aws_lambda_events::sqs::{BatchItemFailure, SqsBatchResponse, SqsEvent, SqsMessage};
use aws_sdk_sfn::types::SyncExecutionStatus;
use futures_util::future::join_all;
use lambda_runtime::tracing::{info, warn};
use lambda_runtime::{Error, LambdaEvent};
use serde::Deserialize;
use thiserror::Error;
use workflow::Unavailable;

/// The workflow to run.
#[derive(Debug)]
pub struct Workflow {
    pub sfn: aws_sdk_sfn::Client,
    pub state_machine_arn: String,
}

/// Why a request has to be tried again.
#[derive(Debug, Error)]
enum RunError {
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
pub async fn handle(workflow: &Workflow, event: LambdaEvent<SqsEvent>) -> Result<SqsBatchResponse, Error> {
    let runs = event.payload.records.into_iter().map(async |message| {
        let message_id = message.message_id.clone().unwrap_or_default();
        match workflow.run(message).await {
            Ok(status_code) => {
                info!(message_id, status_code, "request answered");
                None
            }
            Err(error) => {
                warn!(message_id, %error, "request not answered; it will be retried");
                Some(message_id)
            }
        }
    });
    let mut response = SqsBatchResponse::default();
    for message_id in join_all(runs).await.into_iter().flatten() {
        let mut failure = BatchItemFailure::default();
        failure.item_identifier = message_id;
        response.batch_item_failures.push(failure);
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
