//! Lists the times of an advisor that are taken.

use std::convert::Infallible;

use aws_config::BehaviorVersion;
use aws_sdk_dynamodb::Client;
use lambda_http::{Adapter, service_fn};
use lambda_runtime::Error;
use lambda_runtime::tower::Layer;
use list_advisor_times::cluster;
use list_advisor_times::handler::{self, ListAdvisorTimes};
use powertools::{Powertools, environment_variable};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let powertools = Powertools::init()?;
    let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let dynamodb = match std::env::var("DAX_ENDPOINT") {
        Ok(endpoint) => cluster::client(&endpoint, &config, powertools.metrics())?,
        Err(_) => Client::new(&config),
    };
    let list_advisor_times = ListAdvisorTimes { dynamodb, table: environment_variable("APPOINTMENTS_TABLE")? };
    let service = service_fn(async |request| Ok::<_, Infallible>(handler::handle(&list_advisor_times, request).await));
    lambda_runtime::run(powertools.layer(Adapter::from(service))).await
}
