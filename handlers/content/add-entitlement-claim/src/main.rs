//! Adds to a student's ID token until when the student has paid.

use std::convert::Infallible;

use add_entitlement_claim::handler;
use aws_config::BehaviorVersion;
use entitlements::Entitlements;
use lambda_runtime::tower::Layer;
use lambda_runtime::{Error, service_fn};
use powertools::{Powertools, environment_variable};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let powertools = Powertools::init()?;
    let config = aws_config::defaults(BehaviorVersion::latest()).timeout_config(handler::timeouts()).load().await;
    let entitlements = Entitlements {
        dynamodb: aws_sdk_dynamodb::Client::new(&config),
        table: environment_variable("ENTITLEMENTS_TABLE")?,
    };
    let metrics = powertools.metrics();
    let service = service_fn(async |event| Ok::<_, Infallible>(handler::handle(&entitlements, &metrics, event).await));
    lambda_runtime::run(powertools.layer(service)).await
}
