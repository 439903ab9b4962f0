//! Announces the payments that Stripe reports to the school.

use std::convert::Infallible;

use aws_config::BehaviorVersion;
use aws_services::EventBus;
use lambda_http::{Adapter, service_fn};
use lambda_runtime::Error;
use lambda_runtime::tower::Layer;
use powertools::parameters::Parameters;
use powertools::{Powertools, environment_variable};
use receive_stripe_event::handler::{self, StripeEvents};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let powertools = Powertools::init()?;
    let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let stripe_events = StripeEvents {
        event_bus: EventBus {
            client: aws_sdk_eventbridge::Client::new(&config),
            name: environment_variable("SCHOOL_EVENTS")?,
        },
        parameters: Parameters::new(&config),
        secret: environment_variable("STRIPE_SECRET_ARN")?,
        metrics: powertools.metrics(),
    };
    let service = service_fn(async |request| Ok::<_, Infallible>(handler::handle(&stripe_events, request).await));
    lambda_runtime::run(powertools.layer(Adapter::from(service))).await
}
