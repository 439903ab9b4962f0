//! Handles the orders of a queue with the utilities whose features are on: `make bench` measures the cost of each.

#[cfg(any(feature = "logger", feature = "metrics", feature = "tracer"))]
use lambda_runtime::tower::Layer;
use lambda_runtime::{Diagnostic, Error, LambdaEvent, service_fn};
use serde::Deserialize;
use serde_json::{Value, json};
use tracing::{info, instrument};

#[cfg(feature = "batch")]
type Record = powertools::batch::Record;
#[cfg(not(feature = "batch"))]
type Record = Message;

#[derive(Deserialize)]
struct Event {
    id: String,
    #[serde(rename = "Records")]
    records: Vec<Record>,
}

#[derive(Deserialize)]
struct Message {
    body: String,
}

#[derive(Deserialize)]
struct Order {
    items: u32,
}

struct Shop {
    #[cfg(feature = "idempotency")]
    idempotency: powertools::idempotency::Idempotency,
    #[cfg(feature = "metrics")]
    metrics: powertools::metrics::Metrics,
    #[cfg(feature = "parameters-ssm")]
    parameters: powertools::parameters::Parameters,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    #[cfg(any(feature = "logger", feature = "metrics", feature = "tracer"))]
    let powertools = powertools::Powertools::init()?;
    #[cfg(any(feature = "idempotency", feature = "parameters-ssm"))]
    let config = aws_config::load_defaults(aws_config::BehaviorVersion::latest()).await;
    let shop = Shop {
        #[cfg(feature = "idempotency")]
        idempotency: powertools::idempotency::Idempotency::new(aws_sdk_dynamodb::Client::new(&config), "idempotency"),
        #[cfg(feature = "metrics")]
        metrics: powertools.metrics(),
        #[cfg(feature = "parameters-ssm")]
        parameters: powertools::parameters::Parameters::new(&config),
    };
    let handler = service_fn(async |event| take(&shop, event).await);
    #[cfg(any(feature = "logger", feature = "metrics", feature = "tracer"))]
    let handler = powertools.layer(handler);
    lambda_runtime::run(handler).await
}

async fn take(shop: &Shop, event: LambdaEvent<Event>) -> Result<Value, Diagnostic> {
    let Event { id, records } = event.payload;
    #[cfg(feature = "logger")]
    powertools::logger::append_keys([("batch_id", id.clone())]);
    #[cfg(feature = "tracer")]
    powertools::tracer::annotate("batch_id", id.clone());
    #[cfg(feature = "metrics")]
    {
        shop.metrics.add_dimension("country", "AT");
        shop.metrics.add("Batches", powertools::metrics::Unit::Count, 1.0);
        shop.metrics.add("Orders", powertools::metrics::Unit::Count, records.len() as f64);
    }
    #[cfg(feature = "parameters-ssm")]
    let limit: usize = shop.parameters.get_parameter("/shop/limit").json().await.map_err(Error::from)?;
    #[cfg(not(feature = "parameters-ssm"))]
    let limit = 100;
    info!(orders = records.len(), limit, "orders taken");

    #[cfg(feature = "idempotency")]
    let answer = shop.idempotency.run(&id, &event.context, async || deliver_all(&records).await).await?;
    #[cfg(not(feature = "idempotency"))]
    let answer = deliver_all(&records).await?;
    let _ = (shop, id);
    Ok(answer)
}

#[cfg(feature = "batch")]
#[instrument(skip_all)]
async fn deliver_all(records: &[Record]) -> Result<Value, Error> {
    let deliver = async |record: &Record| deliver(&record.parse()?);
    Ok(json!(powertools::batch::BatchProcessor::sqs().process(records, deliver).await?))
}

#[cfg(not(feature = "batch"))]
#[instrument(skip_all)]
async fn deliver_all(records: &[Record]) -> Result<Value, Error> {
    records.iter().try_for_each(deliver)?;
    Ok(json!({ "batchItemFailures": [] }))
}

fn deliver(message: &Message) -> Result<(), Error> {
    let order: Order = serde_json::from_str(&message.body)?;
    if order.items == 0 { Err("an order has to have items".into()) } else { Ok(()) }
}
