//! Prices an order with a limit from Parameter Store, a key from Secrets Manager and feature flags from AppConfig.

use std::time::Duration;

use aws_config::BehaviorVersion;
use lambda_runtime::tower::Layer;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use powertools::Powertools;
use powertools::parameters::Parameters;
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
struct Order {
    items: u32,
    /// The seal was made with an old or a future key.
    #[serde(default)]
    key_changed: bool,
}

#[derive(Deserialize)]
struct Flags {
    discount: bool,
}

#[derive(Serialize)]
struct Offer {
    price: u32,
    seal: usize,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let powertools = Powertools::init()?;
    let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let parameters = Parameters::new(&config);
    lambda_runtime::run(powertools.layer(service_fn(async |event| offer(&parameters, event).await))).await
}

async fn offer(parameters: &Parameters, event: LambdaEvent<Order>) -> Result<Offer, Error> {
    let order = event.payload;
    // A limit of up to an hour ago is better than no offer.
    let limit: u32 = parameters.get_parameter("/shop/limit").stale_if_error(Duration::from_secs(3600)).json().await?;
    if order.items > limit {
        return Err(format!("no more than {limit} items").into());
    }
    let flags: Flags = parameters.get_app_config("shop", "test", "flags").json().await?;
    let key = parameters.get_secret("shop/key");
    let key = if order.key_changed { key.force_fetch().await? } else { key.await? };
    let price = order.items * if flags.discount { 9 } else { 10 };
    Ok(Offer { price, seal: key.len() })
}
