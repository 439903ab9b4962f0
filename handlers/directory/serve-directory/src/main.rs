//! Serves the directory's API.

use std::convert::Infallible;

use aws_config::BehaviorVersion;
use lambda_http::{Adapter, service_fn};
use lambda_runtime::Error;
use lambda_runtime::tower::Layer;
use powertools::parameters::Parameters;
use powertools::{Powertools, environment_variable};
use serve_directory::handler::{self, ServeDirectory};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let powertools = Powertools::init()?;
    let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let serve_directory = ServeDirectory {
        parameters: Parameters::new(&config),
        settings_parameter: environment_variable("SETTINGS_PARAMETER")?,
        credentials: config.credentials_provider().ok_or("no AWS credentials are configured")?,
        tls: directory::client_config()?,
        metrics: powertools.metrics(),
        current: Default::default(),
    };
    let service = service_fn(async |request| Ok::<_, Infallible>(handler::handle(&serve_directory, request).await));
    lambda_runtime::run(powertools.layer(Adapter::from(service))).await
}
