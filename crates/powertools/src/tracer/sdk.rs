use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::{
    BeforeTransmitInterceptorContextMut, FinalizerInterceptorContextRef,
};
use aws_smithy_runtime_api::client::interceptors::{Intercept, dyn_dispatch_hint};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;
use opentelemetry::trace::{Status, TraceContextExt};
use opentelemetry::{Context, KeyValue};
use opentelemetry_aws::trace::xray_propagator::span_context_to_string;

/// Makes the service that an AWS SDK client calls continue the trace below the call's span, and adds the call's result to
/// the span: `http.response.status_code`, `aws.request_id`, and the status of an error without its message.
///
/// Without it, a call also has a span, but the called service continues the trace below Lambda's span.
///
/// ```
/// use aws_config::SdkConfig;
/// use powertools::tracer::TraceHeader;
///
/// fn client(config: &SdkConfig) -> aws_sdk_dynamodb::Client {
///     let config = aws_sdk_dynamodb::config::Builder::from(config).interceptor(TraceHeader).build();
///     aws_sdk_dynamodb::Client::from_conf(config)
/// }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct TraceHeader;

const HEADER: &str = "x-amzn-trace-id";

#[dyn_dispatch_hint]
impl Intercept for TraceHeader {
    fn name(&self) -> &'static str {
        "TraceHeader"
    }

    fn modify_before_signing(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        // `None` outside of a trace: then the SDK sends the header from Lambda.
        if let Some(header) = span_context_to_string(Context::current().span().span_context()) {
            context.request_mut().headers_mut().insert(HEADER, header);
        }
        Ok(())
    }

    fn read_after_execution(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let otel = Context::current();
        let span = otel.span();
        if let Some(response) = context.response() {
            span.set_attribute(KeyValue::new("http.response.status_code", i64::from(response.status().as_u16())));
            let headers = response.headers();
            if let Some(id) = headers.get("x-amzn-requestid").or_else(|| headers.get("x-amz-request-id")) {
                span.set_attribute(KeyValue::new("aws.request_id", id.to_owned()));
            }
        }
        if matches!(context.output_or_error(), Some(Err(_))) {
            span.set_status(Status::error(""));
        }
        Ok(())
    }
}
