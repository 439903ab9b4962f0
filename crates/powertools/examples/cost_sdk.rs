//! Makes the DynamoDB calls of the idempotency utility without the utility: `make bench` measures the SDK's part of its
//! cost.

use aws_config::BehaviorVersion;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::{Value, json};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let dynamodb = Client::new(&aws_config::load_defaults(BehaviorVersion::latest()).await);
    lambda_runtime::run(service_fn(async |event| take(&dynamodb, event).await)).await
}

async fn take(dynamodb: &Client, event: LambdaEvent<Value>) -> Result<Value, Error> {
    let id = AttributeValue::S(event.payload["id"].to_string());
    let put = dynamodb.put_item().table_name("idempotency").item("id", id.clone());
    put.condition_expression("attribute_not_exists(id)").send().await?;
    let update = dynamodb.update_item().table_name("idempotency").key("id", id).update_expression("SET done = :done");
    update.expression_attribute_values(":done", AttributeValue::Bool(true)).send().await?;
    Ok(json!({ "batchItemFailures": [] }))
}
