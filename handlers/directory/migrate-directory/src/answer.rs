//! The answer to CloudFormation, which waits for it for an hour:
//! <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref-responses.html>

use std::time::Duration;

use aws_smithy_http_client::Connector;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::HttpConnector;
use aws_smithy_runtime_api::http::Request;
use aws_smithy_types::body::SdkBody;
use serde::Serialize;
use thiserror::Error;
use tracing::warn;

const ATTEMPTS: u32 = 3;

/// The outcome of a request of CloudFormation.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Answer {
    pub status: Status,
    /// What the stack's events show.
    pub reason: String,
    /// Always the same: another id would make CloudFormation delete the old resource.
    pub physical_resource_id: &'static str,
    pub stack_id: String,
    pub request_id: String,
    pub logical_resource_id: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Status {
    Success,
    Failed,
}

/// CloudFormation did not get the answer.
#[derive(Debug, Error)]
#[error("the answer could not be sent to CloudFormation: {0}")]
pub struct NotSent(String);

impl Answer {
    /// Puts the answer at the URL that the request has, which is signed for a request without a content type.
    pub async fn send(&self, url: &str) -> Result<(), NotSent> {
        let body = serde_json::to_string(self).expect("texts can be serialised");
        let connector = Connector::builder().tls_provider(Provider::Rustls(CryptoMode::AwsLc)).build();
        let mut attempt = 1;
        loop {
            let mut request = Request::new(SdkBody::from(body.as_str()));
            request.set_method("PUT").expect("it is a method");
            request.set_uri(url).map_err(|error| NotSent(error.to_string()))?;
            request.headers_mut().insert("content-type", "");
            request.headers_mut().insert("content-length", body.len().to_string());
            let problem = match connector.call(request).await {
                Ok(response) if response.status().is_success() => return Ok(()),
                Ok(response) => format!("status {}", response.status().as_u16()),
                // Its source would have the URL, with the signature.
                Err(error) if error.is_timeout() => "a time-out".to_owned(),
                Err(_) => "no connection".to_owned(),
            };
            if attempt == ATTEMPTS {
                return Err(NotSent(problem));
            }
            warn!(problem, attempt, "the answer could not be sent to CloudFormation");
            tokio::time::sleep(Duration::from_millis(200 << attempt)).await;
            attempt += 1;
        }
    }
}
