//! Looks up orders, in a trace that continues in DynamoDB.

use aws_config::BehaviorVersion;
use aws_sdk_dynamodb::config::Builder;
use aws_sdk_dynamodb::types::AttributeValue;
use lambda_runtime::tower::Layer;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use powertools::Powertools;
use powertools::tracer::{self, TraceHeader};
use serde::Deserialize;
use tracing::instrument;

#[derive(Deserialize)]
struct Search {
    order_id: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let powertools = Powertools::init()?;
    let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
    // Without the interceptor, DynamoDB would continue the trace below the function instead of the call.
    let dynamodb = aws_sdk_dynamodb::Client::from_conf(Builder::from(&config).interceptor(TraceHeader).build());
    lambda_runtime::run(powertools.layer(service_fn(async |event| handle(&dynamodb, event).await))).await
}

async fn handle(dynamodb: &aws_sdk_dynamodb::Client, event: LambdaEvent<Search>) -> Result<bool, Error> {
    let order_id = event.payload.order_id;
    tracer::annotate("order_id", order_id.clone());
    find(dynamodb, &order_id).await
}

/// A span below the invocation's. Arguments would be recorded in it, so they are skipped.
#[instrument(skip_all, err)]
async fn find(dynamodb: &aws_sdk_dynamodb::Client, order_id: &str) -> Result<bool, Error> {
    let key = AttributeValue::S(order_id.into());
    let found = dynamodb.get_item().table_name("orders").key("id", key).send().await?.item.is_some();
    tracer::put_metadata("found", found);
    Ok(found)
}
