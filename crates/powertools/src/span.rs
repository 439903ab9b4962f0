//! The span of an invocation. Each utility attaches a value of its own type to it.

use lambda_runtime::Context;
use tracing::Span;
#[cfg(any(feature = "logger", feature = "metrics"))]
use tracing_subscriber::Registry;
#[cfg(any(feature = "logger", feature = "metrics"))]
use tracing_subscriber::registry::{LookupSpan, SpanRef};

/// The target of an invocation's span.
#[cfg(any(feature = "logger", feature = "tracer"))]
pub(crate) const TARGET: &str = module_path!();

/// The target of the span that `lambda_runtime` opens around each invocation.
#[cfg(any(feature = "logger", feature = "metrics"))]
pub(crate) const RUNTIME_TARGET: &str = "lambda_runtime::layers::trace";

/// Opens the span of an invocation.
pub(crate) fn open(context: &Context) -> Span {
    // At level ERROR, so that no log level disables it.
    tracing::error_span!("invocation", function_request_id = context.request_id)
}

/// Attaches a value to an invocation's span, and to the runtime's span around it: there the runtime logs the error of the
/// handler.
#[cfg(any(feature = "logger", feature = "metrics"))]
pub(crate) fn attach<T: Clone + Send + Sync + 'static>(span: &Span, value: &T) {
    span.with_subscriber(|(id, dispatch)| {
        let Some(span) = dispatch.downcast_ref::<Registry>().and_then(|registry| registry.span(id)) else { return };
        if let Some(parent) = span.parent().filter(|parent| parent.metadata().target() == RUNTIME_TARGET) {
            parent.extensions_mut().replace(value.clone());
        }
        span.extensions_mut().replace(value.clone());
    });
}

/// The value that is attached to the current invocation; `None` outside of an invocation or without a subscriber.
#[cfg(any(feature = "logger", feature = "metrics"))]
pub(crate) fn current<T: Clone + Send + Sync + 'static>() -> Option<T> {
    tracing::dispatcher::get_default(|dispatch| {
        let registry = dispatch.downcast_ref::<Registry>()?;
        let current = dispatch.current_span();
        attached(&registry.span(current.id()?)?)
    })
}

/// The value that is attached to the invocation of a span.
#[cfg(any(feature = "logger", feature = "metrics"))]
pub(crate) fn attached<'a, R: LookupSpan<'a>, T: Clone + Send + Sync + 'static>(span: &SpanRef<'a, R>) -> Option<T> {
    span.scope().find_map(|span| span.extensions().get::<T>().cloned())
}
