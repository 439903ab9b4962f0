//! Signs CloudFront's cookies with a key that never leaves KMS.

use std::time::Duration;

use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::{MessageType, SigningAlgorithmSpec};
use aws_services::Unavailable;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use chrono::{DateTime, Utc};
use powertools::metrics::{Metrics, Unit};
use powertools::parameters::{Parameters, ParametersError};
use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;

/// The cookies of a custom policy:
/// <https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/private-content-setting-signed-cookie-custom-policy.html>
pub const SIGNED_COOKIES: [&str; 4] =
    ["CloudFront-Policy", "CloudFront-Signature", "CloudFront-Key-Pair-Id", "CloudFront-Hash-Algorithm"];

/// Until when the last settings are used if they can't be read. So long, and for the time of the extension's own cache, can
/// a key sign that the stack has replaced.
const STALE_SETTINGS: Duration = Duration::from_secs(900);

const SECONDS_PER_DAY: f64 = 86_400.0;

/// Signs with the key that the stack's settings name.
#[derive(Debug)]
pub struct CookieSigner {
    pub kms: aws_sdk_kms::Client,
    pub parameters: Parameters,
    pub settings_parameter: String,
    pub metrics: Metrics,
}

/// Why nothing was signed.
#[derive(Debug, Error)]
pub enum SigningError {
    #[error(transparent)]
    Settings(#[from] ParametersError),
    #[error(transparent)]
    Kms(#[from] Unavailable),
}

/// The value of the parameter that the stack writes.
#[derive(Deserialize)]
struct Settings {
    /// The URL that the cookies open; `*` stands for any text.
    resource: String,
    /// CloudFront's id of the public key.
    public_key_id: String,
    /// The ARN of the key in KMS.
    signing_key: String,
    /// One with SHA-256, because CloudFront is told so.
    signing_algorithm: String,
    signing_key_created_at: DateTime<Utc>,
}

impl CookieSigner {
    /// The values of [`SIGNED_COOKIES`], which open the material until `expires_at`, a Unix time in seconds.
    ///
    /// # Errors
    /// The settings can't be read, or KMS does not sign. The metric `SigningFailures` counts them.
    pub async fn sign(&self, expires_at: i64) -> Result<[String; 4], SigningError> {
        self.signed(expires_at).await.inspect_err(|_| self.metrics.add("SigningFailures", Unit::Count, 1.0))
    }

    async fn signed(&self, expires_at: i64) -> Result<[String; 4], SigningError> {
        let request = self.parameters.get_parameter(&self.settings_parameter).stale_if_error(STALE_SETTINGS);
        let settings: Settings = request.json().await?;
        let policy = policy(&settings.resource, expires_at);
        let output = self
            .kms
            .sign()
            .key_id(settings.signing_key)
            .message(Blob::new(policy.as_bytes()))
            .message_type(MessageType::Raw)
            .signing_algorithm(SigningAlgorithmSpec::from(settings.signing_algorithm.as_str()))
            .send()
            .await
            .map_err(|error| Unavailable::from_sdk("KMS", &error))?;
        let signature = output.signature().ok_or_else(|| Unavailable::new("KMS", "an answer without a signature"))?;
        let age = Utc::now() - settings.signing_key_created_at;
        self.metrics.add("SigningKeyAge", Unit::Count, age.as_seconds_f64() / SECONDS_PER_DAY);
        Ok([encoded(policy.as_bytes()), encoded(signature.as_ref()), settings.public_key_id, "SHA256".into()])
    }
}

/// A custom policy as `@aws-sdk/cloudfront-signer` spells it: without spaces, and `Resource` first.
fn policy(resource: &str, expires_at: i64) -> String {
    let resource = Value::from(resource);
    format!(
        r#"{{"Statement":[{{"Resource":{resource},"Condition":{{"DateLessThan":{{"AWS:EpochTime":{expires_at}}}}}}}]}}"#
    )
}

/// Base64 in CloudFront's alphabet.
fn encoded(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(bytes).replace('+', "-").replace('=', "_").replace('/', "~")
}
