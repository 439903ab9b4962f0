//! Writes the results of an import, one for each row of a registrar's file.

use aws_config::BehaviorVersion;
use lambda_runtime::tower::Layer;
use lambda_runtime::{Error, service_fn};
use powertools::{Powertools, environment_variable};
use report_import::handler::{self, Imports};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let powertools = Powertools::init()?;
    let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let imports = Imports { s3: aws_services::s3(&config), bucket: environment_variable("IMPORTS_BUCKET")? };
    lambda_runtime::run(powertools.layer(service_fn(async |event| handler::handle(&imports, event).await))).await
}
