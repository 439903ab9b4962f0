//! Handles an order and logs: each line identifies the order, the request and the invocation.

use lambda_runtime::tower::Layer;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use powertools::{Powertools, logger};
use serde::Deserialize;
use tracing::{debug, info, warn};

#[derive(Deserialize)]
struct Order {
    id: String,
    email: String,
    items: u64,
    /// The other functions that handle this request log it, too.
    request: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    // The values of these fields are masked in the logs.
    let powertools = Powertools::builder().personal_fields(["email"]).init()?;
    lambda_runtime::run(powertools.layer(service_fn(take))).await
}

async fn take(event: LambdaEvent<Order>) -> Result<u64, Error> {
    let order = event.payload;
    logger::set_correlation_id(order.request);
    logger::append_keys([("order_id", order.id)]);

    // Written only if the level is DEBUG or this invocation is sampled.
    debug!(items = order.items, "order read");
    if order.items == 0 {
        warn!("nothing is ordered");
        return Err("an order has to have items".into());
    }
    let price = charge(order.items, &order.email).await;
    info!(price, "order taken");
    Ok(price)
}

/// Lines that are logged inside have the span's fields, too.
#[tracing::instrument]
async fn charge(items: u64, email: &str) -> u64 {
    info!("charging");
    items * 5
}
