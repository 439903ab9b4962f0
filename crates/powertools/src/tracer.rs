#![doc = include_str!("../docs/tracer.md")]

mod collector;
mod daemon;
mod filter;
mod header;
mod sdk;
mod spans;
#[cfg(test)]
mod tests;

use std::io;

use http::{HeaderMap, HeaderName, HeaderValue};
use lambda_runtime::{Context as Invocation, Diagnostic};
use opentelemetry::trace::{Status, TraceContextExt, TracerProvider};
use opentelemetry::{Context, Key, KeyValue, Value};
use opentelemetry_aws::detector::LambdaResourceDetector;
use opentelemetry_aws::trace::XrayIdGenerator;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use percent_encoding::percent_decode_str;
use thiserror::Error;
use tokio::sync::oneshot;
use tracing::{Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::Layer;
use tracing_subscriber::registry::LookupSpan;

use self::collector::Collector;
use self::daemon::Daemon;
use self::filter::InvocationFilter;
pub use self::sdk::TraceHeader;
use self::spans::Spans;
use crate::environment::{DEFAULT_SERVICE, switch, variable};

/// The attribute with the names of the attributes that X-Ray indexes.
const ANNOTATIONS: &str = "aws.xray.annotations";
const INVOCATION_ID: &str = "faas.invocation_id";

/// Adds a value to the current span that X-Ray indexes for searching traces.
///
/// The key has letters, digits and underscores; the value is a string, a number or a boolean. Everybody who can read
/// traces can read them: use ids and results, not personal data. Outside of an invocation, and if nothing is exported, it
/// does nothing.
///
/// ```
/// use powertools::tracer;
///
/// tracer::annotate("order_id", "o-42");
/// tracer::annotate("items", 3);
/// ```
pub fn annotate(key: impl Into<Key>, value: impl Into<Value>) {
    let key = key.into();
    let context = Context::current();
    context.span().set_attribute(KeyValue::new(ANNOTATIONS, key.as_str().to_owned()));
    context.span().set_attribute(KeyValue::new(key, value));
}

/// Adds a value to the current span that is not searchable.
///
/// Don't use personal data, as with [`annotate`].
pub fn put_metadata(key: impl Into<Key>, value: impl Into<Value>) {
    Context::current().span().set_attribute(KeyValue::new(key, value));
}

/// The environment's destination for spans can't be used.
#[derive(Debug, Error)]
enum DestinationError {
    #[error("OTEL_TRACES_EXPORTER is {0:?}: set it to otlp, xray or none")]
    Exporter(String),
    #[error("{0} is {1:?}: set it to http/protobuf, and the endpoint to one that accepts it")]
    Protocol(&'static str, String),
    /// Without the value, which can be a secret.
    #[error("{0} is not valid: set it to comma-separated <name>=<value> pairs, with percent-encoded values")]
    Headers(&'static str),
    #[error(
        "the OTLP endpoint is {0:?}: set it to an http:// URL, for example of a collector that runs beside the function"
    )]
    Endpoint(String),
    #[error("AWS_XRAY_DAEMON_ADDRESS is {0:?} ({1}): set it to <address>:<port>")]
    Daemon(String, io::Error),
    #[error("the thread that exports spans can't be started: {0}")]
    Thread(io::Error),
}

/// Completes when the response can be sent: when its spans are exported or lost, or immediately if it need not wait.
pub(crate) type Export = oneshot::Receiver<()>;

/// The destination of spans.
#[derive(Debug)]
enum Destination {
    Daemon(Daemon),
    Collector(Collector),
}

impl Destination {
    /// Reads the environment; `None` if tracing is off or there is no destination.
    fn from_env(warnings: &mut Vec<String>) -> Result<Option<Self>, DestinationError> {
        if ["OTEL_SDK_DISABLED", "POWERTOOLS_TRACE_DISABLED"].iter().any(|name| switch(name, warnings) == Some(true)) {
            return Ok(None);
        }
        let endpoint = variable("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT").or_else(|| {
            variable("OTEL_EXPORTER_OTLP_ENDPOINT").map(|base| format!("{}/v1/traces", base.trim_end_matches('/')))
        });
        let daemon = variable("AWS_XRAY_DAEMON_ADDRESS");
        match variable("OTEL_TRACES_EXPORTER").as_deref() {
            Some("none") => Ok(None),
            Some("otlp") => Self::collector(endpoint.as_deref().unwrap_or("http://localhost:4318/v1/traces")),
            Some("xray") => {
                let address = daemon.as_deref().unwrap_or("127.0.0.1:2000");
                Daemon::connect(address).map(|daemon| Some(Self::Daemon(daemon)))
            }
            Some(other) => Err(DestinationError::Exporter(other.into())),
            None => match (endpoint, daemon) {
                (Some(endpoint), _) => Self::collector(&endpoint),
                (None, Some(address)) => Daemon::connect(&address).map(|daemon| Some(Self::Daemon(daemon))),
                (None, None) => Ok(None),
            },
        }
    }

    fn collector(endpoint: &str) -> Result<Option<Self>, DestinationError> {
        let protocol = otlp_variable(["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"]);
        if let Some((name, protocol)) = protocol.filter(|(_, protocol)| protocol != "http/protobuf") {
            return Err(DestinationError::Protocol(name, protocol));
        }
        let headers = match otlp_variable(["OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"]) {
            Some((name, headers)) => parse_headers(&headers).ok_or(DestinationError::Headers(name))?,
            None => HeaderMap::new(),
        };
        Collector::start(endpoint, headers).map(|collector| Some(Self::Collector(collector)))
    }
}

/// Name and value of the exporter's variable: the one for traces, or else the one for all signals.
fn otlp_variable(names: [&'static str; 2]) -> Option<(&'static str, String)> {
    names.into_iter().find_map(|name| Some((name, variable(name)?)))
}

/// Parses headers in the format of <https://opentelemetry.io/docs/specs/otel/protocol/exporter/>.
fn parse_headers(text: &str) -> Option<HeaderMap> {
    let header = |entry: &str| {
        let (name, value) = entry.split_once('=')?;
        let value: Vec<u8> = percent_decode_str(value.trim()).collect();
        Some((name.trim().parse::<HeaderName>().ok()?, HeaderValue::from_bytes(&value).ok()?))
    };
    text.split(',').filter(|entry| !entry.trim().is_empty()).map(header).collect()
}

/// Traces invocations; `None` if tracing is off.
#[derive(Clone, Debug)]
pub(crate) struct Tracer(Option<Active>);

#[derive(Clone, Debug)]
struct Active {
    spans: Spans,
    service: String,
    capture_error: bool,
}

impl Tracer {
    /// Reads the environment. An invalid setting causes a warning and turns tracing off.
    pub(crate) fn init<S>(warnings: &mut Vec<String>) -> (Self, Option<impl Layer<S> + use<S>>)
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        let capture_error = switch("POWERTOOLS_TRACER_CAPTURE_ERROR", warnings).unwrap_or(true);
        let destination = Destination::from_env(warnings).unwrap_or_else(|error| {
            warnings.push(format!("tracing is off: {error}"));
            None
        });
        destination.map_or((Self(None), None), |destination| {
            let (tracer, layer) = Self::new(destination, capture_error);
            (tracer, Some(layer))
        })
    }

    fn new<S>(destination: Destination, capture_error: bool) -> (Self, impl Layer<S> + use<S>)
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        let service = ["POWERTOOLS_SERVICE_NAME", "OTEL_SERVICE_NAME", "AWS_LAMBDA_FUNCTION_NAME"]
            .into_iter()
            .find_map(variable)
            .unwrap_or_else(|| DEFAULT_SERVICE.into());
        let resource = Resource::builder()
            .with_detector(Box::new(LambdaResourceDetector))
            .with_service_name(service.clone())
            .build();
        let spans = Spans::new(spans::Resource::new(&resource), destination);
        let provider = SdkTracerProvider::builder()
            .with_id_generator(XrayIdGenerator::default())
            .with_span_processor(spans.clone())
            .build();
        let layer = tracing_opentelemetry::layer()
            .with_tracer(provider.tracer(env!("CARGO_PKG_NAME")))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_filter(InvocationFilter { capture_error });
        (Self(Some(Active { spans, service, capture_error })), layer)
    }

    /// Begins the invocation's span, below the parent that Lambda passes.
    pub(crate) fn begin(&self, span: &Span, invocation: &Invocation, cold_start: bool) {
        let Some(active) = &self.0 else { return };
        let parent = invocation.xray_trace_id.as_deref().and_then(header::parse);
        let parent = parent.map_or_else(Context::new, |parent| Context::new().with_remote_span_context(parent));
        // Fails only for a span that has already started.
        let _ = span.set_parent(parent);
        span.set_attribute(INVOCATION_ID, invocation.request_id.clone());
        span.set_attribute("cloud.resource_id", invocation.invoked_function_arn.clone());
        span.set_attribute("faas.coldstart", cold_start);
        let context = span.context();
        context.span().update_name(invocation.env_config.function_name.clone());
        let _current = context.attach();
        annotate("ColdStart", cold_start);
        annotate("Service", active.service.clone());
        if let Destination::Collector(collector) = active.spans.destination() {
            collector.begin(&invocation.request_id);
        }
    }

    /// Ends the invocation's span, even if there are other handles to it.
    pub(crate) fn end(&self, span: &Span, result: Result<(), &Diagnostic>) {
        let Some(active) = &self.0 else { return };
        let context = span.context();
        let span = context.span();
        if let Err(error) = result {
            let message = if active.capture_error { error.error_message.clone() } else { String::new() };
            let mut exception = vec![KeyValue::new("exception.type", error.error_type.clone())];
            if !message.is_empty() {
                exception.push(KeyValue::new("exception.message", message.clone()));
            }
            span.add_event("exception", exception);
            span.set_attribute(KeyValue::new("error.type", error.error_type.clone()));
            span.set_status(Status::error(message));
        }
        span.end();
    }

    /// Sends the ended spans: after the response if Lambda allows it.
    pub(crate) fn flush(&self) -> Export {
        let (done, export) = oneshot::channel();
        if let Some(active) = &self.0 {
            active.spans.send();
            if let Destination::Collector(collector) = active.spans.destination() {
                collector.end(done);
            }
        }
        export
    }
}

/// Parses external input, for the fuzz targets.
#[cfg(feature = "_fuzzing")]
#[doc(hidden)]
pub fn fuzz_header(header: &str) {
    assert!(header::parse(header).is_none_or(|parent| parent.is_valid() && parent.is_remote()));
}
