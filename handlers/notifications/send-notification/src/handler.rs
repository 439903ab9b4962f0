//! Sends one e-mail for each account, and at most one a day to an address whose requests are refused, although events are
//! delivered more than once and functions can be killed.
//!
//! SES treats a repeated request as a new one. So an idempotency record stays in progress while it is unknown whether SES
//! accepted the e-mail: until SES's event `Email Sent` arrives, or for much longer than that takes.
//! docs/accounts/workflow.md has the full argument.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use accounts::{Problem, StudentItem, student_key};
use aws_lambda_events::sqs::SqsMessage;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_sesv2::config::retry::RetryConfig;
use aws_sdk_sesv2::config::timeout::TimeoutConfig;
use aws_sdk_sesv2::types::{Body, Content, Destination, EmailContent, Message, MessageTag};
use aws_services::Unavailable;
use lambda_runtime::{Context, LambdaEvent};
use powertools::batch::{BatchEvent, BatchProcessingError, BatchProcessor, BatchResponse, InvalidRecord, Record};
use powertools::idempotency::{Idempotency, IdempotencyError};
use powertools::metrics::{Metrics, Unit};
use powertools::{remaining_time, tracer};
use serde::Deserialize;
use thiserror::Error;
use tracing::info;

/// Shorter than the function's timeout, so that the function learns the result of a call.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);

/// Minimum remaining time of the invocation for a call to SES: SES could accept a call that outlives its invocation after
/// the idempotency record has expired.
const TIME_TO_SEND: Duration = Duration::from_secs(10);

/// Time during which an address gets no second e-mail about a refusal: anybody can enter another person's address.
pub const QUIET_AFTER_REFUSAL: Duration = Duration::from_secs(24 * 60 * 60);

/// Anybody can enter another person's address.
const NOT_ASKED: &str = "If you did not ask for an account, somebody mistyped an address: you can ignore this e-mail.";

/// The services and settings for notifying students.
#[derive(Debug)]
pub struct Notifier {
    pub dynamodb: aws_sdk_dynamodb::Client,
    pub ses: aws_sdk_sesv2::Client,
    /// Prevents a second attempt while the result of the first is unknown.
    pub idempotency: Idempotency,
    pub table: String,
    /// Sender of the e-mails: a verified identity of SES.
    pub sender: String,
    /// Publishes `Email Sent` with the tag `student_id`.
    pub configuration_set: String,
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
    #[error("the student does not exist")]
    NoStudent,
    #[error("the student's item can't be read: {0}")]
    BadItem(#[from] serde_dynamo::Error),
    #[error("too little time left in this invocation")]
    NoTimeLeft,
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    #[error("SES may have accepted the e-mail: {0}")]
    Unknown(Unavailable),
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
            .keep_in_progress_if(|error| matches!(error, NotifyError::Unknown(_)))
            .run(context, async || {
                let student = self.get(student_id).await?;
                // The idempotency record expires; this attribute stays.
                if student.notified_at.is_some() {
                    return Ok(());
                }
                let tag = MessageTag::builder().name("student_id").value(student_id).build();
                let tag = Some(tag.expect("it has a name and a value"));
                self.send(&student.item.account.email, "Your account at school", self.welcome(), tag, context).await?;
                self.note_sent(student_id).await
            })
            .await?;
        info!(student_id, "student notified");
        tracer::annotate("student_id", student_id.to_owned());
        Ok(())
    }

    async fn get(&self, student_id: &str) -> Result<Student, NotifyError> {
        let output = self
            .dynamodb
            .get_item()
            .table_name(&self.table)
            .key("account_key", AttributeValue::S(student_key(student_id)))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| Unavailable::from_sdk("DynamoDB", &error))?;
        Ok(serde_dynamo::from_item(output.item.ok_or(NotifyError::NoStudent)?)?)
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
            .keep_in_progress_if(|error| matches!(error, NotifyError::Unknown(_)))
            .run(context, async || {
                self.send(email, "No account at school yet", self.refusal(problems), None, context).await
            })
            .await?;
        info!("refusal sent now or earlier");
        Ok(())
    }

    async fn send(
        &self,
        email: &str,
        subject: &str,
        text: String,
        tag: Option<MessageTag>,
        context: &Context,
    ) -> Result<(), NotifyError> {
        if remaining_time(context) < TIME_TO_SEND {
            return Err(NotifyError::NoTimeLeft);
        }
        let content = |text: &str| Content::builder().data(text).charset("UTF-8").build().expect("it has data");
        let message =
            Message::builder().subject(content(subject)).body(Body::builder().text(content(&text)).build()).build();
        let result = self
            .ses
            .send_email()
            .from_email_address(&self.sender)
            .destination(Destination::builder().to_addresses(email).build())
            .content(EmailContent::builder().simple(message).build())
            .configuration_set_name(&self.configuration_set)
            .set_email_tags(tag.map(|tag| vec![tag]))
            .customize()
            // SES treats a repeated request as a new one: a call without an answer must not be repeated.
            .config_override(
                aws_sdk_sesv2::config::Builder::new()
                    .retry_config(RetryConfig::disabled())
                    .timeout_config(TimeoutConfig::builder().operation_timeout(SEND_TIMEOUT).build()),
            )
            .send()
            .await;
        let Err(error) = result else { return Ok(()) };
        let is_refused = error.raw_response().is_some_and(|response| response.status().is_client_error());
        let unavailable = Unavailable::from_sdk("SES", &error);
        Err(if is_refused { unavailable.into() } else { NotifyError::Unknown(unavailable) })
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
                Err(NotifyError::NoStudent)
            }
            // SES accepted the e-mail, so it must not be sent again although this could not be recorded.
            Err(error) => Err(NotifyError::Unknown(Unavailable::from_sdk("DynamoDB", &error))),
        }
    }
}
