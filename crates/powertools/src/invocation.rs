//! One layer that begins and ends each invocation for the logger, metrics and tracer.

use std::env;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context as TaskContext, Poll, ready};
use std::thread;

use lambda_runtime::tower::{Layer, Service};
use lambda_runtime::{Context, Diagnostic, LambdaEvent};
use pin_project_lite::pin_project;
use thiserror::Error;
use tracing::{Dispatch, Span, warn};
use tracing_subscriber::Registry;
#[cfg(any(feature = "logger", feature = "tracer"))]
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
#[cfg(any(feature = "logger", feature = "metrics"))]
use tracing_subscriber::registry::SpanRef;

#[cfg(feature = "metrics")]
use crate::metrics::Metrics;

/// The logger, metrics and tracer of a function, as far as their features are on.
///
/// As a layer around the handler it begins and ends each invocation for them: it opens a span that says which
/// invocation it is, and however the invocation ends (an answer, an error, a panic) it writes what was collected.
///
/// ```no_run
/// use lambda_runtime::tower::Layer;
/// use lambda_runtime::{Error, LambdaEvent, service_fn};
/// use powertools::Powertools;
///
/// #[tokio::main(flavor = "current_thread")]
/// async fn main() -> Result<(), Error> {
///     let powertools = Powertools::init()?;
///     let handler = service_fn(async |event: LambdaEvent<String>| Ok::<_, Error>(event.payload.to_uppercase()));
///     lambda_runtime::run(powertools.layer(handler)).await
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Powertools {
    /// Whether the next invocation is the first of this execution environment.
    cold_start: Arc<AtomicBool>,
    #[cfg(feature = "metrics")]
    metrics: Metrics,
    #[cfg(feature = "tracer")]
    tracer: crate::tracer::Tracer,
}

/// What the environment can't say, because it belongs to the code: see [`Powertools::builder`].
#[derive(Debug, Default)]
pub struct Builder {
    #[cfg(feature = "logger")]
    personal_fields: Vec<String>,
    #[cfg(feature = "metrics")]
    default_dimensions: Vec<(String, String)>,
    #[cfg(feature = "metrics")]
    cold_start_metric: bool,
}

/// [`Powertools::init`] can't go on.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum InitError {
    /// The logger and the tracer are the layers of the one global subscriber.
    #[error("a tracing subscriber is installed already: call Powertools::init instead of installing one")]
    SubscriberInstalled(#[from] tracing::dispatcher::SetGlobalDefaultError),
}

impl Powertools {
    /// Sets up logger, metrics and tracer as the environment configures them, and installs the global `tracing`
    /// subscriber that the logger and the tracer are layers of.
    ///
    /// # Errors
    ///
    /// Only when a global subscriber is installed already. A variable whose value is not valid is reported in a
    /// warning and takes its default.
    pub fn init() -> Result<Self, InitError> {
        Self::builder().init()
    }

    /// Like [`Powertools::init`], with options that belong to the code.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// A handle to the metrics of this function: it can be cloned, and kept where the handler finds it.
    #[cfg(feature = "metrics")]
    pub fn metrics(&self) -> Metrics {
        self.metrics.clone()
    }

    fn begin(&self, context: &Context) -> Invocation {
        let cold_start = self.cold_start.swap(false, Ordering::Relaxed);
        let parent = Span::current();
        // An error, so that no level of the logs turns it off.
        let span = tracing::error_span!("invocation", function_request_id = context.request_id);
        let state = Arc::new(State {
            #[cfg(feature = "logger")]
            logger: crate::logger::Invocation::new(context, cold_start),
            #[cfg(feature = "metrics")]
            metrics: self.metrics.for_invocation(),
        });
        attach(&span, &state);
        // The runtime logs the error of a handler in its own span, after ours.
        if parent.metadata().is_some_and(|metadata| metadata.target() == RUNTIME_SPAN) {
            attach(&parent, &state);
        }
        #[cfg(feature = "metrics")]
        if cold_start {
            self.metrics.record_cold_start(context);
        }
        #[cfg(feature = "tracer")]
        self.tracer.begin(&span, context, cold_start);
        Invocation { span, powertools: self.clone(), state, ended: false }
    }
}

impl Builder {
    /// Names of fields that hold personal data: the logger writes asterisks in place of their values, wherever they
    /// are (fields of events and spans, appended keys, inside structured values).
    #[cfg(feature = "logger")]
    pub fn personal_fields<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.personal_fields.extend(names.into_iter().map(Into::into));
        self
    }

    /// A dimension that all metrics of this function have, beside `service`.
    #[cfg(feature = "metrics")]
    pub fn default_dimension(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.default_dimensions.push((name.into(), value.into()));
        self
    }

    /// Counts the cold starts, in a metric `ColdStart` that has the dimensions `function_name` and `service`.
    #[cfg(feature = "metrics")]
    pub fn capture_cold_start_metric(mut self) -> Self {
        self.cold_start_metric = true;
        self
    }

    /// See [`Powertools::init`].
    ///
    /// # Errors
    ///
    /// See [`Powertools::init`].
    pub fn init(self) -> Result<Powertools, InitError> {
        let (powertools, dispatch, warnings) = self.build()?;
        // Metrics alone leave the choice of a subscriber to the function.
        if cfg!(any(feature = "logger", feature = "tracer")) {
            tracing::dispatcher::set_global_default(dispatch)?;
        }
        #[cfg(feature = "logger")]
        crate::logger::log_panics();
        for warning in warnings {
            warn!("{warning}");
        }
        Ok(powertools)
    }

    /// The parts: what is wrong in the environment can be logged only when the subscriber is installed.
    fn build(self) -> Result<(Powertools, Dispatch, Vec<String>), InitError> {
        #[allow(unused_mut)]
        let mut warnings = Vec::new();
        let subscriber = Registry::default();
        #[cfg(feature = "logger")]
        let subscriber =
            subscriber.with(crate::logger::Logger::from_env(self.personal_fields, &mut warnings).into_layer());
        #[cfg(feature = "tracer")]
        let (tracer, tracer_layer) = crate::tracer::Tracer::init(&mut warnings);
        #[cfg(feature = "tracer")]
        let subscriber = subscriber.with(tracer_layer);
        // Provisioned concurrency, like a snapshot, is initialised before there is an invocation to wait for it.
        let on_demand = env::var("AWS_LAMBDA_INITIALIZATION_TYPE").map_or(true, |kind| kind == "on-demand");
        let powertools = Powertools {
            cold_start: Arc::new(AtomicBool::new(on_demand)),
            #[cfg(feature = "metrics")]
            metrics: Metrics::from_env(self.default_dimensions, self.cold_start_metric, &mut warnings),
            #[cfg(feature = "tracer")]
            tracer,
        };
        Ok((powertools, Dispatch::new(subscriber), warnings))
    }
}

impl<S> Layer<S> for Powertools {
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
        let invocation = self.powertools.begin(&event.context);
        let future = invocation.span.in_scope(|| self.inner.call(event));
        PowertoolsFuture { future, invocation }
    }
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
        let _entered = this.invocation.span.clone().entered();
        let open = EndOnPanic(this.invocation);
        let result = ready!(this.future.poll(context)).map_err(Into::into);
        #[cfg(feature = "logger")]
        if let Err(error) = &result {
            crate::logger::log_failure(error);
        }
        open.0.end(result.as_ref().map(drop));
        Poll::Ready(result)
    }
}

/// An open invocation; its end, however it comes, writes what was collected.
#[derive(Debug)]
struct Invocation {
    span: Span,
    powertools: Powertools,
    state: Arc<State>,
    ended: bool,
}

impl Invocation {
    fn end(&mut self, result: Result<(), &Diagnostic>) {
        if mem::replace(&mut self.ended, true) {
            return;
        }
        #[cfg(feature = "metrics")]
        {
            self.state.metrics.flush_own();
            // What was added outside the invocation's span, as in a task of its own.
            self.powertools.metrics.flush_own();
        }
        #[cfg(feature = "tracer")]
        {
            self.powertools.tracer.end(&self.span, result);
            self.powertools.tracer.flush();
        }
        let _ = (result, &self.state, &self.powertools);
    }
}

impl Drop for Invocation {
    fn drop(&mut self) {
        if !self.ended {
            let _entered = self.span.clone().entered();
            self.end(Err(&unfinished()));
        }
    }
}

/// The runtime keeps a future that panicked until it has answered: too late for what has to be written before.
struct EndOnPanic<'a>(&'a mut Invocation);

impl Drop for EndOnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.end(Err(&unfinished()));
        }
    }
}

/// How an invocation ended that gave no result. What a panic says is known to its hook alone.
fn unfinished() -> Diagnostic {
    let error_type = if thread::panicking() { "panic" } else { "cancelled" };
    Diagnostic { error_type: error_type.into(), error_message: "the handler did not come to its end".into() }
}

/// The target of the span that [`Powertools`] opens.
#[cfg(any(feature = "logger", feature = "tracer"))]
pub(crate) const SPAN: &str = module_path!();

/// The target of the span that `lambda_runtime` opens around each invocation.
pub(crate) const RUNTIME_SPAN: &str = "lambda_runtime::layers::trace";

/// What belongs to one invocation. It hangs on the span, since several invocations can run at once.
#[derive(Debug)]
pub(crate) struct State {
    #[cfg(feature = "logger")]
    pub(crate) logger: crate::logger::Invocation,
    #[cfg(feature = "metrics")]
    pub(crate) metrics: Metrics,
}

fn attach(span: &Span, state: &Arc<State>) {
    span.with_subscriber(|(id, dispatch)| {
        if let Some(span) = dispatch.downcast_ref::<Registry>().and_then(|registry| registry.span(id)) {
            span.extensions_mut().replace(Arc::clone(state));
        }
    });
}

/// The state of the invocation that the code is in; nothing outside of one, or without a subscriber.
#[cfg(any(feature = "logger", feature = "metrics"))]
pub(crate) fn current() -> Option<Arc<State>> {
    tracing::dispatcher::get_default(|dispatch| {
        let registry = dispatch.downcast_ref::<Registry>()?;
        let current = dispatch.current_span();
        state_of(&registry.span(current.id()?)?)
    })
}

/// The state of the invocation that a span is in.
#[cfg(any(feature = "logger", feature = "metrics"))]
pub(crate) fn state_of<'a, R: LookupSpan<'a>>(span: &SpanRef<'a, R>) -> Option<Arc<State>> {
    span.scope().find_map(|span| span.extensions().get::<Arc<State>>().cloned())
}

#[cfg(all(test, feature = "logger", feature = "metrics"))]
mod tests;
