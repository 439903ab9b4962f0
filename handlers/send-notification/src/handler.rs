//! One e-mail for each account, though events come more than once and functions die.
//!
//! SES takes every request for a new one, so a function takes a lease of the account before it sends. It gives the lease
//! back when SES refused, and notes `notified_at` when SES accepted. If it dies in between, SES's own event `Email Sent`
//! notes it, long before the lease ends and another function may try. docs/accounts.md has the whole argument.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use accounts::{StudentItem, student_key};
use aws_lambda_events::sqs::{BatchItemFailure, SqsBatchResponse, SqsEvent, SqsMessage};
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure};
use aws_sdk_sesv2::config::retry::RetryConfig;
use aws_sdk_sesv2::config::timeout::TimeoutConfig;
use aws_sdk_sesv2::types::{Body, Content, Destination, EmailContent, Message, MessageTag};
use lambda_runtime::tracing::{info, warn};
use lambda_runtime::{Context, Error, LambdaEvent};
use serde::Deserialize;
use thiserror::Error;
use workflow::{Subsegment, Unavailable};

/// Ends long before the function's time is over, so that the function sees what became of a call.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);

/// What it takes to notify a student.
#[derive(Debug)]
pub struct Notifier {
    pub dynamodb: aws_sdk_dynamodb::Client,
    pub ses: aws_sdk_sesv2::Client,
    pub table: String,
    /// Address that the e-mails come from, a verified identity of SES.
    pub sender: String,
    /// Publishes `Email Sent` with the tag `student_id`.
    pub configuration_set: String,
    /// Where students sign in.
    pub web_url: String,
    /// For how long an attempt whose end is unknown keeps others from sending.
    pub lease: Duration,
}

/// An event, as far as it is needed.
#[derive(Deserialize)]
#[serde(tag = "detail-type", content = "detail")]
enum Event {
    AccountCreated {
        student_id: String,
    },
    #[serde(rename = "Email Sent")]
    EmailSent {
        /// The values of the tag `student_id`, of which a notification has one.
        student_ids: [String; 1],
    },
}

/// Why a message stays in the queue.
#[derive(Debug, Error)]
enum NotifyError {
    #[error("the message is no event that is known here: {0}")]
    NotAnEvent(serde_json::Error),
    #[error("there is no such student")]
    NoStudent,
    #[error("an earlier attempt may still end well")]
    Leased,
    #[error("the student's item can't be read: {0}")]
    BadItem(#[from] serde_dynamo::Error),
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Handles each message on its own, and reports those that have to come again.
pub async fn handle(notifier: &Notifier, event: LambdaEvent<SqsEvent>) -> Result<SqsBatchResponse, Error> {
    let mut response = SqsBatchResponse::default();
    for message in event.payload.records {
        if let Err(error) = notifier.handle(&message, &event.context).await {
            let message_id = message.message_id.unwrap_or_default();
            warn!(message_id, %error, "message not handled; it will be retried");
            let mut failure = BatchItemFailure::default();
            failure.item_identifier = message_id;
            response.batch_item_failures.push(failure);
        }
    }
    Ok(response)
}

fn seconds_since_1970() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

impl Notifier {
    async fn handle(&self, message: &SqsMessage, context: &Context) -> Result<(), NotifyError> {
        match serde_json::from_str(message.body.as_deref().unwrap_or_default()).map_err(NotifyError::NotAnEvent)? {
            Event::AccountCreated { student_id } => self.notify(&student_id, context).await,
            Event::EmailSent { student_ids: [student_id] } => self.note_sent(&student_id).await,
        }
    }

    async fn notify(&self, student_id: &str, context: &Context) -> Result<(), NotifyError> {
        let subsegment = Subsegment::begin("send-notification", context);
        let outcome = match self.lease(student_id).await? {
            Some(student) => {
                self.send(&student).await?;
                self.note_sent(student_id).await?;
                "SENT"
            }
            None => "SENT_BEFORE",
        };
        info!(student_id, outcome, "student notified");
        subsegment.end(&[("student_id", student_id), ("outcome", outcome)]);
        Ok(())
    }

    /// Takes the lease, or says that the student has been notified.
    async fn lease(&self, student_id: &str) -> Result<Option<StudentItem>, NotifyError> {
        let now = seconds_since_1970();
        let result = self
            .update(student_id)
            .update_expression("SET leased_until = :end")
            .condition_expression(
                "attribute_exists(account_key) AND attribute_not_exists(notified_at) \
                 AND (attribute_not_exists(leased_until) OR leased_until < :now)",
            )
            .expression_attribute_values(":now", AttributeValue::N(now.to_string()))
            .expression_attribute_values(":end", AttributeValue::N((now + self.lease.as_secs()).to_string()))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        match result {
            Ok(output) => Ok(Some(serde_dynamo::from_item(output.attributes.unwrap_or_default())?)),
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(failed)) => match failed.item() {
                    Some(student) if student.contains_key("notified_at") => Ok(None),
                    Some(_) => Err(NotifyError::Leased),
                    None => Err(NotifyError::NoStudent),
                },
                _ => Err(Unavailable::from_sdk("DynamoDB", &error).into()),
            },
        }
    }

    async fn send(&self, student: &StudentItem) -> Result<(), NotifyError> {
        let content = |text: &str| Content::builder().data(text).charset("UTF-8").build().expect("it has data");
        let message = Message::builder()
            .subject(content("Your account at school"))
            .body(Body::builder().text(content(&self.text(student))).build())
            .build();
        let tag = MessageTag::builder().name("student_id").value(&student.student_id).build();
        let result = self
            .ses
            .send_email()
            .from_email_address(&self.sender)
            .destination(Destination::builder().to_addresses(&student.account.email).build())
            .content(EmailContent::builder().simple(message).build())
            .configuration_set_name(&self.configuration_set)
            .email_tags(tag.expect("it has a name and a value"))
            .customize()
            // SES can't tell a repeated request from a second one: a call without an answer must not be made again.
            .config_override(
                aws_sdk_sesv2::config::Builder::new()
                    .retry_config(RetryConfig::disabled())
                    .timeout_config(TimeoutConfig::builder().operation_timeout(SEND_TIMEOUT).build()),
            )
            .send()
            .await;
        let Err(error) = result else { return Ok(()) };
        // Without a clear no, SES may have accepted it: then the lease stays.
        if error.raw_response().is_some_and(|response| response.status().is_client_error()) {
            self.give_lease_back(&student.student_id).await?;
        }
        Err(Unavailable::from_sdk("SES", &error).into())
    }

    fn text(&self, student: &StudentItem) -> String {
        format!(
            "Dear {},\n\nyour account is ready. Choose a password here:\n\n{}/#password\n\n\
             You have not asked for an account? Then somebody mistyped an address, and you need not do anything.\n",
            student.account.given_name, self.web_url
        )
    }

    async fn give_lease_back(&self, student_id: &str) -> Result<(), Unavailable> {
        self.update(student_id)
            .update_expression("REMOVE leased_until")
            .send()
            .await
            .map_err(|error| Unavailable::from_sdk("DynamoDB", &error))?;
        Ok(())
    }

    async fn note_sent(&self, student_id: &str) -> Result<(), NotifyError> {
        let result = self
            .update(student_id)
            .update_expression("SET notified_at = if_not_exists(notified_at, :now) REMOVE leased_until")
            .condition_expression("attribute_exists(account_key)")
            .expression_attribute_values(":now", AttributeValue::N(seconds_since_1970().to_string()))
            .send()
            .await;
        match result {
            Ok(_) => Ok(()),
            Err(error)
                if error.as_service_error().is_some_and(UpdateItemError::is_conditional_check_failed_exception) =>
            {
                Err(NotifyError::NoStudent)
            }
            Err(error) => Err(Unavailable::from_sdk("DynamoDB", &error).into()),
        }
    }

    fn update(&self, student_id: &str) -> UpdateItemFluentBuilder {
        self.dynamodb
            .update_item()
            .table_name(&self.table)
            .key("account_key", AttributeValue::S(student_key(student_id)))
    }
}
