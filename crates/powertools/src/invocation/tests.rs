use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use lambda_runtime::tower::Layer;
use lambda_runtime::{Config, Error, service_fn};
use serde_json::{Value, json};
use tracing::subscriber::DefaultGuard;
use tracing::{Instrument, info};

use super::*;
use crate::logger;
use crate::metrics::Unit;
use crate::output;

fn powertools(builder: Builder) -> (Powertools, DefaultGuard) {
    let (powertools, layer) = builder.build();
    (powertools, tracing::subscriber::set_default(Registry::default().with(layer)))
}

fn event(request: &str) -> LambdaEvent<String> {
    let mut context = Context::default();
    context.request_id = request.into();
    context.env_config = Arc::new(Config { function_name: "example".into(), ..Config::default() });
    LambdaEvent::new(request.into(), context)
}

/// The written lines, without the warning about the namespace.
fn take_lines() -> Vec<Value> {
    let mut lines = output::tests::take_lines();
    lines.retain(|line| line["level"] != "WARN");
    lines
}

fn is_blob(line: &Value) -> bool {
    line.get("_aws").is_some()
}

#[tokio::test]
async fn concurrent_invocations_have_separate_keys_and_metrics() {
    let (powertools, _guard) = powertools(Powertools::builder().capture_cold_start_metric());
    let metrics = powertools.metrics();
    let handler = powertools.layer(service_fn(|event: LambdaEvent<String>| {
        let metrics = metrics.clone();
        async move {
            let request = event.payload;
            logger::append_keys([("order", request.clone())]);
            metrics.add_dimension("order", request.clone());
            tokio::task::yield_now().await;
            metrics.add("Orders", Unit::Count, 1.0);
            logger::set_correlation_id(&request);
            // A spawned task with the span belongs to the invocation.
            let task = async { info!("from a task") }.in_current_span();
            tokio::spawn(task).await.expect("it doesn't panic");
            tokio::time::sleep(Duration::from_millis(1)).await;
            info!("from the handler");
            Ok::<_, Error>(())
        }
    }));
    join_all((0..50).map(|request| {
        let mut handler = handler.clone();
        async move { handler.call(event(&request.to_string())).await.expect("it succeeds") }
    }))
    .await;

    let (blobs, lines): (Vec<_>, Vec<_>) = take_lines().into_iter().partition(is_blob);
    assert_eq!(lines.len(), 100);
    for line in lines {
        assert_eq!(line["order"], line["function_request_id"], "{line}");
        assert_eq!(line["correlation_id"], line["function_request_id"], "{line}");
    }
    let (cold_starts, blobs): (Vec<_>, Vec<_>) = blobs.into_iter().partition(|blob| blob.get("ColdStart").is_some());
    assert_eq!(cold_starts.len(), 1, "{cold_starts:?}");
    let mut orders: Vec<u32> = blobs
        .iter()
        .map(|blob| blob["order"].as_str().and_then(|order| order.parse().ok()).expect("a number"))
        .collect();
    orders.sort_unstable();
    assert_eq!(orders, (0..50).collect::<Vec<_>>());
    assert!(blobs.iter().all(|blob| blob["Orders"] == json!([1.0])), "{blobs:?}");
}

#[tokio::test]
async fn nothing_survives_its_invocation() {
    let (powertools, _guard) = powertools(Powertools::builder());
    let metrics = powertools.metrics();
    let mut handler = powertools.layer(service_fn(|event: LambdaEvent<String>| {
        let metrics = metrics.clone();
        async move {
            if event.payload == "first" {
                logger::append_keys([("order", "4711")]);
                logger::set_correlation_id("4711");
                metrics.add_dimension("order", "4711");
                metrics.add_metadata("note", "4711");
            }
            info!("here");
            metrics.add("Orders", Unit::Count, 1.0);
            Ok::<_, Error>(())
        }
    }));
    for request in ["first", "second"] {
        handler.call(event(request)).await.expect("it succeeds");
    }
    let lines = take_lines();
    let [first, _, second, second_blob] = lines.as_slice() else { panic!("{lines:?}") };
    assert_eq!((&first["cold_start"], &second["cold_start"]), (&json!(true), &json!(false)));
    assert_eq!(first["order"], "4711");
    assert!(!second.to_string().contains("4711") && !second_blob.to_string().contains("4711"), "{lines:?}");
}

#[tokio::test]
async fn collected_data_is_written_however_the_invocation_ends() {
    let (powertools, _guard) = powertools(Powertools::builder());
    let metrics = powertools.metrics();
    let handler = powertools.layer(service_fn(|event: LambdaEvent<String>| {
        let metrics = metrics.clone();
        metrics.add("Calls", Unit::Count, 1.0);
        assert_ne!(event.payload, "panics in the call");
        async move {
            metrics.add("Polls", Unit::Count, 1.0);
            tokio::task::yield_now().await;
            match event.payload.as_str() {
                "fails" => Err(Error::from("of no use")),
                "panics" => panic!("of no use"),
                "never ends" => std::future::pending().await,
                _ => Ok(()),
            }
        }
    }));
    let count = |name: &str| {
        let lines = take_lines();
        let blobs: Vec<_> = lines.iter().filter(|line| is_blob(line)).collect();
        assert_eq!(blobs.len(), 1, "{lines:?}");
        assert_eq!(blobs[0][name], json!([1.0]), "{lines:?}");
        lines.into_iter().find(|line| !is_blob(line))
    };

    let call = |request: &str| handler.clone().call(event(request));
    assert!(call("succeeds").await.is_ok());
    assert_eq!(count("Polls"), None);

    assert_eq!(call("fails").await.expect_err("it fails").error_message, "of no use");
    let line = count("Polls").expect("the error is logged");
    assert_eq!((&line["level"], &line["exception"]), (&json!("ERROR"), &json!("of no use")));

    let mut panicked = Box::pin(std::panic::AssertUnwindSafe(call("panics")).catch_unwind());
    assert!(panicked.as_mut().await.is_err());
    // The future still exists, as it does while the runtime answers.
    count("Polls");
    drop(panicked);
    assert!(take_lines().is_empty());

    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| call("panics in the call"))).is_err());
    count("Calls");

    assert!(tokio::time::timeout(Duration::from_millis(5), call("never ends")).await.is_err());
    count("Polls");
}

#[tokio::test]
async fn metrics_from_a_task_without_the_span_are_not_lost() {
    let (powertools, _guard) = powertools(Powertools::builder());
    let metrics = powertools.metrics();
    let mut handler = powertools.layer(service_fn(|_: LambdaEvent<String>| {
        let metrics = metrics.clone();
        async move {
            metrics.add_dimension("order", "4711");
            Ok::<_, Error>(tokio::spawn(async move { metrics.add("Orders", Unit::Count, 1.0) }).await?)
        }
    }));
    handler.call(event("request")).await.expect("it succeeds");
    let lines = take_lines();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(lines[0]["Orders"], json!([1.0]));
    assert_eq!(lines[0].get("order"), None);
}
