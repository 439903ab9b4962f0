//! Compares the table with the archive, and archives the changes that are missing.

use appointments::TABLE;
use archive::{Archive, Ledger};
use aws_config::BehaviorVersion;
use lambda_runtime::tower::Layer;
use lambda_runtime::{Error, service_fn};
use powertools::{Powertools, environment_variable};
use reconcile_archive::handler::{self, Reconciliation};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let powertools = Powertools::init()?;
    let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let archive =
        Archive { table: &TABLE, s3: aws_services::s3(&config), bucket: environment_variable("ARCHIVE_BUCKET")? };
    let reconciliation = Reconciliation {
        ledger: Ledger {
            archive,
            dynamodb: aws_sdk_dynamodb::Client::new(&config),
            name: environment_variable("LEDGER_TABLE")?,
        },
        metrics: powertools.metrics(),
        table: environment_variable("APPOINTMENTS_TABLE")?,
    };
    lambda_runtime::run(powertools.layer(service_fn(async |event| handler::handle(&reconciliation, event).await))).await
}
