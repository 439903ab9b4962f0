//! Records until when a student has paid, from the school's payment events.

use aws_config::BehaviorVersion;
use entitlements::Entitlements;
use lambda_runtime::tower::Layer;
use lambda_runtime::{Error, service_fn};
use powertools::{Powertools, environment_variable};
use record_entitlement::handler;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let powertools = Powertools::init()?;
    let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let entitlements = Entitlements {
        dynamodb: aws_sdk_dynamodb::Client::new(&config),
        table: environment_variable("ENTITLEMENTS_TABLE")?,
    };
    lambda_runtime::run(powertools.layer(service_fn(async |event| handler::handle(&entitlements, event).await))).await
}
