use std::time::{Duration, SystemTime};

use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, error::CredentialsError};
use aws_sigv4::http_request::{SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use thiserror::Error;

/// All but RFC 3986's unreserved characters is escaped in a presigned URL.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The time for which RDS and ElastiCache accept a token: 15 minutes.
///
/// <https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/UsingWithRDS.IAMDBAuth.html>
pub(crate) const TOKEN_LIFETIME: Duration = Duration::from_secs(900);

/// What IAM lets a token do: connect to a database, or to a cache, as a user.
#[derive(Clone, Debug)]
pub(crate) struct Connect {
    /// The name of the service in signatures: `rds-db` or `elasticache`.
    pub service: &'static str,
    pub region: String,
    /// What the token is for: the host and port of a database, or the name of a cache.
    pub authority: String,
    /// The rest of the query: the user, and for a serverless cache that it is one. Percent-encoded.
    pub query: String,
}

/// No token could be made.
#[derive(Debug, Error)]
pub(crate) enum TokenError {
    #[error("no AWS credentials to sign a token with")]
    Credentials(#[from] CredentialsError),
    #[error("a token could not be signed")]
    Sign(#[from] aws_sigv4::http_request::SigningError),
}

impl Connect {
    /// A token with which the credentials' role connects: a presigned URL without its scheme, as the SDKs make it.
    pub async fn token(&self, credentials: &SharedCredentialsProvider, now: SystemTime) -> Result<String, TokenError> {
        let identity = credentials.provide_credentials().await?.into();
        let mut settings = SigningSettings::default();
        settings.expires_in = Some(TOKEN_LIFETIME);
        settings.signature_location = SignatureLocation::QueryParams;
        let params = SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(self.service)
            .time(now)
            .settings(settings)
            .build()
            .expect("all parts are set")
            .into();
        let url = format!("{}/?Action=connect&{}", self.authority, self.query);
        let request_url = format!("https://{url}");
        let request = SignableRequest::new("GET", &request_url, std::iter::empty(), SignableBody::Bytes(&[]))?;
        let (instructions, _) = sign(request, &params)?.into_parts();
        let (signature, parameters): (Vec<_>, Vec<_>) =
            instructions.params().iter().partition(|(name, _)| *name == "X-Amz-Signature");
        // The signature is last, as in the tokens of the SDKs.
        Ok(parameters
            .into_iter()
            .chain(signature)
            .fold(url, |url, (name, value)| format!("{url}&{name}={}", utf8_percent_encode(value, RESERVED))))
    }
}
