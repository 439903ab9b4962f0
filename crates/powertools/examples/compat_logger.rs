//! Writes the lines that are compared with those of Powertools for Python.

use lambda_runtime::tower::Layer;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use powertools::{Powertools, logger};
use serde_json::{Value, json};
use tracing::{debug, error, info, info_span, trace, warn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let powertools = Powertools::builder().personal_fields(["email", "iban"]).init()?;
    lambda_runtime::run(powertools.layer(service_fn(handle))).await
}

async fn handle(event: LambdaEvent<Value>) -> Result<(), Error> {
    match event.payload["call"].as_str().unwrap_or_default() {
        "levels" => {
            trace!("a trace");
            debug!("a debug");
            info!("an info");
            warn!("a warning");
            error!("an error");
        }
        "fields" => {
            info!(text = "é\n\"", whole = 1, part = 1.5, yes = true, none = None::<u8>, "with fields");
            info!("{}", json!({ "a": { "b": [1, null] } }));
            info!(r#"{{"z":123456789012345678901234567890,"a":[1.25,1e3]}}"#);
            info!("[not JSON]");
        }
        "keys" => {
            info!("before");
            logger::set_correlation_id("correlation");
            logger::append_keys([("order", json!(1)), ("cart", json!({ "items": [1, 2] })), ("gone", json!("x"))]);
            logger::append_keys([("gone", Value::Null), ("order", json!(2))]);
            info!("after");
            info!(order = 3, "replaced");
        }
        "personal" => {
            let value = event.payload["value"].as_str().unwrap_or_default();
            let message = json!({ "body": json!({ "email": value }).to_string() }).to_string();
            logger::append_keys([("email", json!(value)), ("customer", json!([{ "IBAN": value }]))]);
            let span = info_span!("customer", iban = value, card = %json!({ "iban": value }));
            let _entered = span.entered();
            let cause = std::io::Error::other("no such customer");
            warn!(customer.email = value, half = &message[..message.len() - 1], "half of the message");
            warn!(email = value, body = message, error = &cause as &dyn std::error::Error, "{message}");
        }
        "panic" => panic!("this should not be"),
        _ => return Err("this can be".into()),
    }
    Ok(())
}
