//! The layer that begins and ends each invocation for the logger, metrics and tracer.

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
use tracing_subscriber::{Layer as SubscriberLayer, Registry};

#[cfg(feature = "metrics")]
use crate::metrics::Metrics;
use crate::span;
#[cfg(feature = "tracer")]
use crate::tracer::Export;

/// The export that the response waits for: without the tracer, none.
#[cfg(not(feature = "tracer"))]
type Export = std::future::Ready<()>;

/// The logger, metrics and tracer of a function, if their features are on.
///
/// As a layer around the handler, it begins and ends each invocation: it opens a span that identifies the invocation,
/// and when the invocation ends, with a response, an error or a panic, it writes the collected data.
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
    /// Warnings about the environment, kept until there is a subscriber to log them.
    warnings: Arc<Mutex<Vec<String>>>,
}

/// Settings that belong to the code rather than the environment: see [`Powertools::builder`].
#[derive(Debug, Default)]
pub struct Builder {
    #[cfg(feature = "logger")]
    personal_fields: Vec<String>,
    #[cfg(feature = "metrics")]
    default_dimensions: Vec<(String, String)>,
    #[cfg(feature = "metrics")]
    cold_start_metric: bool,
}

/// [`Powertools::init`] failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum InitError {
    /// A process can have only one global subscriber.
    #[error(
        "a tracing subscriber is already installed: call Powertools::init instead of installing one, \
         or add the layer of Builder::build to yours"
    )]
    SubscriberInstalled(#[from] tracing::dispatcher::SetGlobalDefaultError),
}

impl Powertools {
    /// Sets up the logger, metrics and tracer from the environment, and installs their global `tracing` subscriber. A
    /// function with its own subscriber calls [`Builder::build`] instead.
    ///
    /// # Errors
    ///
    /// Only if a global subscriber is already installed, whichever features are on. For a variable with an invalid value,
    /// a warning is logged and the default applies.
    pub fn init() -> Result<Self, InitError> {
        Self::builder().init()
    }

    /// Like [`Powertools::init`], with settings that belong to the code.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// A handle to the metrics of this function, which can be cloned.
    #[cfg(feature = "metrics")]
    pub fn metrics(&self) -> Metrics {
        self.metrics.clone()
    }

    /// Logs the warnings about the environment, once.
    fn warn(&self) {
        for warning in mem::take(&mut *self.warnings.lock().unwrap_or_else(PoisonError::into_inner)) {
            warn!("{warning}");
        }
    }

    fn begin(&self, context: &Context) -> Invocation {
        let cold_start = self.cold_start.swap(false, Ordering::Relaxed);
        let span = span::open(context);
        #[cfg(feature = "logger")]
        crate::logger::begin(&span, context, cold_start);
        #[cfg(feature = "metrics")]
        let metrics = self.metrics.begin(&span, context, cold_start);
        #[cfg(feature = "tracer")]
        self.tracer.begin(&span, context, cold_start);
        Invocation {
            span,
            powertools: self.clone(),
            #[cfg(feature = "metrics")]
            metrics,
            ended: false,
        }
    }
}

impl Builder {
    /// Names of fields with personal data: the logger writes asterisks in place of their values, in fields of events and
    /// spans, in appended keys, and inside structured values.
    #[cfg(feature = "logger")]
    pub fn personal_fields<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.personal_fields.extend(names.into_iter().map(Into::into));
        self
    }

    /// A dimension of all metrics of this function, in addition to `service`.
    #[cfg(feature = "metrics")]
    pub fn default_dimension(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.default_dimensions.push((name.into(), value.into()));
        self
    }

    /// Counts cold starts in the metric `ColdStart`, with the dimensions `function_name` and `service`.
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

    /// Like [`Builder::init`], for a function with its own subscriber: returns the layer for it instead of installing one.
    ///
    /// The layer contains the logger and the tracer, if their features are on. The subscriber must be built on
    /// [`Registry`], which keeps concurrent invocations separate.
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
        // Provisioned concurrency and snapshots are initialized before any invocation waits.
        let on_demand = env::var("AWS_LAMBDA_INITIALIZATION_TYPE").map_or(true, |kind| kind == "on-demand");
        let powertools = Powertools {
            cold_start: Arc::new(AtomicBool::new(on_demand)),
            #[cfg(feature = "metrics")]
            metrics: Metrics::from_env(self.default_dimensions, self.cold_start_metric, &mut warnings),
            #[cfg(feature = "tracer")]
            tracer,
            warnings: Arc::new(Mutex::new(warnings)),
        };
        // An empty list would disable the subscriber's other layers.
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

/// A handler wrapped in [`Powertools`].
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
                // Caught, because the collected data must be written before the runtime answers.
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

/// A running invocation; its end, in any way, writes the collected data.
#[derive(Debug)]
struct Invocation {
    span: Span,
    powertools: Powertools,
    #[cfg(feature = "metrics")]
    metrics: Metrics,
    ended: bool,
}

impl Invocation {
    fn end(&mut self, result: Result<(), &Diagnostic>) -> Export {
        self.ended = true;
        #[cfg(feature = "metrics")]
        {
            self.metrics.flush_own();
            // Metrics that were added outside the invocation's span, for example in a spawned task.
            self.powertools.metrics.flush_own();
        }
        let _ = (result, &self.powertools);
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
            // Nothing can wait for the export any more.
            let _export = self.end(Err(&unfinished(if thread::panicking() { "panic" } else { "cancelled" })));
        }
    }
}

/// The error of an invocation without a result. Only the panic hook knows the message of a panic.
fn unfinished(error_type: &str) -> Diagnostic {
    Diagnostic { error_type: error_type.into(), error_message: "the handler did not finish".into() }
}

#[cfg(all(test, feature = "logger", feature = "metrics"))]
mod tests;
