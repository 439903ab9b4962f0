use aws_sdk_sfn::config::interceptors::BeforeSerializationInterceptorContextMut;
use aws_sdk_sfn::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_sfn::error::BoxError;
use aws_smithy_runtime_api::client::endpoint::EndpointPrefix;

/// On AWS, StartSyncExecution has a host of its own, `sync-states`; an endpoint that is configured has one host for all.
#[derive(Debug)]
pub struct SingleHost;

impl Intercept for SingleHost {
    fn name(&self) -> &'static str {
        "SingleHost"
    }

    fn modify_before_serialization(
        &self,
        _: &mut BeforeSerializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        config.interceptor_state().unset::<EndpointPrefix>();
        Ok(())
    }
}
