//! Charges each order of a queue once.
use aws_lambda_events::sqs::SqsMessageObj;
use lambda_runtime::{Context, Error, LambdaEvent, service_fn, tower::Layer};
use powertools::batch::{BatchEvent, BatchProcessingError, BatchProcessor, BatchResponse, Record};
use powertools::metrics::{Metrics, Unit};
use powertools::{Powertools, idempotency::Idempotency, parameters::Parameters, tracer::TraceHeader};

struct Shop {
    metrics: Metrics,
    idempotency: Idempotency,
    parameters: Parameters,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let powertools = Powertools::init()?; // logger, metrics and tracer, configured by the environment
    let config = aws_config::load_defaults(aws_config::BehaviorVersion::latest()).await;
    let dynamodb = aws_sdk_dynamodb::config::Builder::from(&config).interceptor(TraceHeader).build();
    let idempotency = Idempotency::new(aws_sdk_dynamodb::Client::from_conf(dynamodb), "idempotency");
    let shop = Shop { metrics: powertools.metrics(), idempotency, parameters: Parameters::new(&config) };
    lambda_runtime::run(powertools.layer(service_fn(async |event| handle(&shop, event).await))).await
}

async fn handle(shop: &Shop, event: LambdaEvent<BatchEvent>) -> Result<BatchResponse, BatchProcessingError> {
    let handler = async |record| charge(shop, record, &event.context).await;
    BatchProcessor::sqs().concurrency(10).process(&event.payload.records, handler).await
}

#[tracing::instrument(skip_all)] // a span in the trace
async fn charge(shop: &Shop, record: &Record, context: &Context) -> Result<(), Error> {
    let order: serde_json::Value = record.parse::<SqsMessageObj<_>>()?.body;
    let price: u64 = shop.parameters.get_parameter("/shop/price").json().await?; // cached for 300 seconds
    let once = async || {
        tracing::info!(%order, price, "charged");
        shop.metrics.add("Revenue", Unit::None, price as f64);
        Ok::<_, Error>(())
    };
    Ok(shop.idempotency.run(&order["id"], context, once).await?)
}
