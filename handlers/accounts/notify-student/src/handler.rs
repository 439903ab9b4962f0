//! The last step of the workflow: announces the account on the event bus, then marks it as finished.

use accounts::{EVENT_SOURCE, student_key};
use aws_sdk_dynamodb::types::AttributeValue;
use aws_services::{EventBus, Unavailable};
use lambda_runtime::LambdaEvent;
use powertools::tracer;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tracing::info;

/// The event bus and the table of accounts.
#[derive(Debug)]
pub struct Announcer {
    pub dynamodb: aws_sdk_dynamodb::Client,
    pub event_bus: EventBus,
    pub table: String,
}

/// The student to notify.
#[derive(Debug, Deserialize, Serialize)]
pub struct Student {
    pub student_id: String,
}

/// Puts the event, then marks the account as finished. If it is interrupted in between, a retry puts the event again:
/// whoever receives it recognises the repetition.
pub async fn handle(announcer: &Announcer, event: LambdaEvent<Student>) -> Result<Student, Unavailable> {
    let student = event.payload;
    let detail = json!({ "student_id": student.student_id }).to_string();
    announcer.event_bus.put(EVENT_SOURCE, "AccountCreated", detail, event.context.xray_trace_id).await?;
    announcer.finish(&student.student_id).await?;
    info!(student_id = student.student_id, "account announced");
    tracer::annotate("student_id", student.student_id.clone());
    tracer::annotate("outcome", "ANNOUNCED");
    Ok(student)
}

impl Announcer {
    async fn finish(&self, student_id: &str) -> Result<(), Unavailable> {
        self.dynamodb
            .update_item()
            .table_name(&self.table)
            .key("account_key", AttributeValue::S(student_key(student_id)))
            .update_expression("REMOVE unfinished")
            .condition_expression("attribute_exists(account_key)")
            .send()
            .await
            .map_err(|error| Unavailable::from_sdk("DynamoDB", &error))?;
        Ok(())
    }
}
