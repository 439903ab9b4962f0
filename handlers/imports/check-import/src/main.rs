//! Checks whether a registrar's file can be imported, and writes its rows as JSON Lines.

use aws_config::BehaviorVersion;
use check_import::handler::{self, Imports};
use lambda_runtime::tower::Layer;
use lambda_runtime::{Error, service_fn};
use powertools::{Powertools, environment_variable};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let powertools = Powertools::init()?;
    let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let imports = Imports { s3: aws_services::s3(&config), bucket: environment_variable("IMPORTS_BUCKET")? };
    lambda_runtime::run(powertools.layer(service_fn(async |event| handler::handle(&imports, event).await))).await
}
