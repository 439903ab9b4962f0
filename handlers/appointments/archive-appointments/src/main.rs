//! Writes every change of the table's stream to the archive.

#[cfg(test)]
mod tests;

use appointments::TABLE;
use archive::{Archive, stream};
use aws_config::BehaviorVersion;
use lambda_runtime::tower::Layer;
use lambda_runtime::{Error, Runtime, service_fn};
use powertools::batch::Unparsed;
use powertools::{Powertools, environment_variable};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let powertools = Powertools::init()?;
    let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let archive =
        Archive { table: &TABLE, s3: aws_services::s3(&config), bucket: environment_variable("ARCHIVE_BUCKET")? };
    let metrics = powertools.metrics();
    let service = service_fn(async |event| stream::handle(&archive, &metrics, event).await);
    Runtime::new(powertools.layer(service)).layer(Unparsed).run().await
}
