//! The last step of the workflow: once the event bus has the event, the account is finished.

use accounts::student_key;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use lambda_runtime::LambdaEvent;
use powertools::tracer;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tracing::info;
use workflow::Unavailable;

/// Where events go, and where accounts are.
#[derive(Debug)]
pub struct Announcer {
    pub dynamodb: aws_sdk_dynamodb::Client,
    pub eventbridge: aws_sdk_eventbridge::Client,
    pub event_bus: String,
    pub table: String,
}

/// The student to notify.
#[derive(Debug, Deserialize, Serialize)]
pub struct Student {
    pub student_id: String,
}

/// Puts the event, then finishes the account. Cut short in between, the event is put again: send-notification knows whom
/// it has told.
pub async fn handle(announcer: &Announcer, event: LambdaEvent<Student>) -> Result<Student, Unavailable> {
    let student = event.payload;
    announcer.put_event(&student.student_id, event.context.xray_trace_id).await?;
    announcer.finish(&student.student_id).await?;
    info!(student_id = student.student_id, "account announced");
    tracer::annotate("student_id", student.student_id.clone());
    tracer::annotate("outcome", "ANNOUNCED");
    Ok(student)
}

impl Announcer {
    async fn put_event(&self, student_id: &str, trace_header: Option<String>) -> Result<(), Unavailable> {
        let entry = PutEventsRequestEntry::builder()
            .event_bus_name(&self.event_bus)
            .source("registrar.accounts")
            .detail_type("AccountCreated")
            .detail(json!({ "student_id": student_id }).to_string())
            .set_trace_header(trace_header)
            .build();
        let output = self
            .eventbridge
            .put_events()
            .entries(entry)
            .send()
            .await
            .map_err(|error| Unavailable::from_sdk("EventBridge", &error))?;
        // A request that succeeds can hold entries that did not.
        if output.failed_entry_count() > 0 {
            let code = output.entries().first().and_then(|entry| entry.error_code()).unwrap_or("no error code");
            return Err(Unavailable::new("EventBridge", code));
        }
        Ok(())
    }

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
