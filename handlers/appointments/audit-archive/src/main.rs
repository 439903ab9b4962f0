//! Enters every archive object into the ledger.

use audit_archive::handler::{self, Ledger};
use aws_config::BehaviorVersion;
use lambda_runtime::tower::Layer;
use lambda_runtime::{Error, service_fn};
use powertools::{Powertools, environment_variable};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let powertools = Powertools::init()?;
    let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let ledger = Ledger {
        dynamodb: aws_sdk_dynamodb::Client::new(&config),
        s3: aws_services::s3(&config),
        bucket: environment_variable("ARCHIVE_BUCKET")?,
        table: environment_variable("LEDGER_TABLE")?,
    };
    lambda_runtime::run(powertools.layer(service_fn(async |event| handler::handle(&ledger, event).await))).await
}
