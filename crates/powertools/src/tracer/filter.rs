use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Filter};
use tracing_subscriber::registry::LookupSpan;

use crate::span;

/// Selects an invocation's span, the spans of the caller's code and of AWS SDK calls, and the errors that
/// `#[instrument(err)]` records. Excludes log lines, which can contain anything.
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
        // Each span outside of an invocation would be a separate trace.
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
    metadata.is_span() && metadata.target() == span::TARGET
}

/// The span around a whole call with all attempts; the SDK's inner spans don't have these fields.
fn is_sdk_call(metadata: &Metadata<'_>) -> bool {
    metadata.is_span()
        && metadata.fields().field("rpc.service").is_some()
        && metadata.fields().field("rpc.method").is_some()
}
