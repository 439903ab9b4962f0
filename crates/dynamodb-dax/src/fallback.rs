//! Reads that DynamoDB answers, because DAX does not.

use std::any::Any;
use std::fmt::{self, Debug, Formatter};
use std::pin::Pin;

use aws_sdk_dynamodb::config::interceptors::BeforeSerializationInterceptorContextMut;
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::{BoxError, ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::RequestId;
use aws_sdk_dynamodb::operation::transact_get_items::TransactGetItemsError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use crate::error::{Error, ServiceError};

/// An answer of DynamoDB.
pub(crate) type Answer<T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send>>;

/// Puts the whole input into a request, with the parameters that a newer SDK has more.
pub(crate) struct Whole<T>(pub(crate) T);

impl<T> Debug for Whole<T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("Whole")
    }
}

impl<T: Clone + Debug + Send + Sync + 'static> Intercept for Whole<T> {
    fn name(&self) -> &'static str {
        "Whole"
    }

    fn modify_before_serialization(
        &self,
        context: &mut BeforeSerializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        *context.input_mut().downcast_mut().ok_or("another input")? = self.0.clone();
        Ok(())
    }
}

/// The error of a request that DAX did not answer because of `outage`, and that DynamoDB refused or did not answer either.
pub(crate) fn failure<E>(outage: Error, error: SdkError<E, HttpResponse>) -> Error
where
    E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
{
    let Some(refused) = error.as_service_error() else {
        return Error::Fallback { dax: Box::new(outage), source: Box::new(error) };
    };
    let cancellation_reasons = match (refused as &dyn Any).downcast_ref() {
        Some(TransactGetItemsError::TransactionCanceledException(canceled)) => canceled.cancellation_reasons().to_vec(),
        _ => Vec::new(),
    };
    let status = error.raw_response().map_or(400, |response| response.status().as_u16());
    Error::Service(Box::new(ServiceError {
        code: refused.code().unwrap_or_default().to_owned(),
        message: refused.message().unwrap_or_default().to_owned(),
        request_id: error.request_id().map(str::to_owned),
        status,
        dax_codes: Vec::new(),
        cancellation_reasons,
    }))
}

/// Defines how an operation is sent to DynamoDB. The parameters that are named are those that the SDK reads before it serializes.
macro_rules! ask_dynamodb {
    ($operation:ident, $set:ident($parameter:ident)) => {
        fn ask_dynamodb(&self, outage: Error, dynamodb: &aws_sdk_dynamodb::Client) -> Answer<Self::Output> {
            let request = dynamodb.$operation().$set(self.$parameter.clone()).customize();
            let request = request.interceptor(crate::fallback::Whole(self.clone()));
            Box::pin(async move { request.send().await.map_err(|error| crate::fallback::failure(outage, error)) })
        }
    };
}

pub(crate) use ask_dynamodb;
