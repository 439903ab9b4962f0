use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::display::DisplayErrorContext;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use lambda_runtime::Diagnostic;
use thiserror::Error;

/// A service did not do what it was asked, and may do it when it is asked again.
///
/// Step Functions sees it as the error `Unavailable`, which the workflows retry. The message has no personal data: of a
/// service's own messages, which can quote what they were sent, it keeps the code.
#[derive(Debug, Error)]
#[error("{service}: {reason}")]
pub struct Unavailable {
    service: &'static str,
    reason: String,
}

impl Unavailable {
    /// For a reason that the service gave otherwise than as an error.
    pub fn new(service: &'static str, reason: impl Into<String>) -> Self {
        Self { service, reason: reason.into() }
    }

    /// For an error of the SDK.
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
