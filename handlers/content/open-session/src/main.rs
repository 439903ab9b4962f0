//! Gives a student who has paid the cookies that open the course material.

use std::convert::Infallible;

use aws_config::BehaviorVersion;
use entitlements::Entitlements;
use lambda_http::{Adapter, service_fn};
use lambda_runtime::Error;
use lambda_runtime::tower::Layer;
use open_session::handler::{self, OpenSession};
use open_session::signer::CookieSigner;
use powertools::parameters::Parameters;
use powertools::{Powertools, environment_variable};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let powertools = Powertools::init()?;
    let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let signer = match environment_variable::<String>("ACCESS")?.as_str() {
        "cookies" => Some(CookieSigner {
            kms: aws_sdk_kms::Client::new(&config),
            parameters: Parameters::new(&config),
            settings_parameter: environment_variable("SETTINGS_PARAMETER")?,
            metrics: powertools.metrics(),
        }),
        "edge" => None,
        other => return Err(format!("ACCESS is {other:?}: set it to cookies or edge").into()),
    };
    let open_session = OpenSession {
        entitlements: Entitlements {
            dynamodb: aws_sdk_dynamodb::Client::new(&config),
            table: environment_variable("ENTITLEMENTS_TABLE")?,
        },
        signer,
        metrics: powertools.metrics(),
    };
    let service = service_fn(async |request| Ok::<_, Infallible>(handler::handle(&open_session, request).await));
    lambda_runtime::run(powertools.layer(Adapter::from(service))).await
}
