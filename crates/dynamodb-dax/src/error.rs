//! What can go wrong.

use std::net::SocketAddr;
use std::time::Duration;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_dynamodb::types::CancellationReason;

use crate::wire::cbor::Malformed;
use crate::wire::value::Invalid;

/// Why a request failed. No text has a value of an item, or a credential.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The client's settings contradict each other or are incomplete.
    #[error("the DAX client is not set up: {0}")]
    Configuration(String),
    /// The credentials provider failed.
    #[error("no credentials to authorise a DAX connection with")]
    Credentials(#[from] CredentialsError),
    /// The request is not valid, or not possible through DAX. It was not sent.
    #[error("the request is not valid: {0}")]
    Invalid(String),
    /// The name of the endpoint could not be resolved.
    #[error("the DAX endpoint {host} cannot be resolved: check the name and the VPC's DNS settings")]
    Unresolved {
        /// The name.
        host: String,
        /// The cause.
        source: std::io::Error,
    },
    /// A node could not be connected to. Nothing was sent.
    #[error("no connection to the DAX node {node}: check the endpoint and the security groups")]
    Unreachable {
        /// The node's address.
        node: SocketAddr,
        /// The cause.
        source: std::io::Error,
    },
    /// TLS failed: the certificate is for another name, or the port is not a TLS port. Nothing was sent.
    #[error(
        "no TLS with the DAX node {node}: daxs:// needs a cluster with encryption, and a certificate for the endpoint's name"
    )]
    Tls {
        /// The node's address.
        node: SocketAddr,
        /// The cause.
        source: std::io::Error,
    },
    /// The connection ended before the answer was complete. A write may have been applied or not.
    #[error("the connection to the DAX node {node} ended before the answer")]
    Interrupted {
        /// The node's address.
        node: SocketAddr,
        /// The cause.
        source: std::io::Error,
    },
    /// The answer is not one of DAX.
    #[error("the DAX node {node} sent an answer that is not understood")]
    Malformed {
        /// The node's address.
        node: SocketAddr,
        /// The cause.
        source: Malformed,
    },
    /// The cluster has no node.
    #[error("the DAX cluster names no node")]
    NoNodes,
    /// The request took longer than it may. If it was waiting for the answer, a write may have been applied.
    #[error("DAX: no success within {limit:?}, while {doing}")]
    Timeout {
        /// What the client was waiting for.
        doing: &'static str,
        /// The time that the request had.
        limit: Duration,
    },
    /// An earlier attempt of this write had no answer. It may have been applied, so the write is not sent again.
    #[error("an earlier attempt of this write may have been applied: it is not sent again")]
    Unanswered,
    /// DAX did not answer a moment ago, and was not tried again.
    #[error("no node answered a moment ago")]
    Avoided,
    /// DAX did not answer a read, and neither did DynamoDB.
    #[error("DAX did not answer ({dax}), and neither did DynamoDB")]
    Fallback {
        /// Why DAX did not.
        dax: Box<Error>,
        /// Why DynamoDB did not.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// DAX or DynamoDB refused the request.
    #[error(transparent)]
    Service(#[from] Box<ServiceError>),
}

impl Error {
    /// DAX did not answer, or cannot at present; DynamoDB may.
    pub(crate) fn is_outage(&self) -> bool {
        match self {
            Self::Service(refused) => refused.is_transient(),
            Self::Unresolved { .. }
            | Self::Unreachable { .. }
            | Self::Tls { .. }
            | Self::Interrupted { .. }
            | Self::Malformed { .. }
            | Self::NoNodes
            | Self::Timeout { .. } => true,
            Self::Configuration(_)
            | Self::Credentials(_)
            | Self::Invalid(_)
            | Self::Unanswered
            | Self::Avoided
            | Self::Fallback { .. } => false,
        }
    }
}

/// DAX or DynamoDB refused the request.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{code}: {message}")]
#[non_exhaustive]
pub struct ServiceError {
    /// The code, as DynamoDB's: `ConditionalCheckFailedException`.
    pub code: String,
    /// The text that came with it.
    pub message: String,
    /// The id of the request to DynamoDB, if there was one.
    pub request_id: Option<String>,
    /// The HTTP status that DynamoDB gives such an error.
    pub status: u16,
    /// DAX's own codes. The first is 1 if a retry may succeed, 2 if the cluster has to recover first, 3 if a retry is pointless, 4 if the request is at fault.
    pub dax_codes: Vec<i64>,
    /// Why a transaction was cancelled: one reason for each of its items. Else empty.
    pub cancellation_reasons: Vec<CancellationReason>,
}

impl ServiceError {
    /// The connection is not authorised.
    pub(crate) fn is_authorization(&self) -> bool {
        matches!(self.dax_codes[..], [_, 23, 31, ..])
    }

    /// Another node, or the same one later, may succeed.
    pub(crate) fn is_transient(&self) -> bool {
        matches!(self.dax_codes.first(), Some(1 | 2))
    }
}

/// DynamoDB's code for DAX's codes, for errors that come without.
pub(crate) fn code(codes: &[i64]) -> &'static str {
    match codes {
        [_, 23, 24, ..] => "ResourceNotFoundException",
        [_, 23, 35, ..] => "ResourceInUseException",
        [_, 23, 31, ..] => "UnrecognizedClientException",
        [_, 37, _, 39, code, ..] => match code {
            40 => "ProvisionedThroughputExceededException",
            41 => "ResourceNotFoundException",
            43 => "ConditionalCheckFailedException",
            45 => "ResourceInUseException",
            46 => "ValidationException",
            48 => "ItemCollectionSizeLimitExceededException",
            49 => "LimitExceededException",
            50 => "ThrottlingException",
            57 => "TransactionConflictException",
            58 => "TransactionCanceledException",
            59 => "TransactionInProgressException",
            60 => "IdempotentParameterMismatchException",
            61 => "RequestLimitExceeded",
            _ => "InternalServerError",
        },
        [_, 37, _, 42, ..] => "AccessDeniedException",
        [_, 37, _, 44, ..] => "ValidationException",
        _ => "InternalServerError",
    }
}

impl From<Invalid> for Error {
    fn from(invalid: Invalid) -> Self {
        Self::Invalid(invalid.0)
    }
}
