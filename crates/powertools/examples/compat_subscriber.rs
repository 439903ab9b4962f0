//! Has its own subscriber and panic hook, which must work with every feature of powertools.

use std::panic;

use lambda_runtime::tower::Layer;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use powertools::Powertools;
use powertools::metrics::{Metrics, Unit};
use tracing::{Event, Subscriber, info};
use tracing_subscriber::layer::{Context, SubscriberExt};

/// Prints each event.
struct Own;

impl<S: Subscriber> tracing_subscriber::Layer<S> for Own {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        println!("own event of {}", event.metadata().target());
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    panic::set_hook(Box::new(|_| println!("own hook")));
    let (powertools, layer) = Powertools::builder().build();
    let subscriber = tracing_subscriber::registry().with(layer).with(Own);
    tracing::subscriber::set_global_default(subscriber)?;
    let metrics = powertools.metrics();
    lambda_runtime::run(powertools.layer(service_fn(async |event| handle(&metrics, event).await))).await
}

async fn handle(metrics: &Metrics, event: LambdaEvent<String>) -> Result<(), Error> {
    metrics.add("Orders", Unit::Count, 1.0);
    info!("taken");
    match event.payload.as_str() {
        "init" => Ok(Powertools::init().map(drop)?),
        "panic" => panic!("this should not be"),
        _ => Ok(()),
    }
}
