//! Writes every change of the appointments table's stream to the archive.

use archive_appointments::handler::{self, Archive};
use aws_config::BehaviorVersion;
use lambda_runtime::tower::Layer;
use lambda_runtime::{Error, service_fn};
use powertools::{Powertools, environment_variable};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let powertools = Powertools::init()?;
    let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let archive = Archive {
        s3: aws_services::s3(&config),
        bucket: environment_variable("ARCHIVE_BUCKET")?,
        metrics: powertools.metrics(),
    };
    lambda_runtime::run(powertools.layer(service_fn(async |event| handler::handle(&archive, event).await))).await
}
