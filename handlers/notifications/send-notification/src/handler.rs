//! Sends one e-mail for each account, and at most one a day to an address whose requests are refused, although events are
//! delivered more than once and functions can be killed.
//!
//! An idempotency record stays in progress while it is unknown whether SES accepted the e-mail: docs/notifications/one-email.md.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use accounts::{Problem, StudentItem, student_key};
use aws_lambda_events::sqs::SqsMessage;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_services::Unavailable;
use emails::{Email, Mailer, SendError};
use lambda_runtime::{Context, LambdaEvent};
use powertools::batch::{BatchEvent, BatchProcessingError, BatchProcessor, BatchResponse, InvalidRecord, Record};
use powertools::idempotency::{Idempotency, IdempotencyError};
use powertools::metrics::{Metrics, Unit};
use powertools::tracer;
use serde::Deserialize;
use thiserror::Error;
use tracing::info;

/// Time during which an address gets no second e-mail about a refusal: anybody can enter another person's address.
pub const QUIET_AFTER_REFUSAL: Duration = Duration::from_secs(24 * 60 * 60);

/// Anybody can enter another person's address.
const NOT_ASKED: &str = "If you did not ask for an account, somebody mistyped an address: you can ignore this e-mail.";

/// The services and settings for notifying students.
#[derive(Debug)]
pub struct Notifier {
    pub dynamodb: aws_sdk_dynamodb::Client,
    pub mailer: Mailer,
    /// Prevents a second attempt while the result of the first is unknown.
    pub idempotency: Idempotency,
    pub table: String,
    /// The URL of the pages, which the e-mails link to if there are pages.
    pub web_url: Option<String>,
    pub metrics: Metrics,
}

/// The needed part of an event.
#[derive(Deserialize)]
#[serde(tag = "detail-type", content = "detail")]
enum Event {
    AccountCreated {
        student_id: String,
    },
    /// A request that waited in the queue was invalid.
    AccountRefused {
        /// In its canonical spelling.
        email: String,
        problems: Vec<Problem>,
    },
    #[serde(rename = "Email Sent")]
    EmailSent {
        /// The values of the tag `student_id`; a notification has exactly one.
        student_ids: [String; 1],
    },
}

/// A student's item.
#[derive(Deserialize)]
struct Student {
    #[serde(flatten)]
    item: StudentItem,
    /// Seconds since 1970.
    notified_at: Option<u64>,
}

/// Why a message stays in the queue.
#[derive(Debug, Error)]
enum MessageError {
    #[error(transparent)]
    NotAMessage(#[from] InvalidRecord),
    #[error("the message is not a known event: {0}")]
    NotAnEvent(#[from] serde_json::Error),
    #[error(transparent)]
    Notify(#[from] IdempotencyError<NotifyError>),
    #[error(transparent)]
    NoteSent(#[from] NotifyError),
    #[error(transparent)]
    Complete(#[from] IdempotencyError),
}

/// Why a student could not be notified.
#[derive(Debug, Error)]
enum NotifyError {
    #[error("the student's item can't be read: {0}")]
    BadItem(#[from] serde_dynamo::Error),
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    #[error(transparent)]
    Send(#[from] SendError),
    /// SES accepted the e-mail, so it must not be sent again.
    #[error("the e-mail was sent, but that could not be recorded: {0}")]
    NotNoted(Unavailable),
}

impl NotifyError {
    /// Whether SES accepted the e-mail, or may have accepted it.
    fn may_be_sent(&self) -> bool {
        match self {
            Self::Send(error) => error.is_unknown(),
            Self::NotNoted(_) => true,
            Self::BadItem(_) | Self::Unavailable(_) => false,
        }
    }
}

/// Handles the messages independently and reports the failed ones, which SQS delivers again.
pub async fn handle(
    notifier: &Notifier,
    event: LambdaEvent<BatchEvent>,
) -> Result<BatchResponse, BatchProcessingError> {
    let response = BatchProcessor::sqs()
        .raise_on_entire_batch_failure(false)
        .process(&event.payload.records, async |record| notifier.handle(record, &event.context).await)
        .await?;
    if let Some(age) = response.oldest_failure(&event.payload.records) {
        notifier.metrics.add("OldestNotificationHandedBack", Unit::Seconds, age.as_secs_f64());
    }
    Ok(response)
}

impl Notifier {
    async fn handle(&self, record: &Record, context: &Context) -> Result<(), MessageError> {
        let message: SqsMessage = record.parse()?;
        match serde_json::from_str(message.body.as_deref().unwrap_or_default())? {
            Event::AccountCreated { student_id } => self.notify(&student_id, context).await?,
            Event::AccountRefused { email, problems } => self.refuse(&email, &problems, context).await?,
            Event::EmailSent { student_ids: [student_id] } => {
                self.note_sent(&student_id).await?;
                // SES has sent the e-mail, so no further attempt is needed.
                self.idempotency.complete(&student_id, &()).await?;
            }
        }
        Ok(())
    }

    /// Sends the e-mail, unless it has been sent or may have been sent.
    async fn notify(&self, student_id: &str, context: &Context) -> Result<(), IdempotencyError<NotifyError>> {
        self.idempotency
            .for_key(student_id)
            .keep_in_progress_if(NotifyError::may_be_sent)
            .run(context, async || {
                // The student has deleted the account.
                let Some(student) = self.get(student_id).await? else { return Ok(()) };
                // The idempotency record expires; this attribute stays.
                if student.notified_at.is_some() {
                    return Ok(());
                }
                let email = Email {
                    to: &student.item.account.email,
                    subject: "Your account at school".into(),
                    text: self.welcome(),
                    tag: Some(("student_id", student_id)),
                    attachment: None,
                };
                self.mailer.send(email, context).await?;
                self.note_sent(student_id).await
            })
            .await?;
        info!(student_id, "student notified now or earlier, unless the account is deleted");
        tracer::annotate("student_id", student_id.to_owned());
        Ok(())
    }

    async fn get(&self, student_id: &str) -> Result<Option<Student>, NotifyError> {
        let output = self
            .dynamodb
            .get_item()
            .table_name(&self.table)
            .key("account_key", AttributeValue::S(student_key(student_id)))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| Unavailable::from_sdk("DynamoDB", &error))?;
        Ok(output.item.map(serde_dynamo::from_item).transpose()?)
    }

    /// Sends the e-mail about a refused request, unless this address got one within [`QUIET_AFTER_REFUSAL`].
    async fn refuse(
        &self,
        email: &str,
        problems: &[Problem],
        context: &Context,
    ) -> Result<(), IdempotencyError<NotifyError>> {
        self.idempotency
            .for_key(email)
            .keep_in_progress_if(NotifyError::may_be_sent)
            .run(context, async || {
                let email = Email {
                    to: email,
                    subject: "No account at school yet".into(),
                    text: self.refusal(problems),
                    tag: None,
                    attachment: None,
                };
                Ok(self.mailer.send(email, context).await?)
            })
            .await?;
        info!("refusal sent now or earlier");
        Ok(())
    }

    /// Contains nothing that the student typed: the address is not confirmed and may be another person's.
    fn welcome(&self) -> String {
        let password = match &self.web_url {
            Some(url) => format!("Choose a password here:\n\n{url}/#password"),
            None => "Before you sign in for the first time, choose \"Forgot password\" to set a password.".into(),
        };
        format!("Hello,\n\nYour account is ready. {password}\n\n{NOT_ASKED}\n")
    }

    /// Contains nothing that the student typed, like [`Self::welcome`]: the problems' messages don't quote input.
    fn refusal(&self, problems: &[Problem]) -> String {
        let lines: String =
            problems.iter().map(|p| format!("- {}: {}\n", p.field.replace('_', " "), p.message)).collect();
        let again = match &self.web_url {
            Some(url) => format!("Please correct this and ask again here:\n\n{url}/#sign-up"),
            None => "Please correct this and ask again.".into(),
        };
        format!(
            "Hello,\n\nYou asked for an account, but we can't create it yet:\n\n{lines}\n{again}\n\n\
             We send this e-mail at most once a day. {NOT_ASKED}\n"
        )
    }

    async fn note_sent(&self, student_id: &str) -> Result<(), NotifyError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let result = self
            .dynamodb
            .update_item()
            .table_name(&self.table)
            .key("account_key", AttributeValue::S(student_key(student_id)))
            .update_expression("SET notified_at = if_not_exists(notified_at, :now)")
            .condition_expression("attribute_exists(account_key)")
            .expression_attribute_values(":now", AttributeValue::N(now.to_string()))
            .send()
            .await;
        match result {
            Ok(_) => Ok(()),
            Err(error)
                if error.as_service_error().is_some_and(UpdateItemError::is_conditional_check_failed_exception) =>
            {
                // The student has deleted the account.
                Ok(())
            }
            Err(error) => Err(NotifyError::NotNoted(Unavailable::from_sdk("DynamoDB", &error))),
        }
    }
}
