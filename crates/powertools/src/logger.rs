#![doc = include_str!("../docs/logger.md")]

use std::backtrace::{Backtrace, BacktraceStatus};
use std::borrow::Cow;
use std::cell::RefCell;
use std::hash::{BuildHasher, RandomState};
use std::panic;
use std::ptr;
use std::sync::{Mutex, MutexGuard, Once, OnceLock, PoisonError};

use lambda_runtime::{Context, Diagnostic};
use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber, error, warn};
use tracing_subscriber::Layer;
use tracing_subscriber::layer;
use tracing_subscriber::registry::LookupSpan;

use crate::environment::{DEFAULT_SERVICE, switch, variable};
use crate::invocation::{self, RUNTIME_SPAN, State};

mod json;
mod level;
mod line;
mod personal;

use json::Json;
use level::Levels;
use line::Line;
use personal::Personal;

/// The lines in which the runtime tells that the handler failed: [`log_failure`] and the hook for panics tell more.
const RUNTIME_FAILURE: &str = "lambda_runtime::layers::panic";

/// Appends keys to the lines of this invocation that come from here on; a key that is there is replaced, and one that
/// is given `null` is removed.
///
/// They end with the invocation, and are seen by no other one that runs at the same time. Outside of an invocation
/// (while the function initialises, or in a task that was spawned without its span) there is nothing to append to:
/// a warning says so.
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
    let Some(state) = invocation::current() else {
        return warn!("keys not appended: this is not in the span of an invocation");
    };
    // Converted before the lock is taken: that is the caller's code.
    let keys: Vec<(Cow<'static, str>, Json)> =
        keys.into_iter().map(|(key, value)| (key.into(), Json::from(Into::<Value>::into(value)))).collect();
    let mut appended = state.logger.appended();
    for (key, value) in keys {
        appended.keys.retain(|(known, _)| *known != key);
        if !value.is_null() {
            appended.keys.push((key, value));
        }
    }
}

/// Sets what tells which lines, of whatever functions, belong together: the key `correlation_id` of the lines of this
/// invocation that come from here on.
///
/// Outside of an invocation it does nothing but warn, as [`append_keys`].
///
/// ```
/// powertools::logger::set_correlation_id("c2f4e3a8");
/// ```
pub fn set_correlation_id(id: impl Into<String>) {
    match invocation::current() {
        Some(state) => state.logger.appended().correlation_id = Some(id.into()),
        None => warn!("correlation id not set: this is not in the span of an invocation"),
    }
}

/// What [`set_correlation_id`] has set in this invocation, to be handed on to what the function calls.
pub fn get_correlation_id() -> Option<String> {
    invocation::current()?.logger.appended().correlation_id.clone()
}

/// What the logger knows of an invocation.
#[derive(Debug)]
pub(crate) struct Invocation {
    cold_start: bool,
    function_name: String,
    function_memory_size: i32,
    function_arn: String,
    function_request_id: String,
    xray_trace_id: Option<String>,
    /// Whether its debug lines are written; decided when the first one comes.
    sampled: OnceLock<bool>,
    appended: Mutex<Appended>,
}

#[derive(Debug, Default)]
struct Appended {
    correlation_id: Option<String>,
    keys: Vec<(Cow<'static, str>, Json)>,
}

impl Invocation {
    pub(crate) fn new(context: &Context, cold_start: bool) -> Self {
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
        // Random enough for a sample: each has other keys. 53 bits are those of a fraction.
        *self.sampled.get_or_init(|| {
            let bits = RandomState::new().hash_one(&self.function_request_id) >> 11;
            (bits as f64) / ((1_u64 << 53) as f64) < rate
        })
    }

    /// A panic elsewhere leaves the keys whole.
    fn appended(&self) -> MutexGuard<'_, Appended> {
        self.appended.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The identifier alone: a trace header also tells the parent and whether the trace is sampled.
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
    /// As the environment configures it, and what is wrong there.
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

/// From now on a panic is a line of the log as well. A hook that was there before goes on to be called.
pub(crate) fn log_panics() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        // Rust's own would write the same again, as text: it is what is there now that the other is taken.
        let before = (!ptr::eq(&*before, &*panic::take_hook())).then_some(before);
        panic::set_hook(Box::new(move |panic| {
            let text = panic.payload_as_str().unwrap_or("(not a text)");
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

/// What a span says, by name. It hangs on the span.
#[derive(Debug, Default)]
struct Fields(Vec<(&'static str, Json)>);

impl Fields {
    fn get(&self, name: &str) -> Option<&Json> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    fn set(&mut self, field: &Field, value: Json) {
        let (name, value) = match (field.name(), value) {
            // The runtime's own span has other names for these.
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
        let state = span.as_ref().and_then(invocation::state_of);
        if event.metadata().target() == RUNTIME_FAILURE && state.is_some() {
            return;
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        self.personal.redact_fields(&mut fields);
        let line = Line {
            logger: self,
            metadata: event.metadata(),
            fields: &fields,
            state: state.as_deref(),
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

/// What is written of a text, for the fuzz targets.
#[cfg(feature = "_fuzzing")]
#[doc(hidden)]
pub fn fuzz_masked(text: &str, personal: &str) -> String {
    let value = Personal::new(vec![personal.into()]).redacted("message", &line::text(text)).into_owned();
    serde_json::to_string(&value).expect("a value can be written")
}

/// What comes from outside, for the fuzz targets.
#[cfg(feature = "_fuzzing")]
#[doc(hidden)]
pub fn fuzz_levels(one: &str, other: &str) {
    let mut warnings = Vec::new();
    let variable = |name: &str| Some(if name.starts_with("AWS") || name == "RUST_LOG" { one } else { other }.into());
    let levels = Levels::from_env(variable, &mut warnings);
    assert!(levels.sampling_rate.is_none_or(|rate| (0.0..=1.0).contains(&rate)));
}
