//! Turns the changes of the slots' stream into messages of the queue of reminders, at least once each. The queue's consumer
//! makes one e-mail of them.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_sdk_scheduler::error::SdkError;
use aws_sdk_scheduler::operation::create_schedule::CreateScheduleError;
use aws_sdk_scheduler::types::{
    ActionAfterCompletion, DeadLetterConfig, FlexibleTimeWindow, FlexibleTimeWindowMode, Target,
};
use aws_services::Unavailable;
use chrono::DateTime;
use lambda_runtime::LambdaEvent;
use powertools::batch::{BatchEvent, BatchProcessingError, BatchProcessor, BatchResponse, InvalidRecord, Record};
use powertools::tracer;
use reminders::{Appointment, Kind, Message};
use serde::Deserialize;
use serde_dynamo::Item;
use thiserror::Error;
use tracing::{error, info};

/// How long before its start a student is reminded of an appointment.
const REMIND_BEFORE_SECONDS: i64 = 24 * 60 * 60;

/// A schedule must not begin in the past when EventBridge Scheduler gets it.
const TIME_TO_SCHEDULE_SECONDS: i64 = 60;

/// The user of a deletion by DynamoDB's time to live:
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/time-to-live-ttl-streams.html>
const TIME_TO_LIVE: &str = "dynamodb.amazonaws.com";

/// The services and settings for reminders.
#[derive(Debug)]
pub struct Reminders {
    pub sqs: aws_sdk_sqs::Client,
    pub scheduler: aws_sdk_scheduler::Client,
    pub queue_url: String,
    pub queue_arn: String,
    /// Gets the reminders that EventBridge Scheduler could not send.
    pub failed_queue_arn: String,
    pub schedule_group: String,
    /// With this role EventBridge Scheduler sends to the queues.
    pub schedule_role_arn: String,
}

/// The needed part of a record of the stream.
#[derive(Deserialize)]
struct Change {
    dynamodb: Images,
    #[serde(rename = "userIdentity")]
    user_identity: Option<UserIdentity>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Images {
    new_image: Option<Item>,
    old_image: Option<Item>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct UserIdentity {
    principal_id: String,
}

/// A slot, booked or not.
#[derive(Deserialize)]
struct Slot {
    #[serde(default)]
    changes: u32,
}

/// Why a record is not a change of a slot.
#[derive(Debug, Error)]
enum NotAChange {
    #[error(transparent)]
    NotARecord(#[from] InvalidRecord),
    // The reason could quote the slot.
    #[error("an image is not that of a slot")]
    NotASlot(#[from] serde_dynamo::Error),
}

/// Queues the messages of a batch and reports the first record that could not be handled: a retry starts there.
pub async fn handle(
    reminders: &Reminders,
    event: LambdaEvent<BatchEvent>,
) -> Result<BatchResponse, BatchProcessingError> {
    BatchProcessor::stream()
        .raise_on_entire_batch_failure(false)
        .process(&event.payload.records, async |record| reminders.handle(record).await)
        .await
}

impl Reminders {
    async fn handle(&self, record: &Record) -> Result<(), Unavailable> {
        let messages = match messages(record) {
            Ok(messages) => messages,
            Err(error) => {
                // It would stop the stream here. The queue's consumer refuses it until it is in the queue of failed reminders.
                error!(%error, "this change is queued as it is");
                return self.send(record.raw().get()).await;
            }
        };
        for message in messages {
            self.send(&json(&message)).await?;
            if let Message::Booked(appointment) = &message {
                self.schedule(appointment).await?;
                tracer::annotate("student_id", appointment.booking.student_id.clone());
            }
        }
        Ok(())
    }

    async fn send(&self, body: &str) -> Result<(), Unavailable> {
        // SQS refuses these two, which a topic can hold. JSON escapes the others that it refuses:
        // https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
        let body = body.replace(['\u{fffe}', '\u{ffff}'], "\u{fffd}");
        let request = self.sqs.send_message().queue_url(&self.queue_url).message_body(body);
        request.send().await.map_err(|error| Unavailable::from_sdk("SQS", &error))?;
        Ok(())
    }

    /// Schedules the message of a reminder, unless it would be due by now.
    async fn schedule(&self, Appointment { booking, starts, .. }: &Appointment) -> Result<(), Unavailable> {
        let remind_at = starts - REMIND_BEFORE_SECONDS;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let earliest = i64::try_from(now).unwrap_or(i64::MAX).saturating_add(TIME_TO_SCHEDULE_SECONDS);
        let Some(time) = DateTime::from_timestamp(remind_at, 0).filter(|_| remind_at >= earliest) else {
            return Ok(());
        };
        let target = Target::builder()
            .arn(&self.queue_arn)
            .role_arn(&self.schedule_role_arn)
            .input(json(&Message::Remind(booking.clone())))
            .dead_letter_config(DeadLetterConfig::builder().arn(&self.failed_queue_arn).build())
            .build()
            .expect("it has an ARN and a role");
        let window = FlexibleTimeWindow::builder().mode(FlexibleTimeWindowMode::Off).build().expect("it has a mode");
        let result = self
            .scheduler
            .create_schedule()
            .name(booking.email_id(Kind::Reminder))
            .group_name(&self.schedule_group)
            .schedule_expression(time.format("at(%Y-%m-%dT%H:%M:%S)").to_string())
            .schedule_expression_timezone("UTC")
            .flexible_time_window(window)
            .action_after_completion(ActionAfterCompletion::Delete)
            .target(target)
            .send()
            .await;
        match result {
            Ok(_) => info!("reminder scheduled"),
            // This record was handled before.
            Err(SdkError::ServiceError(error)) if matches!(error.err(), CreateScheduleError::ConflictException(_)) => {}
            Err(error) => return Err(Unavailable::from_sdk("EventBridge Scheduler", &error)),
        }
        Ok(())
    }
}

fn json(message: &Message) -> String {
    serde_json::to_string(message).expect("it has no map and no number that JSON does not have")
}

/// The messages of a change: to the student who has lost the slot, and to the one who has it now.
fn messages(record: &Record) -> Result<Vec<Message>, NotAChange> {
    let Change { dynamodb: Images { new_image, old_image }, user_identity } = record.parse()?;
    if user_identity.is_some_and(|user| user.principal_id == TIME_TO_LIVE) {
        return Ok(Vec::new());
    }
    let slot: Option<Slot> = new_image.clone().map(serde_dynamo::from_item).transpose()?;
    let (new, old) = (appointment(new_image)?, appointment(old_image)?);
    let student = |one: &Option<Appointment>| one.as_ref().map(|appointment| appointment.booking.student_id.clone());
    if student(&new) == student(&old) {
        return Ok(Vec::new());
    }
    let lost = old.map(|mut appointment| match slot {
        Some(Slot { changes }) => {
            appointment.booking.changes = changes;
            Message::Cancelled(appointment)
        }
        None => {
            appointment.booking.changes += 1;
            Message::Withdrawn(appointment)
        }
    });
    Ok(lost.into_iter().chain(new.map(Message::Booked)).collect())
}

/// The appointment that an image of a slot has, if it is booked.
fn appointment(image: Option<Item>) -> Result<Option<Appointment>, serde_dynamo::Error> {
    image.filter(|slot| slot.contains_key("student_id")).map(serde_dynamo::from_item).transpose()
}
