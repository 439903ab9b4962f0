//! Brings the directory's schema up to date, for CloudFormation.

use std::sync::Arc;

use aws_config::BehaviorVersion;
use lambda_runtime::tower::Layer;
use lambda_runtime::{Error, service_fn};
use migrate_directory::handler::{self, MigrateDirectory};
use powertools::parameters::Parameters;
use powertools::{Powertools, environment_variable};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let powertools = Powertools::init()?;
    let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let migrate_directory = Arc::new(MigrateDirectory {
        parameters: Parameters::new(&config),
        secret: environment_variable("MASTER_SECRET_ARN")?,
        host: environment_variable("DATABASE_HOST")?,
        port: environment_variable("DATABASE_PORT")?,
        database: environment_variable("DATABASE_NAME")?,
        tls: directory::client_config()?,
    });
    let handler = service_fn(async |event| handler::handle(&migrate_directory, event).await);
    lambda_runtime::run(powertools.layer(handler)).await
}
