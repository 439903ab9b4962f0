//! Reads an item through DAX with the SDK's own client: `DAX_ENDPOINT=daxs://… cargo run --example get_item -- TABLE KEY VALUE`.

use std::error::Error;

use aws_sdk_dynamodb::types::AttributeValue;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [table, key, value] = &arguments[..] else { return Err("usage: get_item TABLE KEY VALUE".into()) };
    let config = aws_config::load_defaults(aws_config::BehaviorVersion::latest()).await;
    let dynamodb = match std::env::var("DAX_ENDPOINT") {
        Ok(endpoint) => dynamodb_dax::dynamodb_client(&endpoint, &config)?,
        Err(_) => aws_sdk_dynamodb::Client::new(&config),
    };
    let output = dynamodb.get_item().table_name(table).key(key, AttributeValue::S(value.clone())).send().await?;
    println!("{:?}", output.item());
    Ok(())
}
