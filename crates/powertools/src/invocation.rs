//! One layer that begins and ends each invocation for the logger, metrics and tracer.

use std::env;
use std::future::Future;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context as TaskContext, Poll, ready};
use std::thread;

use lambda_runtime::tower::{Layer, Service};
use lambda_runtime::{Context, Diagnostic, LambdaEvent};
use pin_project_lite::pin_project;
use thiserror::Error;
use tracing::{Span, Subscriber, warn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
#[cfg(any(feature = "logger", feature = "metrics"))]
use tracing_subscriber::registry::SpanRef;
use tracing_subscriber::{Layer as SubscriberLayer, Registry};

#[cfg(feature = "metrics")]
use crate::metrics::Metrics;
#[cfg(feature = "tracer")]
use crate::tracer::Export;

/// What the answer waits for: without traces, nothing.
#[cfg(not(feature = "tracer"))]
type Export = std::future::Ready<()>;

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
    /// What is wrong in the environment, until there is a subscriber to log it.
    warnings: Arc<Mutex<Vec<String>>>,
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
    /// A process has one global subscriber.
    #[error(
        "a tracing subscriber is installed already: call Powertools::init instead of installing one, \
         or give yours the layer of Builder::build"
    )]
    SubscriberInstalled(#[from] tracing::dispatcher::SetGlobalDefaultError),
}

impl Powertools {
    /// Sets up logger, metrics and tracer as the environment configures them, and installs the global `tracing`
    /// subscriber that they work with. A function with a subscriber of its own calls [`Builder::build`] instead.
    ///
    /// # Errors
    ///
    /// Only when a global subscriber is installed already, whichever features are on. A variable whose value is not
    /// valid is reported in a warning and takes its default.
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

    /// Logs what is wrong in the environment, once.
    fn warn(&self) {
        for warning in mem::take(&mut *self.warnings.lock().unwrap_or_else(PoisonError::into_inner)) {
            warn!("{warning}");
        }
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
        let (powertools, layer) = self.build();
        tracing::subscriber::set_global_default(Registry::default().with(layer))?;
        powertools.warn();
        Ok(powertools)
    }

    /// Like [`Builder::init`], for a function with a subscriber of its own: installs none, and gives what that one needs.
    ///
    /// The layer is the logger and the tracer, as far as their features are on. The subscriber is built on
    /// [`Registry`], by which invocations that run at once are kept apart.
    ///
    /// ```no_run
    /// use lambda_runtime::tower::Layer;
    /// use lambda_runtime::{Error, LambdaEvent, service_fn};
    /// use powertools::Powertools;
    /// use tracing_subscriber::layer::SubscriberExt;
    ///
    /// #[tokio::main(flavor = "current_thread")]
    /// async fn main() -> Result<(), Error> {
    ///     let (powertools, layer) = Powertools::builder().build();
    ///     let own = tracing_subscriber::layer::Identity::new();
    ///     tracing::subscriber::set_global_default(tracing_subscriber::registry().with(layer).with(own))?;
    ///     let handler = service_fn(async |event: LambdaEvent<String>| Ok::<_, Error>(event.payload.to_uppercase()));
    ///     lambda_runtime::run(powertools.layer(handler)).await
    /// }
    /// ```
    pub fn build<S>(self) -> (Powertools, impl SubscriberLayer<S> + use<S>)
    where
        S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
    {
        let mut warnings = Vec::new();
        #[allow(unused_mut)]
        let mut layers: Vec<Box<dyn SubscriberLayer<S> + Send + Sync>> = Vec::new();
        #[cfg(feature = "logger")]
        {
            crate::logger::log_panics();
            layers.push(crate::logger::Logger::from_env(self.personal_fields, &mut warnings).into_layer().boxed());
        }
        #[cfg(feature = "tracer")]
        let (tracer, layer) = crate::tracer::Tracer::init(&mut warnings);
        #[cfg(feature = "tracer")]
        layers.extend(layer.map(SubscriberLayer::boxed));
        // Provisioned concurrency, like a snapshot, is initialised before there is an invocation to wait for it.
        let on_demand = env::var("AWS_LAMBDA_INITIALIZATION_TYPE").map_or(true, |kind| kind == "on-demand");
        let powertools = Powertools {
            cold_start: Arc::new(AtomicBool::new(on_demand)),
            #[cfg(feature = "metrics")]
            metrics: Metrics::from_env(self.default_dimensions, self.cold_start_metric, &mut warnings),
            #[cfg(feature = "tracer")]
            tracer,
            warnings: Arc::new(Mutex::new(warnings)),
        };
        // An empty list would turn off everything for the subscriber's other layers.
        (powertools, (!layers.is_empty()).then_some(layers))
    }
}

impl<S> Layer<S> for Powertools {
    type Service = PowertoolsService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        self.warn();
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
    type Future = PowertoolsFuture<S::Future, S::Response>;

    fn poll_ready(&mut self, context: &mut TaskContext<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, event: LambdaEvent<T>) -> Self::Future {
        let invocation = self.powertools.begin(&event.context);
        let future = invocation.span.in_scope(|| self.inner.call(event));
        PowertoolsFuture { future, invocation, outcome: None }
    }
}

pin_project! {
    /// The future of [`PowertoolsService`].
    #[derive(Debug)]
    pub struct PowertoolsFuture<F, R> {
        #[pin]
        future: F,
        invocation: Invocation,
        outcome: Option<(thread::Result<Result<R, Diagnostic>>, Export)>,
    }
}

impl<F, R, E> Future for PowertoolsFuture<F, R>
where
    F: Future<Output = Result<R, E>>,
    E: Into<Diagnostic>,
{
    type Output = Result<R, Diagnostic>;

    fn poll(self: Pin<&mut Self>, context: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let _entered = this.invocation.span.clone().entered();
        let (result, mut export) = match this.outcome.take() {
            Some(outcome) => outcome,
            None => {
                // Caught, because what was collected has to be written before the runtime answers.
                let result = match catch_unwind(AssertUnwindSafe(|| this.future.poll(context))) {
                    Ok(poll) => Ok(ready!(poll).map_err(Into::into)),
                    Err(panic) => Err(panic),
                };
                let export = match &result {
                    Ok(Ok(_)) => this.invocation.end(Ok(())),
                    Ok(Err(error)) => {
                        #[cfg(feature = "logger")]
                        crate::logger::log_failure(error);
                        this.invocation.end(Err(error))
                    }
                    Err(_) => this.invocation.end(Err(&unfinished("panic"))),
                };
                (result, export)
            }
        };
        if Pin::new(&mut export).poll(context).is_pending() {
            *this.outcome = Some((result, export));
            return Poll::Pending;
        }
        match result {
            Ok(result) => Poll::Ready(result),
            Err(panic) => resume_unwind(panic),
        }
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
    fn end(&mut self, result: Result<(), &Diagnostic>) -> Export {
        self.ended = true;
        #[cfg(feature = "metrics")]
        {
            self.state.metrics.flush_own();
            // What was added outside the invocation's span, as in a task of its own.
            self.powertools.metrics.flush_own();
        }
        let _ = (result, &self.state, &self.powertools);
        #[cfg(feature = "tracer")]
        {
            self.powertools.tracer.end(&self.span, result);
            self.powertools.tracer.flush()
        }
        #[cfg(not(feature = "tracer"))]
        {
            std::future::ready(())
        }
    }
}

impl Drop for Invocation {
    fn drop(&mut self) {
        if !self.ended {
            let _entered = self.span.clone().entered();
            // Nobody is left to wait for it.
            let _export = self.end(Err(&unfinished(if thread::panicking() { "panic" } else { "cancelled" })));
        }
    }
}

/// How an invocation ended that gave no result. What a panic says is known to its hook alone.
fn unfinished(error_type: &str) -> Diagnostic {
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
