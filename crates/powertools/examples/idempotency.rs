//! Charges an order once, however often the API gets the request.

use std::env;

use aws_config::BehaviorVersion;
use lambda_runtime::{Diagnostic, Error, LambdaEvent, service_fn};
use powertools::idempotency::{Idempotency, JmesPath};
use serde_json::value::RawValue;
use serde_json::{Value, json};

struct Shop {
    idempotency: Idempotency,
    order: JmesPath,
    body: JmesPath,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let dynamodb = aws_sdk_dynamodb::Client::new(&config);
    let shop = Shop {
        idempotency: Idempotency::new(dynamodb, env::var("IDEMPOTENCY_TABLE")?).raise_on_no_idempotency_key(),
        order: JmesPath::new("powertools_json(body).[customer, order]")?,
        body: JmesPath::new("powertools_json(body)")?,
    };
    lambda_runtime::run(service_fn(async |event| handle(&shop, event).await)).await
}

async fn handle(shop: &Shop, event: LambdaEvent<Box<RawValue>>) -> Result<Value, Diagnostic> {
    let key = shop.order.search(&event.payload)?;
    // The same customer and order with another amount is an error of the client.
    let call = shop.idempotency.for_key(&key).validate(&shop.body.search(&event.payload)?);
    Ok(call.run(&event.context, async || charge(&event.payload).await).await?)
}

async fn charge(_request: &RawValue) -> Result<Value, &'static str> {
    Ok(json!({"statusCode": 201, "body": "charged"}))
}
