//! The newest payment event of a student decides, in whatever order the events come.

use std::ops::RangeInclusive;

use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_services::Unavailable;
use chrono::{DateTime, Datelike, SecondsFormat, Utc};
use entitlements::Entitlements;
use lambda_runtime::LambdaEvent;
use powertools::tracer;
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use tracing::info;

/// Years whose times sort as texts, and fit the archive.
const YEARS: RangeInclusive<i32> = 1900..=9999;

/// Of two events of the same millisecond, the one with the later `paid_until` counts, so that their order doesn't matter.
const IS_NEWER: &str = "attribute_not_exists(student_id) OR occurred_at < :occurred_at \
    OR (occurred_at = :occurred_at AND paid_until < :paid_until)";

/// An event of the source `registrar.payments` on the school's bus.
#[derive(Debug, Deserialize)]
#[serde(tag = "detail-type", content = "detail")]
pub enum PaymentEvent {
    PaymentRecorded {
        student_id: String,
        paid_until: DateTime<Utc>,
        #[serde(deserialize_with = "sortable_time")]
        occurred_at: DateTime<Utc>,
    },
    /// From then on, nothing is paid any more.
    PaymentLapsed {
        student_id: String,
        #[serde(deserialize_with = "sortable_time")]
        occurred_at: DateTime<Utc>,
    },
}

fn sortable_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<DateTime<Utc>, D::Error> {
    let time = DateTime::<Utc>::deserialize(deserializer)?;
    if YEARS.contains(&time.year()) { Ok(time) } else { Err(Error::custom("a time outside the years 1900 to 9999")) }
}

/// Writes what the event says, unless the table has a newer event.
///
/// Lambda retries a failed event, and finally sends it to the failure destination.
pub async fn handle(entitlements: &Entitlements, event: LambdaEvent<PaymentEvent>) -> Result<(), Unavailable> {
    let (student_id, paid_until, occurred_at) = match event.payload {
        PaymentEvent::PaymentRecorded { student_id, paid_until, occurred_at } => (student_id, paid_until, occurred_at),
        PaymentEvent::PaymentLapsed { student_id, occurred_at } => (student_id, occurred_at, occurred_at),
    };
    let paid_until = AttributeValue::N(paid_until.timestamp().to_string());
    let occurred_at = AttributeValue::S(occurred_at.to_rfc3339_opts(SecondsFormat::Millis, true));
    let result = entitlements
        .dynamodb
        .put_item()
        .table_name(&entitlements.table)
        .item("student_id", AttributeValue::S(student_id.clone()))
        .item("paid_until", paid_until.clone())
        .item("occurred_at", occurred_at.clone())
        .condition_expression(IS_NEWER)
        .expression_attribute_values(":paid_until", paid_until)
        .expression_attribute_values(":occurred_at", occurred_at)
        .send()
        .await;
    let outcome = match result {
        Ok(_) => "RECORDED",
        Err(error) if error.as_service_error().is_some_and(PutItemError::is_conditional_check_failed_exception) => {
            "OUTDATED"
        }
        Err(error) => return Err(Unavailable::from_sdk("DynamoDB", &error)),
    };
    info!(student_id, outcome, "payment event handled");
    tracer::annotate("student_id", student_id);
    tracer::annotate("outcome", outcome);
    Ok(())
}
