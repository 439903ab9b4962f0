use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::display::DisplayErrorContext;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use lambda_runtime::Diagnostic;
use thiserror::Error;

/// A transient failure of a service; retrying may succeed.
///
/// Step Functions sees it as the error `Unavailable`, which the workflows retry. The message has no personal data: it
/// has the code of the service's error, not the service's message, which can quote the request.
#[derive(Debug, Error)]
#[error("{service}: {reason}")]
pub struct Unavailable {
    service: &'static str,
    reason: String,
}

impl Unavailable {
    /// From a reason that the service did not return as an error of the SDK.
    pub fn new(service: &'static str, reason: impl Into<String>) -> Self {
        Self { service, reason: reason.into() }
    }

    /// From an error of the SDK.
    pub fn from_sdk<E, R>(service: &'static str, error: &SdkError<E, R>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
        R: std::fmt::Debug,
    {
        let reason = match error.as_service_error() {
            Some(error) => error.code().unwrap_or("an error without a code").to_owned(),
            None => DisplayErrorContext(error).to_string(),
        };
        Self { service, reason }
    }
}

impl From<Unavailable> for Diagnostic {
    fn from(unavailable: Unavailable) -> Self {
        Diagnostic { error_type: "Unavailable".into(), error_message: unavailable.to_string() }
    }
}
