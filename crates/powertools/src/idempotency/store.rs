//! The records in DynamoDB.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure};

use super::IdempotencyError;

const IN_PROGRESS: &str = "INPROGRESS";
const COMPLETED: &str = "COMPLETED";

pub(super) fn milliseconds_since_1970() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}

/// Saturates: a record that is kept for ever must not be expired.
pub(super) fn milliseconds_since_1970_after(duration: Duration) -> u64 {
    milliseconds_since_1970().saturating_add(duration.as_millis().try_into().unwrap_or(u64::MAX))
}

pub(super) fn seconds_since_1970_after(duration: Duration) -> u64 {
    (milliseconds_since_1970() / 1000).saturating_add(duration.as_secs())
}

/// A unique name for an attempt: each `RandomState` is different.
pub(super) fn new_attempt() -> String {
    format!("{:016x}", RandomState::new().hash_one(milliseconds_since_1970()))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    InProgress,
    Completed,
}

impl Status {
    fn as_str(self) -> &'static str {
        match self {
            Self::InProgress => IN_PROGRESS,
            Self::Completed => COMPLETED,
        }
    }
}

/// A record without its key; fields are named like the attributes.
#[derive(Clone)]
pub(super) struct Record {
    pub(super) status: Status,
    /// Seconds since 1970.
    pub(super) expiration: u64,
    /// Milliseconds since 1970; Python does not set it if it does not know the remaining time.
    pub(super) in_progress_expiration: Option<u64>,
    /// The attempt that owns the record while it is in progress; records by Python have none.
    pub(super) attempt: Option<String>,
    pub(super) data: Option<String>,
    pub(super) validation: Option<String>,
}

impl Record {
    pub(super) fn is_expired(&self) -> bool {
        milliseconds_since_1970() / 1000 > self.expiration
    }

    pub(super) fn is_timed_out(&self) -> bool {
        self.status == Status::InProgress
            && self.in_progress_expiration.is_some_and(|expiration| expiration < milliseconds_since_1970())
    }

    pub(super) fn validate<E>(&self, validation: Option<&str>) -> Result<(), IdempotencyError<E>> {
        match validation {
            Some(_) if self.validation.as_deref() != validation => Err(IdempotencyError::Validation),
            _ => Ok(()),
        }
    }

    /// The response in JSON; Python omits it for `None`.
    pub(super) fn response(&self) -> String {
        self.data.clone().filter(|data| !data.is_empty()).unwrap_or_else(|| "null".into())
    }

    fn from_item<E>(item: &HashMap<String, AttributeValue>) -> Result<Self, IdempotencyError<E>> {
        // Other programs can write fractions. Comparisons are with whole numbers, so only the whole part matters.
        let number = |name| Some(item.get(name)?.as_n().ok()?.parse::<f64>().ok()?.floor() as u64);
        let text = |name| item.get(name)?.as_s().ok().cloned();
        Ok(Self {
            status: match text("status").as_deref() {
                Some(IN_PROGRESS) => Status::InProgress,
                Some(COMPLETED) => Status::Completed,
                _ => return Err(IdempotencyError::InvalidRecord("its status is neither INPROGRESS nor COMPLETED")),
            },
            expiration: number("expiration").ok_or(IdempotencyError::InvalidRecord("it has no expiration"))?,
            in_progress_expiration: number("in_progress_expiration"),
            attempt: text("attempt"),
            data: match item.get("data") {
                None | Some(AttributeValue::Null(_)) => None,
                Some(AttributeValue::S(data)) => Some(data.clone()),
                Some(_) => return Err(IdempotencyError::InvalidRecord("its data is not a string")),
            },
            validation: text("validation"),
        })
    }
}

pub(super) enum Put {
    Saved,
    /// The existing record, if DynamoDB returned it.
    Exists(Option<Record>),
}

#[derive(Clone, Debug)]
pub(super) struct Store {
    client: Client,
    table: String,
    pub(super) composite_key: Option<(String, String)>,
}

impl Store {
    pub(super) fn new(client: Client, table: String) -> Self {
        Self { client, table, composite_key: None }
    }

    fn key(&self, id: &str) -> HashMap<String, AttributeValue> {
        match &self.composite_key {
            None => HashMap::from([("id".into(), text(id))]),
            Some((static_pk_value, sort_key_attr)) => {
                HashMap::from([("id".into(), text(static_pk_value)), (sort_key_attr.clone(), text(id))])
            }
        }
    }

    /// Saves the record of a new call, unless there is one that is neither expired nor timed out.
    pub(super) async fn put<E>(&self, id: &str, record: &Record) -> Result<Put, IdempotencyError<E>> {
        let now = milliseconds_since_1970();
        let mut item = self.key(id);
        item.insert("expiration".into(), number(record.expiration));
        item.insert("status".into(), text(record.status.as_str()));
        item.extend(record.in_progress_expiration.map(|value| ("in_progress_expiration".into(), number(value))));
        item.extend(record.attempt.as_deref().map(|value| ("attempt".into(), text(value))));
        item.extend(record.validation.as_deref().map(|value| ("validation".into(), text(value))));
        let result = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item))
            .condition_expression(
                "attribute_not_exists(#id) OR #expiry < :now OR (#status = :inprogress \
                 AND attribute_exists(#in_progress_expiry) AND #in_progress_expiry < :now_in_millis)",
            )
            .expression_attribute_names("#id", "id")
            .expression_attribute_names("#expiry", "expiration")
            .expression_attribute_names("#in_progress_expiry", "in_progress_expiration")
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":now", number(now / 1000))
            .expression_attribute_values(":now_in_millis", number(now))
            .expression_attribute_values(":inprogress", text(IN_PROGRESS))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        match result {
            Ok(_) => Ok(Put::Saved),
            Err(error) => match error.as_service_error() {
                Some(PutItemError::ConditionalCheckFailedException(failed)) => {
                    let existing = failed.item().map(Record::from_item).transpose()?;
                    match existing {
                        // The first answer was lost, and the SDK has retried.
                        Some(existing) if record.attempt.is_some() && existing.attempt == record.attempt => {
                            Ok(Put::Saved)
                        }
                        existing => Ok(Put::Exists(existing)),
                    }
                }
                _ => Err(unavailable("saved as in progress", "dynamodb:PutItem", error)),
            },
        }
    }

    /// Completes the record.
    pub(super) async fn update<E>(&self, id: &str, record: &Record) -> Result<(), IdempotencyError<E>> {
        let mut update = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(self.key(id)))
            .expression_attribute_names("#attempt", "attempt")
            .expression_attribute_names("#response_data", "data")
            .expression_attribute_names("#expiry", "expiration")
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":response_data", text(&record.response()))
            .expression_attribute_values(":expiry", number(record.expiration))
            .expression_attribute_values(":status", text(record.status.as_str()));
        let mut expression = "SET #response_data = :response_data, #expiry = :expiry, #status = :status".to_owned();
        if let Some(validation) = &record.validation {
            expression.push_str(", #validation_key = :validation_key");
            update = update
                .expression_attribute_names("#validation_key", "validation")
                .expression_attribute_values(":validation_key", text(validation));
        }
        expression.push_str(" REMOVE #attempt");
        let result = update.update_expression(expression).send().await;
        result.map(drop).map_err(|error| unavailable("completed", "dynamodb:UpdateItem", error))
    }

    /// Deletes the record if it still belongs to the failed attempt. Another attempt can own it after the in-progress time, or
    /// when the SDK retries a deletion whose answer was lost.
    pub(super) async fn delete<E>(&self, id: &str, attempt: &str) -> Result<(), IdempotencyError<E>> {
        let result = self
            .client
            .delete_item()
            .table_name(&self.table)
            .set_key(Some(self.key(id)))
            .condition_expression("#attempt = :attempt")
            .expression_attribute_names("#attempt", "attempt")
            .expression_attribute_values(":attempt", text(attempt))
            .send()
            .await;
        match result {
            Ok(_) => Ok(()),
            Err(error)
                if error.as_service_error().is_some_and(DeleteItemError::is_conditional_check_failed_exception) =>
            {
                Ok(())
            }
            Err(error) => Err(unavailable("deleted", "dynamodb:DeleteItem", error)),
        }
    }
}

fn number(value: u64) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

fn unavailable<E, S>(action: &'static str, operation: &'static str, error: SdkError<S>) -> IdempotencyError<E>
where
    SdkError<S>: Into<aws_sdk_dynamodb::Error> + ProvideErrorMetadata,
{
    let code = error.code().unwrap_or("no answer").to_owned();
    IdempotencyError::PersistenceLayer { action, operation, code, source: Box::new(error.into()) }
}
