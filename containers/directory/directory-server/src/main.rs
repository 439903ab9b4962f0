//! Serves the directory's reads over HTTP, in a container.

use std::env;
use std::error::Error;
use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;

use aws_config::BehaviorVersion;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::get;
use directory::{Caller, Directory, Settings};
use powertools::{InvalidVariable, Powertools, environment_variable};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tracing::info;
use uuid::Uuid;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    Powertools::init()?;
    let settings: Settings = serde_json::from_str(&environment_variable::<String>("SETTINGS")?)?;
    let connections = variable("CONNECTIONS", 5)?;
    let port = variable("PORT", 8080_u16)?;
    let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let credentials = config.credentials_provider().ok_or("no AWS credentials are configured")?;
    let tls = directory::client_config()?;
    let directory = Directory::new(&settings, &credentials, &tls, connections, directory::READER);
    let directory = Arc::new(directory);

    let routes = directory::service(directory::reads(), directory.clone()).layer(from_fn(identify));
    let checks = Router::new().route("/health", get(())).route("/ready", get(ready)).with_state(directory);
    let mut terminate = signal(SignalKind::terminate())?;
    let listener = TcpListener::bind(("0.0.0.0", port)).await?;
    info!(port, "listening");
    axum::serve(listener, checks.fallback_service(routes))
        .with_graceful_shutdown(async move {
            terminate.recv().await;
            info!("finishing the requests in progress");
        })
        .await?;
    Ok(())
}

/// A number in the environment, or else this one.
fn variable<T: FromStr<Err: Display>>(name: &str, default: T) -> Result<T, InvalidVariable> {
    if env::var_os(name).is_some() { environment_variable(name) } else { Ok(default) }
}

async fn ready(State(directory): State<Arc<Directory>>) -> StatusCode {
    if directory.is_ready().await { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

/// The load balancer adds a trace id to each request; without one, an error can be found by an id of ours.
async fn identify(mut request: Request, next: Next) -> Response {
    let trace = request.headers().get("x-amzn-trace-id").and_then(|value| value.to_str().ok());
    let request_id = trace.map_or_else(|| Uuid::new_v4().to_string(), ToOwned::to_owned);
    request.extensions_mut().insert(Caller { request_id, groups: None });
    next.run(request).await
}
