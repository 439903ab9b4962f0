//! One event as a line of JSON.

use std::error::Error;

use chrono::{SecondsFormat, Utc};
use serde::ser::{Serialize, SerializeMap, Serializer as _};
use serde_json::ser::{CompactFormatter, Formatter, PrettyFormatter, Serializer};
use tracing::{Level, Metadata};
use tracing_subscriber::registry::{LookupSpan, SpanRef};

use super::json::Json;
use super::{Fields, Invocation, Logger};

/// An event and its context.
pub(super) struct Line<'a, 'r, R: LookupSpan<'r>> {
    pub(super) logger: &'a Logger,
    pub(super) metadata: &'static Metadata<'static>,
    pub(super) fields: &'a Fields,
    pub(super) invocation: Option<&'a Invocation>,
    pub(super) span: Option<&'a SpanRef<'r, R>>,
}

impl<'r, R: LookupSpan<'r>> Line<'_, 'r, R> {
    pub(super) fn write(&self, buffer: &mut Vec<u8>) -> serde_json::Result<()> {
        match self.logger.pretty {
            true => self.write_with(Serializer::with_formatter(buffer, PrettyFormatter::with_indent(b"    "))),
            false => self.write_with(Serializer::with_formatter(buffer, CompactFormatter)),
        }
    }

    fn write_with<F: Formatter>(&self, mut serializer: Serializer<&mut Vec<u8>, F>) -> serde_json::Result<()> {
        let Self { logger, metadata, invocation, .. } = *self;
        let appended = invocation.map(Invocation::appended);
        let mut keys = Keys { map: serializer.serialize_map(None)?, written: Vec::with_capacity(24) };
        keys.write("level", level(metadata.level()))?;
        let module = metadata.module_path().unwrap_or(metadata.target());
        keys.write("location", &format_args!("{module}:{}", metadata.line().unwrap_or_default()))?;
        keys.write_value("message", self.fields.get("message"))?;
        keys.write("timestamp", &Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true))?;
        keys.write("service", &logger.service)?;
        keys.write_some("sampling_rate", logger.levels.sampling_rate)?;
        if let Some(invocation) = invocation {
            keys.write("cold_start", &invocation.cold_start)?;
            keys.write("function_name", &invocation.function_name)?;
            keys.write("function_memory_size", &invocation.function_memory_size)?;
            keys.write("function_arn", &invocation.function_arn)?;
            keys.write("function_request_id", &invocation.function_request_id)?;
            let correlation_id = appended.as_ref().and_then(|appended| appended.correlation_id.as_deref());
            keys.write_some("correlation_id", correlation_id)?;
            keys.write_some("xray_trace_id", invocation.xray_trace_id.as_deref())?;
        }
        for (key, value) in &self.fields.0 {
            keys.write_value(key, Some(value))?;
        }
        for (key, value) in appended.iter().flat_map(|appended| &appended.keys) {
            keys.write_value(key, Some(&logger.personal.redacted(key, value)))?;
        }
        for span in self.span.iter().flat_map(|span| span.scope()) {
            for (key, value) in span.extensions().get::<Fields>().iter().flat_map(|fields| &fields.0) {
                keys.write_value(key, Some(value))?;
            }
        }
        keys.map.end()
    }
}

/// The keys of a line; of several values of a name, only the first is written.
struct Keys<'k, M> {
    map: M,
    written: Vec<&'k str>,
}

impl<'k, M: SerializeMap> Keys<'k, M> {
    fn write<V: Serialize + ?Sized>(&mut self, key: &'k str, value: &V) -> Result<(), M::Error> {
        if self.written.contains(&key) {
            return Ok(());
        }
        self.written.push(key);
        self.map.serialize_entry(key, value)
    }

    fn write_some<V: Serialize>(&mut self, key: &'k str, value: Option<V>) -> Result<(), M::Error> {
        value.map_or(Ok(()), |value| self.write(key, &value))
    }

    fn write_value(&mut self, key: &'k str, value: Option<&Json>) -> Result<(), M::Error> {
        self.write_some(key, value.filter(|value| !value.is_null()))
    }
}

/// The name that Lambda's filter knows: it treats an unknown level, such as `WARNING`, as INFO.
fn level(level: &Level) -> &'static str {
    match *level {
        Level::TRACE => "TRACE",
        Level::DEBUG => "DEBUG",
        Level::INFO => "INFO",
        Level::WARN => "WARN",
        Level::ERROR => "ERROR",
    }
}

/// A string as a value: a JSON object or array is parsed, so that it can be searched and masked inside.
pub(super) fn text(text: &str) -> Json {
    let trimmed = text.trim();
    // The first and last characters rule out JSON for most strings.
    let possible =
        trimmed.starts_with('{') && trimmed.ends_with('}') || trimmed.starts_with('[') && trimmed.ends_with(']');
    possible.then(|| Json::parse(trimmed)).flatten().unwrap_or_else(|| Json::Text(text.into()))
}

/// An integer of more than 64 bits.
pub(super) fn digits(integer: impl ToString) -> Json {
    let digits = integer.to_string();
    Json::parse(&digits).unwrap_or(Json::Text(digits))
}

/// An error with all its causes.
pub(super) fn error_text(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
