use aws_config::SdkConfig;
use aws_sdk_sfn::Client;
use aws_sdk_sfn::config::interceptors::BeforeSerializationInterceptorContextMut;
use aws_sdk_sfn::config::{Builder, ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_sfn::error::BoxError;
use aws_smithy_runtime_api::client::endpoint::EndpointPrefix;

/// A client of Step Functions. With a configured endpoint, all operations go to its one host: on AWS,
/// `StartSyncExecution` has another host, with the prefix `sync-`.
pub fn step_functions(config: &SdkConfig) -> Client {
    let mut builder = Builder::from(config);
    if config.endpoint_url().is_some() {
        builder = builder.interceptor(SingleHost);
    }
    Client::from_conf(builder.build())
}

#[derive(Debug)]
struct SingleHost;

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
