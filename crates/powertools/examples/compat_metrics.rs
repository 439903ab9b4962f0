//! Makes the calls of its event, so that the blobs can be compared with those of Powertools for Python.

use lambda_runtime::tower::Layer;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use powertools::Powertools;
use powertools::metrics::{Metrics, Unit};
use serde::Deserialize;
use serde_json::{Map, Value};

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Call {
    Metric { name: String, unit: String, value: f64, high: bool },
    Dimension { name: String, value: String },
    Set(Map<String, Value>),
    Metadata { name: String, value: Value },
    Fail,
    Panic,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let powertools = Powertools::builder().default_dimension("stage", "test").capture_cold_start_metric().init()?;
    let metrics = powertools.metrics();
    lambda_runtime::run(powertools.layer(service_fn(async |event| handle(&metrics, event).await))).await
}

async fn handle(metrics: &Metrics, event: LambdaEvent<Vec<Call>>) -> Result<(), Error> {
    for call in event.payload {
        match call {
            Call::Metric { name, unit, value, high: false } => metrics.add(name, unit_of(&unit), value),
            Call::Metric { name, unit, value, high: true } => {
                metrics.add_high_resolution(name, unit_of(&unit), value);
            }
            Call::Dimension { name, value } => metrics.add_dimension(name, value),
            Call::Set(set) => {
                metrics.add_dimension_set(set.iter().map(|(name, value)| (name, value.as_str().unwrap_or_default())));
            }
            Call::Metadata { name, value } => metrics.add_metadata(name, value),
            Call::Fail => return Err("this can be".into()),
            Call::Panic => panic!("this should not be"),
        }
    }
    Ok(())
}

fn unit_of(name: &str) -> Unit {
    match name {
        "Count" => Unit::Count,
        "Bytes/Second" => Unit::BytesPerSecond,
        _ => Unit::None,
    }
}
