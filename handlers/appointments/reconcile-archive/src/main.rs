//! Compares the table with the archive, and archives again what is missing.

use archive_appointments::handler::Archive;
use audit_archive::handler::Ledger;
use aws_config::BehaviorVersion;
use lambda_runtime::tower::Layer;
use lambda_runtime::{Error, service_fn};
use powertools::{Powertools, environment_variable};
use reconcile_archive::handler::{self, Reconciliation};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let powertools = Powertools::init()?;
    let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let (s3, bucket) = (aws_services::s3(&config), environment_variable::<String>("ARCHIVE_BUCKET")?);
    let reconciliation = Reconciliation {
        archive: Archive { s3: s3.clone(), bucket: bucket.clone(), metrics: powertools.metrics() },
        ledger: Ledger {
            dynamodb: aws_sdk_dynamodb::Client::new(&config),
            s3,
            bucket,
            table: environment_variable("LEDGER_TABLE")?,
        },
        table: environment_variable("APPOINTMENTS_TABLE")?,
    };
    lambda_runtime::run(powertools.layer(service_fn(async |event| handler::handle(&reconciliation, event).await))).await
}
