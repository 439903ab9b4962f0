use std::future::Future;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll, ready};

use lambda_runtime::tower::{Layer, Service};
use lambda_runtime::{Context, Diagnostic, LambdaEvent};
use pin_project_lite::pin_project;
use tracing::Span;

/// The logger, metrics and tracer of a function, as far as their features are on.
///
/// As a layer around the handler it begins and ends each invocation for them.
#[derive(Clone, Debug)]
pub struct Powertools {
    /// Whether the next invocation is the first of this execution environment.
    cold_start: bool,
    #[cfg(feature = "metrics")]
    metrics: crate::metrics::Metrics,
    #[cfg(feature = "tracer")]
    tracer: crate::tracer::Tracer,
}

/// [`Powertools::init`] can't go on.
#[derive(Debug)]
#[non_exhaustive]
pub struct InitError;

impl Powertools {
    fn begin(&self, context: &Context, cold_start: bool) -> Span {
        let _ = (context, cold_start);
        Span::none()
    }
}

impl<S: Clone> Layer<S> for Powertools {
    type Service = PowertoolsService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        PowertoolsService { inner, powertools: self.clone() }
    }
}

/// A handler inside [`Powertools`].
#[derive(Clone, Debug)]
pub struct PowertoolsService<S> {
    inner: S,
    powertools: Powertools,
}

impl<S, T> Service<LambdaEvent<T>> for PowertoolsService<S>
where
    S: Service<LambdaEvent<T>>,
    S::Error: Into<Diagnostic>,
{
    type Response = S::Response;
    type Error = Diagnostic;
    type Future = PowertoolsFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut TaskContext<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, event: LambdaEvent<T>) -> Self::Future {
        let cold_start = std::mem::take(&mut self.powertools.cold_start);
        let span = self.powertools.begin(&event.context, cold_start);
        let future = span.in_scope(|| self.inner.call(event));
        PowertoolsFuture { future, invocation: Invocation { span, powertools: self.powertools.clone() } }
    }
}

/// An open invocation; its end, however it comes (an answer, an error, a panic), flushes what was collected.
#[derive(Debug)]
struct Invocation {
    span: Span,
    powertools: Powertools,
}

pin_project! {
    /// The future of [`PowertoolsService`].
    #[derive(Debug)]
    pub struct PowertoolsFuture<F> {
        #[pin]
        future: F,
        invocation: Invocation,
    }
}

impl<F, R, E> Future for PowertoolsFuture<F>
where
    F: Future<Output = Result<R, E>>,
    E: Into<Diagnostic>,
{
    type Output = Result<R, Diagnostic>;

    fn poll(self: Pin<&mut Self>, context: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let _entered = this.invocation.span.enter();
        let result = ready!(this.future.poll(context)).map_err(Into::into);
        // TODO(tracer): record the error on the span.
        Poll::Ready(result)
    }
}
