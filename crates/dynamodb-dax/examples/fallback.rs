//! Reads a partition through DAX page by page, and from DynamoDB while DAX does not answer:
//! `DAX_ENDPOINT=daxs://… cargo run --example fallback -- TABLE KEY VALUE`.

use std::error::Error;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [table, key, value] = &arguments[..] else { return Err("usage: fallback TABLE KEY VALUE".into()) };
    let config = aws_config::load_defaults(aws_config::BehaviorVersion::latest()).await;
    let region = config.region().ok_or("no region: set AWS_REGION")?.to_string();
    let credentials = config.credentials_provider().ok_or("no credentials")?;
    let dax = dynamodb_dax::Client::builder(std::env::var("DAX_ENDPOINT")?, region, credentials)
        .timeout(Duration::from_secs(2))
        .fallback(aws_sdk_dynamodb::Client::new(&config))
        .build()?;
    let dynamodb = dax.dynamodb_client(&aws_sdk_dynamodb::Config::from(&config));

    let query = dynamodb.query().table_name(table).key_condition_expression("#key = :value");
    let query = query.expression_attribute_names("#key", key);
    let query = query.expression_attribute_values(":value", AttributeValue::S(value.clone()));
    let mut items = query.into_paginator().items().send();
    while let Some(item) = items.try_next().await? {
        println!("{item:?}");
    }
    Ok(())
}
