//! The Lambda extensions that cache parameters, secrets and configurations, on local ports.
//!
//! - <https://docs.aws.amazon.com/systems-manager/latest/userguide/ps-integration-lambda-extensions.html>
//! - <https://docs.aws.amazon.com/appconfig/latest/userguide/appconfig-integration-lambda-extensions.html>

use std::time::Duration;

#[cfg(feature = "parameters-secrets")]
use base64::Engine;
#[cfg(feature = "parameters-secrets")]
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
#[cfg(any(feature = "parameters-secrets", feature = "parameters-ssm"))]
use serde::Deserialize;
use tracing::{debug, warn};

use super::Source;
use crate::environment;

/// By default, the extensions wait for the services without a limit.
const TIMEOUT: Duration = Duration::from_secs(3);

/// The characters of a name that are not percent-encoded in a URL.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Both extensions, whether they are installed or not.
pub(super) struct Extensions {
    client: Client<HttpConnector, Empty<Bytes>>,
    /// The token that identifies this function to the extension.
    pub(super) token: Option<String>,
    #[cfg(any(feature = "parameters-secrets", feature = "parameters-ssm"))]
    pub(super) parameters_and_secrets_port: u16,
    #[cfg(feature = "parameters-appconfig")]
    pub(super) app_config_port: u16,
}

impl Extensions {
    pub(super) fn new(warnings: &mut Vec<String>) -> Self {
        Self {
            // A connection would hardly survive until the next invocation, and a new local one costs little.
            client: Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build_http(),
            token: environment::variable("AWS_SESSION_TOKEN"),
            #[cfg(any(feature = "parameters-secrets", feature = "parameters-ssm"))]
            parameters_and_secrets_port: port("PARAMETERS_SECRETS_EXTENSION_HTTP_PORT", 2773, warnings),
            #[cfg(feature = "parameters-appconfig")]
            app_config_port: port("AWS_APPCONFIG_EXTENSION_HTTP_PORT", 2772, warnings),
        }
    }

    /// The value from the extension.
    ///
    /// `None` if there is no extension (its port is closed; no variable shows whether it is installed), or if it returns an
    /// error, as it does while the function starts. Then the service is called, which returns the value or an error with
    /// the reason.
    pub(super) async fn get(&self, source: &Source) -> Option<Bytes> {
        let mut request = Request::get(self.address(source)?);
        if let Some(token) = &self.token {
            request = request.header("X-Aws-Parameters-Secrets-Token", token);
        }
        let request = match request.body(Empty::new()) {
            Ok(request) => request,
            Err(error) => {
                warn!(%error, "the extension can't be called for {source}; calling the service");
                return None;
            }
        };
        match tokio::time::timeout(TIMEOUT, self.send(request)).await {
            Ok(Ok(Some((200, body)))) => {
                let value = value(source, &body);
                if value.is_none() {
                    warn!("the extension's answer for {source} can't be parsed; calling the service");
                }
                value
            }
            // Its answer until the function's first invocation.
            Ok(Ok(Some((400, body)))) if contains(&body, b"not ready") => {
                debug!("the extension is not ready; calling the service for {source}");
                None
            }
            Ok(Ok(Some((status, _)))) => {
                warn!(status, "the extension refuses {source}; calling the service");
                None
            }
            Ok(Ok(None)) => None,
            Ok(Err(error)) => {
                warn!(%error, "the extension's answer for {source} was interrupted; calling the service");
                None
            }
            Err(_) => {
                warn!("the extension did not answer for {source} within {TIMEOUT:?}; calling the service");
                None
            }
        }
    }

    /// Status and body; `None` if the port is closed.
    async fn send(&self, request: Request<Empty<Bytes>>) -> Result<Option<(u16, Bytes)>, lambda_runtime::Error> {
        let response = match self.client.request(request).await {
            Ok(response) => response,
            Err(error) if error.is_connect() => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let status = response.status().as_u16();
        Ok(Some((status, response.into_body().collect().await?.to_bytes())))
    }

    /// `None` for sources that no extension supports.
    fn address(&self, source: &Source) -> Option<String> {
        let encoded = |name| utf8_percent_encode(name, RESERVED);
        let (port, path) = match source {
            #[cfg(feature = "parameters-ssm")]
            Source::Parameter { name, decrypt } => (
                self.parameters_and_secrets_port,
                format!("systemsmanager/parameters/get?name={}&withDecryption={decrypt}", encoded(name)),
            ),
            #[cfg(feature = "parameters-ssm")]
            Source::ParametersByPath { .. } | Source::ParametersByName { .. } => return None,
            #[cfg(feature = "parameters-secrets")]
            Source::Secret { name } => {
                (self.parameters_and_secrets_port, format!("secretsmanager/get?secretId={}", encoded(name)))
            }
            #[cfg(feature = "parameters-appconfig")]
            Source::AppConfig { application, environment, profile } => (
                self.app_config_port,
                format!(
                    "applications/{}/environments/{}/configurations/{}",
                    encoded(application),
                    encoded(environment),
                    encoded(profile)
                ),
            ),
        };
        Some(format!("http://127.0.0.1:{port}/{path}"))
    }
}

fn port(name: &str, default: u16, warnings: &mut Vec<String>) -> u16 {
    let Some(value) = environment::variable(name) else { return default };
    value.parse().unwrap_or_else(|_| {
        warnings.push(format!("{name} is {value:?}: set it to a port; using {default}"));
        default
    })
}

fn contains(body: &[u8], words: &[u8]) -> bool {
    body.windows(words.len()).any(|window| window == words)
}

/// The value in an extension's answer.
pub(super) fn value(source: &Source, body: &Bytes) -> Option<Bytes> {
    match source {
        #[cfg(feature = "parameters-ssm")]
        Source::Parameter { .. } => {
            let answer: GetParameter = serde_json::from_slice(body).ok()?;
            Some(answer.parameter.value.into())
        }
        #[cfg(feature = "parameters-ssm")]
        Source::ParametersByPath { .. } | Source::ParametersByName { .. } => None,
        #[cfg(feature = "parameters-secrets")]
        Source::Secret { .. } => {
            let answer: GetSecretValue = serde_json::from_slice(body).ok()?;
            match (answer.secret_string, answer.secret_binary) {
                (Some(text), _) => Some(text.into()),
                (None, Some(binary)) => BASE64_STANDARD.decode(binary).ok().map(Bytes::from),
                (None, None) => None,
            }
        }
        #[cfg(feature = "parameters-appconfig")]
        Source::AppConfig { .. } => Some(body.clone()),
    }
}

#[cfg(feature = "parameters-ssm")]
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GetParameter {
    parameter: Parameter,
}

#[cfg(feature = "parameters-ssm")]
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Parameter {
    value: String,
}

#[cfg(feature = "parameters-secrets")]
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GetSecretValue {
    secret_string: Option<String>,
    secret_binary: Option<String>,
}
