#![doc = include_str!("../docs/logger.md")]

use std::backtrace::{Backtrace, BacktraceStatus};
use std::borrow::Cow;
use std::cell::RefCell;
use std::hash::{BuildHasher, RandomState};
use std::panic;
use std::ptr;
use std::sync::{Arc, Mutex, MutexGuard, Once, OnceLock, PoisonError};

use lambda_runtime::{Context, Diagnostic};
use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Span, Subscriber, error, warn};
use tracing_subscriber::Layer;
use tracing_subscriber::layer;
use tracing_subscriber::registry::LookupSpan;

use crate::environment::{DEFAULT_SERVICE, switch, variable};
use crate::span;

mod json;
mod level;
mod line;
mod personal;

use json::Json;
use level::Levels;
use line::Line;
use personal::Personal;

/// The target of the runtime's lines about a failed handler: [`log_failure`] and the panic hook log more.
const RUNTIME_FAILURE: &str = "lambda_runtime::layers::panic";

/// Appends keys to the subsequent lines of this invocation. An existing key is replaced; `null` removes a key.
///
/// The keys end with the invocation and do not affect concurrent ones. Outside of an invocation (during initialization, or
/// in a task that was spawned without its span), nothing is appended and a warning is logged.
///
/// ```
/// use powertools::logger;
///
/// logger::append_keys([("order", "4711")]);
/// logger::append_keys([("total", 12.5.into()), ("cart", serde_json::json!({ "items": 3 }))]);
/// ```
pub fn append_keys<K, V>(keys: impl IntoIterator<Item = (K, V)>)
where
    K: Into<Cow<'static, str>>,
    V: Into<Value>,
{
    let Some(invocation) = current() else {
        return warn!("keys not appended: this is not in the span of an invocation");
    };
    // Converted before locking, because the conversion is the caller's code.
    let keys: Vec<(Cow<'static, str>, Json)> =
        keys.into_iter().map(|(key, value)| (key.into(), Json::from(Into::<Value>::into(value)))).collect();
    let mut appended = invocation.appended();
    for (key, value) in keys {
        appended.keys.retain(|(known, _)| *known != key);
        if !value.is_null() {
            appended.keys.push((key, value));
        }
    }
}

/// Sets the key `correlation_id` of the subsequent lines of this invocation: it connects the lines of different functions.
///
/// Outside of an invocation, it only logs a warning, like [`append_keys`].
///
/// ```
/// powertools::logger::set_correlation_id("c2f4e3a8");
/// ```
pub fn set_correlation_id(id: impl Into<String>) {
    match current() {
        Some(invocation) => invocation.appended().correlation_id = Some(id.into()),
        None => warn!("correlation id not set: this is not in the span of an invocation"),
    }
}

/// The id that [`set_correlation_id`] has set in this invocation, to pass on to called services.
pub fn get_correlation_id() -> Option<String> {
    current()?.appended().correlation_id.clone()
}

/// The logger's data about an invocation.
#[derive(Debug)]
struct Invocation {
    cold_start: bool,
    function_name: String,
    function_memory_size: i32,
    function_arn: String,
    function_request_id: String,
    xray_trace_id: Option<String>,
    /// Whether its debug lines are written; decided at the first one.
    sampled: OnceLock<bool>,
    appended: Mutex<Appended>,
}

#[derive(Debug, Default)]
struct Appended {
    correlation_id: Option<String>,
    keys: Vec<(Cow<'static, str>, Json)>,
}

/// Begins an invocation, whose lines then have its keys.
pub(crate) fn begin(span: &Span, context: &Context, cold_start: bool) {
    span::attach(span, &Arc::new(Invocation::new(context, cold_start)));
}

fn current() -> Option<Arc<Invocation>> {
    span::current()
}

impl Invocation {
    fn new(context: &Context, cold_start: bool) -> Self {
        Self {
            cold_start,
            function_name: context.env_config.function_name.clone(),
            function_memory_size: context.env_config.memory,
            function_arn: context.invoked_function_arn.clone(),
            function_request_id: context.request_id.clone(),
            xray_trace_id: context.xray_trace_id.as_deref().map(|header| trace_id(header).to_owned()),
            sampled: OnceLock::new(),
            appended: Mutex::default(),
        }
    }

    fn is_sampled(&self, rate: f64) -> bool {
        // Random enough for sampling: each `RandomState` has other keys. A double's fraction has 53 bits.
        *self.sampled.get_or_init(|| {
            let bits = RandomState::new().hash_one(&self.function_request_id) >> 11;
            (bits as f64) / ((1_u64 << 53) as f64) < rate
        })
    }

    /// A panic elsewhere can't leave the keys inconsistent.
    fn appended(&self) -> MutexGuard<'_, Appended> {
        self.appended.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The trace id of a trace header, which also has the parent and the sampling decision.
fn trace_id(header: &str) -> &str {
    header.split(';').find_map(|part| part.trim().strip_prefix("Root=")).unwrap_or(header)
}

/// The layer that writes events as lines of JSON.
#[derive(Debug)]
pub(crate) struct Logger {
    service: String,
    levels: Levels,
    personal: Personal,
    pretty: bool,
}

impl Logger {
    /// Reads the environment; adds to the warnings.
    pub(crate) fn from_env(personal_fields: Vec<String>, warnings: &mut Vec<String>) -> Self {
        Self {
            service: variable("POWERTOOLS_SERVICE_NAME").unwrap_or_else(|| DEFAULT_SERVICE.into()),
            levels: Levels::from_env(variable, warnings),
            personal: Personal::new(personal_fields),
            pretty: switch("POWERTOOLS_DEV", warnings).unwrap_or_default(),
        }
    }

    pub(crate) fn into_layer<S>(self) -> impl Layer<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let levels = self.levels.clone();
        self.with_filter(levels)
    }
}

/// Logs panics from now on. A previously set hook is still called.
pub(crate) fn log_panics() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        // Except Rust's default hook, which would print the same as text: `take_hook` has just restored it.
        let before = (!ptr::eq(&*before, &*panic::take_hook())).then_some(before);
        panic::set_hook(Box::new(move |panic| {
            let text = panic.payload_as_str().unwrap_or("(not a string)");
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            let backtrace = Backtrace::capture();
            let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
            error!(exception_name = "panic", exception = text, stack_trace = backtrace, "panicked at {place}");
            if let Some(before) = &before {
                before(panic);
            }
        }));
    });
}

/// Logs the error that a handler returned.
pub(crate) fn log_failure(error: &Diagnostic) {
    error!(exception_name = error.error_type, exception = error.error_message, "the handler failed");
}

/// The fields of a span, attached to it.
#[derive(Debug, Default)]
struct Fields(Vec<(&'static str, Json)>);

impl Fields {
    fn get(&self, name: &str) -> Option<&Json> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    fn set(&mut self, field: &Field, value: Json) {
        let (name, value) = match (field.name(), value) {
            // The runtime's span has other names for these.
            ("requestId", value) => ("function_request_id", value),
            ("xrayTraceId", Json::Text(header)) => ("xray_trace_id", Json::Text(trace_id(&header).into())),
            named => named,
        };
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some(entry) => entry.1 = value,
            None => self.0.push((name, value)),
        }
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field, line::text(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, Json::Scalar(value.into()));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field, Json::Scalar(value.into()));
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        self.set(field, line::digits(value));
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.set(field, line::digits(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field, Json::Scalar(value.into()));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field, Json::Scalar(value.into()));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.set(field, Json::Text(line::error_text(value)));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.set(field, line::text(&format!("{value:?}")));
    }
}

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl<S> Layer<S> for Logger
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: layer::Context<'_, S>) {
        if let Some(span) = context.span(id) {
            let mut fields = Fields::default();
            attributes.record(&mut fields);
            self.personal.redact_fields(&mut fields);
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, record: &Record<'_>, context: layer::Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            record.record(fields);
            self.personal.redact_fields(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: layer::Context<'_, S>) {
        let span = context.event_span(event);
        let invocation: Option<Arc<Invocation>> = span.as_ref().and_then(span::attached);
        if event.metadata().target() == RUNTIME_FAILURE && invocation.is_some() {
            return;
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        self.personal.redact_fields(&mut fields);
        let line = Line {
            logger: self,
            metadata: event.metadata(),
            fields: &fields,
            invocation: invocation.as_deref(),
            span: span.as_ref(),
        };
        BUFFER.with_borrow_mut(|buffer| {
            buffer.clear();
            if line.write(buffer).is_ok() {
                buffer.push(b'\n');
                crate::output::write_line(buffer);
            }
        });
    }
}

#[cfg(test)]
mod tests;

/// The logged form of a string, for the fuzz targets.
#[cfg(feature = "_fuzzing")]
#[doc(hidden)]
pub fn fuzz_masked(text: &str, personal: &str) -> String {
    let value = Personal::new(vec![personal.into()]).redacted("message", &line::text(text)).into_owned();
    serde_json::to_string(&value).expect("a value can be written")
}

/// Parses external input, for the fuzz targets.
#[cfg(feature = "_fuzzing")]
#[doc(hidden)]
pub fn fuzz_levels(one: &str, other: &str) {
    let mut warnings = Vec::new();
    let variable = |name: &str| Some(if name.starts_with("AWS") || name == "RUST_LOG" { one } else { other }.into());
    let levels = Levels::from_env(variable, &mut warnings);
    assert!(levels.sampling_rate.is_none_or(|rate| (0.0..=1.0).contains(&rate)));
}
