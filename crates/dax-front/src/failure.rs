//! Errors, as the protocol writes them.

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::RequestId;
use aws_sdk_dynamodb::types::CancellationReason;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use dynamodb_dax::wire::cbor::{Encoder, Malformed};

/// The codes of DynamoDB's errors.
const CODES: [(&str, &[i64]); 14] = [
    ("ProvisionedThroughputExceededException", &[4, 37, 38, 39, 40]),
    ("ResourceNotFoundException", &[4, 37, 38, 39, 41]),
    ("ConditionalCheckFailedException", &[4, 37, 38, 39, 43]),
    ("ResourceInUseException", &[4, 37, 38, 39, 45]),
    ("ValidationException", &[4, 37, 38, 39, 46]),
    ("InternalServerError", &[1, 37, 38, 39, 47]),
    ("ItemCollectionSizeLimitExceededException", &[4, 37, 38, 39, 48]),
    ("LimitExceededException", &[4, 37, 38, 39, 49]),
    ("ThrottlingException", &[4, 37, 38, 39, 50]),
    ("TransactionConflictException", &[4, 37, 38, 39, 57]),
    ("TransactionCanceledException", &[4, 37, 38, 39, 58]),
    ("TransactionInProgressException", &[4, 37, 38, 39, 59]),
    ("IdempotentParameterMismatchException", &[4, 37, 38, 39, 60]),
    ("RequestLimitExceeded", &[4, 37, 38, 39, 61]),
];

/// A request was refused.
#[derive(Debug)]
pub(crate) struct Failure(Box<Parts>);

#[derive(Debug)]
struct Parts {
    codes: Vec<i64>,
    message: String,
    request_id: Option<String>,
    code: String,
    status: u16,
    /// Why a transaction was cancelled: code, message and attributes, encoded.
    reasons: Option<Vec<u8>>,
}

impl Failure {
    fn new(code: &str, message: impl Into<String>, status: u16) -> Self {
        let known = CODES.iter().find(|(known, _)| *known == code);
        let class = if status >= 500 { 1 } else { 4 };
        let codes = match code {
            "AccessDeniedException" => vec![4, 37, 38, 42],
            _ => known.map_or_else(|| vec![class, 37, 38, 39], |(_, codes)| codes.to_vec()),
        };
        let (message, code) = (message.into(), code.to_owned());
        Self(Box::new(Parts { codes, message, request_id: None, code, status, reasons: None }))
    }

    /// The request makes no sense.
    pub(crate) fn validation(message: impl Into<String>) -> Self {
        Self::new("ValidationException", message, 400)
    }

    /// The server is at fault.
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new("InternalServerError", message, 500)
    }

    /// There are too many requests.
    pub(crate) fn throttled() -> Self {
        Self::new("ThrottlingException", "There are too many requests", 400)
    }

    /// The caller lacks a permission.
    pub(crate) fn forbidden(message: impl Into<String>) -> Self {
        let mut failure = Self::new("AccessDeniedException", message, 400);
        failure.0.codes = vec![4, 23, 31, 32];
        failure
    }

    /// The connection is not authorised, or no longer.
    pub(crate) fn unauthorized(message: &str) -> Self {
        let mut failure = Self::new("MissingAuthenticationTokenException", message, 400);
        failure.0.codes = vec![4, 23, 31, 33];
        failure
    }

    /// The signature is not the one of this key.
    pub(crate) fn wrong_signature(message: &str) -> Self {
        let mut failure = Self::new("UnrecognizedClientException", message, 400);
        failure.0.codes = vec![4, 23, 31, 34];
        failure
    }

    /// Adds the reasons of a cancelled transaction, whose items `encode` encodes.
    pub(crate) fn with_reasons(
        mut self,
        reasons: &[CancellationReason],
        mut encode: impl FnMut(usize, &CancellationReason, &mut Encoder) -> Result<(), Self>,
    ) -> Result<Self, Self> {
        let mut encoder = Encoder::default();
        encoder.array(reasons.len() * 3);
        for (at, reason) in reasons.iter().enumerate() {
            for text in [reason.code(), reason.message()] {
                match text {
                    Some(text) => encoder.text(text),
                    None => encoder.null(),
                }
            }
            encode(at, reason, &mut encoder)?;
        }
        self.0.reasons = Some(encoder.buffer);
        Ok(self)
    }

    /// The response.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut encoder = Encoder::default();
        encoder.array(self.0.codes.len());
        self.0.codes.iter().for_each(|code| encoder.int(*code));
        encoder.text(&self.0.message);
        encoder.array(if self.0.reasons.is_some() { 4 } else { 3 });
        match &self.0.request_id {
            Some(id) => encoder.text(id),
            None => encoder.null(),
        }
        encoder.text(&self.0.code);
        encoder.int(i64::from(self.0.status));
        if let Some(reasons) = &self.0.reasons {
            encoder.raw(reasons);
        }
        encoder.buffer
    }
}

impl From<Malformed> for Failure {
    fn from(malformed: Malformed) -> Self {
        Self::validation(malformed.to_string())
    }
}

impl From<dynamodb_dax::wire::value::Invalid> for Failure {
    fn from(invalid: dynamodb_dax::wire::value::Invalid) -> Self {
        Self::validation(invalid.to_string())
    }
}

impl From<aws_sdk_dynamodb::error::BuildError> for Failure {
    fn from(error: aws_sdk_dynamodb::error::BuildError) -> Self {
        Self::validation(error.to_string())
    }
}

impl<E: ProvideErrorMetadata> From<SdkError<E, HttpResponse>> for Failure {
    fn from(error: SdkError<E, HttpResponse>) -> Self {
        let status = error.raw_response().map_or(500, |response| response.status().as_u16());
        let Some(service) = error.as_service_error() else {
            return Self::internal("DynamoDB did not answer");
        };
        let metadata = service.meta();
        let mut failure =
            Self::new(metadata.code().unwrap_or("InternalServerError"), metadata.message().unwrap_or(""), status);
        failure.0.request_id = metadata.request_id().map(str::to_owned);
        failure
    }
}
