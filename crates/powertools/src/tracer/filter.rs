use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Filter};
use tracing_subscriber::registry::LookupSpan;

use crate::invocation;

/// Lets through what belongs to an invocation: its span, the spans of the caller's own code and of calls of the AWS
/// SDK, and the errors that `#[instrument(err)]` records. Log lines stay out, as they may say anything.
#[derive(Debug)]
pub(super) struct InvocationFilter {
    pub(super) capture_error: bool,
}

impl InvocationFilter {
    fn may_pass(&self, metadata: &Metadata<'_>) -> bool {
        if metadata.is_event() {
            return self.capture_error
                && *metadata.level() == Level::ERROR
                && metadata.fields().iter().map(|field| field.name()).eq(["error"]);
        }
        let is_callers = *metadata.level() <= Level::INFO && !metadata.target().starts_with("lambda_runtime");
        is_callers || is_sdk_call(metadata)
    }
}

impl<S: Subscriber + for<'span> LookupSpan<'span>> Filter<S> for InvocationFilter {
    fn enabled(&self, metadata: &Metadata<'_>, context: &Context<'_, S>) -> bool {
        // Whatever is done outside of invocations would make a trace of its own.
        is_invocation(metadata) || self.may_pass(metadata) && context.lookup_current().is_some()
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        if is_invocation(metadata) {
            Interest::always()
        } else if self.may_pass(metadata) {
            Interest::sometimes()
        } else {
            Interest::never()
        }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        // The level of the SDK's spans.
        Some(LevelFilter::DEBUG)
    }
}

fn is_invocation(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && metadata.target() == invocation::SPAN
}

/// The span around a whole call, all attempts included; what the SDK does inside of it has no such fields.
fn is_sdk_call(metadata: &Metadata<'_>) -> bool {
    metadata.is_span()
        && metadata.fields().field("rpc.service").is_some()
        && metadata.fields().field("rpc.method").is_some()
}
