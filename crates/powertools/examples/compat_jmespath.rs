//! Searches with the expressions of its event, for a comparison with Python.

use lambda_runtime::{Error, LambdaEvent, service_fn};
use powertools::idempotency::JmesPath;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

#[derive(Deserialize)]
struct Search {
    expression: String,
    /// JSON in a string, which nothing changes in transit.
    event: String,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    /// Why the expression is rejected.
    Refused(String),
    Failed(String),
    Found(String),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    lambda_runtime::run(service_fn(async |event: LambdaEvent<Vec<Search>>| {
        event.payload.into_iter().map(search).collect::<Result<Vec<_>, Error>>()
    }))
    .await
}

fn search(Search { expression, event }: Search) -> Result<Outcome, Error> {
    let path = match JmesPath::new(&expression) {
        Ok(path) => path,
        Err(error) => return Ok(Outcome::Refused(error.to_string())),
    };
    Ok(match path.search(&RawValue::from_string(event)?) {
        Ok(found) => Outcome::Found(found.get().into()),
        Err(error) => Outcome::Failed(error.to_string()),
    })
}
