//! Sends one e-mail for each message, although messages are delivered more than once and functions can be killed.
//!
//! An idempotency record stays in progress while it is unknown whether SES accepted the e-mail: docs/reminders/one-email.md.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lambda_events::sqs::SqsMessage;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_services::Unavailable;
use chrono::Utc;
use emails::{Email, Mailer, SendError};
use lambda_runtime::{Context, LambdaEvent};
use powertools::batch::{BatchEvent, BatchProcessingError, BatchProcessor, BatchResponse, InvalidRecord, Record};
use powertools::idempotency::{Idempotency, IdempotencyError};
use powertools::metrics::{Metrics, Unit};
use powertools::tracer;
use reminders::{Appointment, Booking, EMAIL_ID, Kind, Message};
use thiserror::Error;
use tracing::info;

use crate::{calendar, texts};

/// Longer than a message can be in the queue and then in the queue of failed reminders, fourteen days each.
pub const KEPT_FOR: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The services and settings for telling students.
#[derive(Debug)]
pub struct Sender {
    pub dynamodb: aws_sdk_dynamodb::Client,
    pub mailer: Mailer,
    /// Prevents a second attempt while the result of the first is unknown.
    pub idempotency: Idempotency,
    pub slots_table: String,
    /// The URL of the pages, which the e-mails link to if there are pages.
    pub web_url: Option<String>,
    pub metrics: Metrics,
}

/// Why a message stays in the queue.
#[derive(Debug, Error)]
enum MessageError {
    #[error(transparent)]
    NotAMessage(#[from] InvalidRecord),
    // The reason could quote the message.
    #[error("the message is not one of this queue: line {}, column {}", .0.line(), .0.column())]
    NotAReminder(serde_json::Error),
    #[error("the appointment's start is not a time")]
    NoTime,
    // The reason could quote it.
    #[error("the slot can't be read")]
    BadSlot(#[from] serde_dynamo::Error),
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    #[error(transparent)]
    Send(#[from] IdempotencyError<SendError>),
    #[error(transparent)]
    Complete(#[from] IdempotencyError),
}

/// Handles the messages independently and reports the failed ones, which SQS delivers again.
pub async fn handle(sender: &Sender, event: LambdaEvent<BatchEvent>) -> Result<BatchResponse, BatchProcessingError> {
    let response = BatchProcessor::sqs()
        .raise_on_entire_batch_failure(false)
        .process(&event.payload.records, async |record| sender.handle(record, &event.context).await)
        .await?;
    if let Some(age) = response.oldest_failure(&event.payload.records) {
        sender.metrics.add("OldestReminderHandedBack", Unit::Seconds, age.as_secs_f64());
    }
    Ok(response)
}

impl Sender {
    async fn handle(&self, record: &Record, context: &Context) -> Result<(), MessageError> {
        let message: SqsMessage = record.parse()?;
        let body = message.body.unwrap_or_default();
        match serde_json::from_str(&body).map_err(MessageError::NotAReminder)? {
            Message::Booked(appointment) => self.tell(Kind::Booked, &appointment, context).await,
            Message::Cancelled(appointment) => self.tell(Kind::Cancelled, &appointment, context).await,
            Message::Withdrawn(appointment) => self.tell(Kind::Withdrawn, &appointment, context).await,
            Message::Remind(booking) => match self.appointment(&booking).await? {
                Some(appointment) => self.tell(Kind::Reminder, &appointment, context).await,
                None => {
                    info!("no reminder: the booking has changed");
                    Ok(())
                }
            },
            // SES has sent the e-mail, so no further attempt is needed.
            Message::EmailSent { email_ids: [email_id] } => Ok(self.idempotency.complete(&email_id, &()).await?),
        }
    }

    /// The appointment of a booking, unless the slot has changed since.
    async fn appointment(&self, booking: &Booking) -> Result<Option<Appointment>, MessageError> {
        let output = self
            .dynamodb
            .get_item()
            .table_name(&self.slots_table)
            .key("advisor_id", AttributeValue::S(booking.advisor_id.clone()))
            .key("starts_at", AttributeValue::S(booking.starts_at.clone()))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| Unavailable::from_sdk("DynamoDB", &error))?;
        let Some(slot) = output.item.filter(|slot| slot.contains_key("student_id")) else { return Ok(None) };
        let appointment: Appointment = serde_dynamo::from_item(slot)?;
        Ok((appointment.booking == *booking).then_some(appointment))
    }

    /// Sends the e-mail, unless it has been sent or may have been sent, or has come too late.
    async fn tell(&self, kind: Kind, appointment: &Appointment, context: &Context) -> Result<(), MessageError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        if appointment.student_email.is_empty() || u64::try_from(appointment.starts).is_ok_and(|starts| starts <= now) {
            info!("nobody to tell, or the appointment has begun");
            return Ok(());
        }
        let email_id = appointment.booking.email_id(kind);
        let time = texts::Time::of(appointment).ok_or(MessageError::NoTime)?;
        self.idempotency
            .for_key(&email_id)
            .keep_in_progress_if(SendError::is_unknown)
            .run(context, async || {
                let email = Email {
                    to: &appointment.student_email,
                    subject: texts::subject(kind, &time),
                    text: texts::text(kind, appointment, &time, self.web_url.as_deref()),
                    tag: Some((EMAIL_ID, &email_id)),
                    attachment: calendar::file(kind, appointment, &time, &self.mailer.sender, Utc::now()),
                };
                self.mailer.send(email, context).await
            })
            .await?;
        let student_id = &appointment.booking.student_id;
        info!(student_id, ?kind, "student told");
        tracer::annotate("student_id", student_id.clone());
        Ok(())
    }
}
