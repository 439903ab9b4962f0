//! Finds out where the database and the cache are, and who is calling; the crate `directory` does the rest.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_credential_types::provider::SharedCredentialsProvider;
use axum::Router;
use axum::response::Response;
use directory::{CACHE_HIT, CACHE_MISS, CACHE_STATUS, Caller, Directory, Settings};
use lambda_http::request::RequestContext;
use lambda_http::tower::ServiceExt;
use lambda_http::{Request, RequestExt};
use powertools::metrics::{Metrics, Unit};
use powertools::parameters::{Parameters, ParametersError};
use tokio_rustls::rustls::ClientConfig;
use tracing::error;

/// One request at a time, and none reads and writes: so a connection to each instance.
const CONNECTIONS: usize = 1;

/// Until when the last settings are used if they can't be read: the database seldom moves.
const STALE_SETTINGS: Duration = Duration::from_secs(3600);

/// What outlives an invocation.
#[derive(Debug)]
pub struct ServeDirectory {
    pub parameters: Parameters,
    pub settings_parameter: String,
    pub credentials: SharedCredentialsProvider,
    pub tls: Arc<ClientConfig>,
    pub metrics: Metrics,
    /// The routes, with the settings that they were made for.
    pub current: Mutex<Option<(Settings, Router)>>,
}

/// Answers a request of the HTTP API.
pub async fn handle(serve_directory: &ServeDirectory, mut request: Request) -> Response {
    let caller = caller(&request);
    let routes = match serve_directory.routes().await {
        Ok(routes) => routes,
        Err(error) => {
            error!(%error, "the settings can't be read");
            return directory::try_again(&caller.request_id);
        }
    };
    request.extensions_mut().insert(caller);
    let response = match routes.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    serve_directory.count(&response);
    response
}

impl ServeDirectory {
    /// New ones if the settings have changed.
    async fn routes(&self) -> Result<Router, ParametersError> {
        let request = self.parameters.get_parameter(&self.settings_parameter).stale_if_error(STALE_SETTINGS);
        let settings: Settings = request.json().await?;
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, routes)) = &*current
            && *known == settings
        {
            return Ok(routes.clone());
        }
        let directory = Directory::new(&settings, &self.credentials, &self.tls, CONNECTIONS, directory::WRITER);
        let routes = directory::service(directory::reads().merge(directory::writes()), Arc::new(directory));
        *current = Some((settings, routes.clone()));
        Ok(routes)
    }

    /// Counts what the cache did, for the dashboard and alarms.
    fn count(&self, response: &Response) {
        match response.headers().get(CACHE_STATUS) {
            None => {}
            Some(status) if status == CACHE_HIT => self.metrics.add("CacheHits", Unit::Count, 1.0),
            Some(status) if status == CACHE_MISS => self.metrics.add("CacheMisses", Unit::Count, 1.0),
            Some(_) => self.metrics.add("CacheFailures", Unit::Count, 1.0),
        }
    }
}

/// From what API Gateway verified. It writes a claim that is a list as `[staff advisors]`.
fn caller(request: &Request) -> Caller {
    let Some(RequestContext::ApiGatewayV2(context)) = request.request_context_ref() else {
        return Caller { request_id: String::new(), groups: None };
    };
    let token = context.authorizer.as_ref().and_then(|authorizer| authorizer.jwt.as_ref());
    let groups = token.map(|token| {
        let groups = token.claims.get("cognito:groups").map_or("", String::as_str);
        let groups = groups.strip_prefix('[').and_then(|groups| groups.strip_suffix(']')).unwrap_or(groups);
        groups.split_whitespace().map(ToOwned::to_owned).collect()
    });
    Caller { request_id: context.request_id.clone().unwrap_or_default(), groups }
}
