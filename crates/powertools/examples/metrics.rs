//! Counts orders. The variables `POWERTOOLS_METRICS_NAMESPACE` and `POWERTOOLS_SERVICE_NAME` set the namespace and the
//! service.

use std::time::Instant;

use lambda_runtime::tower::Layer;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use powertools::Powertools;
use powertools::metrics::{Metrics, Unit};
use serde::Deserialize;

#[derive(Deserialize)]
struct Order {
    id: String,
    country: String,
    items: u32,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let powertools = Powertools::builder().capture_cold_start_metric().init()?;
    let metrics = powertools.metrics();
    lambda_runtime::run(powertools.layer(service_fn(async |event| take(&metrics, event).await))).await
}

async fn take(metrics: &Metrics, event: LambdaEvent<Order>) -> Result<(), Error> {
    let begin = Instant::now();
    let order = event.payload;
    metrics.add_dimension("country", order.country);
    // Not a metric; only in the logs.
    metrics.add_metadata("order_id", order.id);
    metrics.add("Orders", Unit::Count, 1.0);
    metrics.add("Items", Unit::Count, order.items.into());
    metrics.add_high_resolution("Duration", Unit::Milliseconds, begin.elapsed().as_secs_f64() * 1000.0);
    // Written when the handler ends, even by an error or a panic.
    Ok(())
}
