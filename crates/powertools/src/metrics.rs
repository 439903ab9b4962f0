#![doc = include_str!("../docs/metrics.md")]

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use lambda_runtime::Context;
use serde_json::Value;
use tracing::{Span, warn};

use crate::environment::{DEFAULT_SERVICE, switch, variable};
use crate::span;

mod emf;

pub use emf::Unit;
use emf::{Blob, Metric};

/// CloudWatch's limit for the metrics in one blob, and for the values of one metric.
const MAX_METRICS: usize = 100;

/// CloudWatch's limit for the dimensions in one set.
const MAX_DIMENSIONS: usize = 30;

/// Limit for the name of a metric, a dimension or a namespace, in characters.
const MAX_NAME_LENGTH: usize = 255;

const MAX_DIMENSION_VALUE_LENGTH: usize = 1024;

/// The smallest limit in bytes that CloudWatch documents for a line with metrics; it ignores the metrics of a longer line.
const MAX_LINE_LENGTH: usize = 256 * 1024;

/// CloudWatch accepts values from -2^360 to 2^360.
const MAX_VALUE: f64 = f64::from_bits((1023 + 360) << 52);

/// A handle to the metrics of a function; clones share them.
///
/// No method fails or panics: data that CloudWatch would not accept is omitted with a warning that has the reason.
#[derive(Clone, Debug)]
pub struct Metrics {
    settings: Arc<Settings>,
    collected: Arc<Mutex<Collected>>,
}

#[derive(Debug)]
struct Settings {
    namespace: String,
    service: String,
    default_dimensions: Vec<(String, String)>,
    /// The function's name in the metric `ColdStart`, if it is not the context's.
    function_name: Option<String>,
    cold_start_metric: bool,
    disabled: bool,
    namespace_warning: Once,
}

#[derive(Debug, Default)]
struct Collected {
    metrics: Vec<Metric>,
    dimensions: Vec<(String, String)>,
    dimension_sets: Vec<Vec<(String, String)>>,
    metadata: Vec<(String, Value)>,
}

impl Metrics {
    /// Separate metrics in a namespace, which are written only by [`Metrics::flush`].
    ///
    /// Use them for a second namespace and in tests; otherwise use [`Powertools::metrics`](crate::Powertools::metrics).
    /// The environment sets the service and whether metrics are disabled.
    pub fn new(namespace: impl Into<String>) -> Self {
        let mut warnings = Vec::new();
        let namespace = accepted_namespace(namespace.into(), "the namespace", &mut warnings);
        let settings = Settings { namespace, ..Settings::from_env(&mut warnings) };
        for warning in warnings {
            warn!("{warning}");
        }
        Self::with_settings(settings)
    }

    pub(crate) fn from_env(
        default_dimensions: Vec<(String, String)>,
        cold_start_metric: bool,
        warnings: &mut Vec<String>,
    ) -> Self {
        let mut settings = Settings { cold_start_metric, ..Settings::from_env(warnings) };
        let none = Collected::default();
        for (name, value) in default_dimensions {
            let set: Vec<_> = settings.dimensions(&none).collect();
            match refusal(&set, &name, &value) {
                Some(why) => warnings.push(format!("default dimension {name} omitted: {why}")),
                None => insert(&mut settings.default_dimensions, name, value),
            }
        }
        Self::with_settings(settings)
    }

    fn with_settings(settings: Settings) -> Self {
        Self { settings: Arc::new(settings), collected: Arc::default() }
    }

    /// Begins an invocation: the returned value collects the metrics that are added within its span.
    pub(crate) fn begin(&self, span: &Span, context: &Context, cold_start: bool) -> Self {
        let metrics = Self { settings: Arc::clone(&self.settings), collected: Arc::default() };
        span::attach(span, &metrics);
        if cold_start {
            self.record_cold_start(context);
        }
        metrics
    }

    /// Adds a value to a metric with a resolution of one minute.
    ///
    /// The name has 1 to 255 ASCII characters without control characters; the value is finite.
    pub fn add(&self, name: impl Into<String>, unit: Unit, value: f64) {
        self.add_metric(name.into(), unit, value, false);
    }

    /// Like [`Metrics::add`], with a resolution of one second.
    pub fn add_high_resolution(&self, name: impl Into<String>, unit: Unit, value: f64) {
        self.add_metric(name.into(), unit, value, true);
    }

    fn add_metric(&self, name: String, unit: Unit, value: f64, high_resolution: bool) {
        let name = match name.trim() {
            trimmed if trimmed.len() == name.len() => name,
            trimmed => trimmed.to_owned(),
        };
        if !fits(&name, MAX_NAME_LENGTH) || name == "_aws" {
            return warn!(
                metric = name,
                "metric omitted: its name must have 1 to {MAX_NAME_LENGTH} ASCII characters without control characters"
            );
        }
        if value.is_nan() || value.abs() > MAX_VALUE {
            return warn!(metric = name, value, "metric omitted: CloudWatch does not accept this value");
        }
        self.with_collected(|settings, collected| {
            if settings.has_dimension(&name, collected) {
                return warn!(metric = name, "metric omitted: a dimension has this name");
            }
            let known = collected.metrics.iter().position(|metric| metric.name == name);
            let known = known.filter(|&index| {
                let same = collected.metrics[index].is_like(unit, high_resolution);
                if !same {
                    // A blob has one unit for each name.
                    settings.write_metrics(collected);
                }
                same
            });
            let index = known.unwrap_or_else(|| {
                collected.metrics.push(Metric { name, unit, high_resolution, values: Vec::with_capacity(1) });
                collected.metrics.len() - 1
            });
            let values = &mut collected.metrics[index].values;
            values.push(value);
            if values.len() == MAX_METRICS || collected.metrics.len() == MAX_METRICS {
                settings.write_metrics(collected);
            }
        });
    }

    /// Adds a dimension to all metrics of this invocation, or replaces its value.
    ///
    /// A name has 1 to 255, a value 1 to 1024 ASCII characters without control characters. There are up to 30 dimensions,
    /// including `service` and the default dimensions. AWS bills each combination of values as a metric.
    pub fn add_dimension(&self, name: impl Into<String>, value: impl Into<String>) {
        let (name, value) = (name.into(), value.into());
        self.with_collected(|settings, collected| {
            let set: Vec<_> = settings.dimensions(collected).collect();
            match refusal(&set, &name, &value).or_else(|| collected.taken(&name)) {
                Some(why) => warn!(dimension = name, "dimension omitted: {why}"),
                None => insert(&mut collected.dimensions, name, value),
            }
        });
    }

    /// Adds another set of dimensions for this invocation: its metrics can be looked up by each set.
    ///
    /// The set includes the default dimensions, but not `service`.
    pub fn add_dimension_set<N, V>(&self, dimensions: impl IntoIterator<Item = (N, V)>)
    where
        N: Into<String>,
        V: Into<String>,
    {
        let dimensions: Vec<(String, String)> =
            dimensions.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        self.with_collected(|settings, collected| {
            let mut set = settings.default_dimensions.clone();
            let mut is_empty = true;
            for (name, value) in dimensions {
                match refusal(&set, &name, &value).or_else(|| collected.taken(&name)) {
                    Some(why) => warn!(dimension = name, "dimension omitted: {why}"),
                    None => {
                        insert(&mut set, name, value);
                        is_empty = false;
                    }
                }
            }
            if is_empty {
                return warn!(
                    "dimension set omitted: without dimensions of its own, it would only cost another metric"
                );
            }
            collected.dimension_sets.push(set);
        });
    }

    /// Adds a value to the blob of this invocation that is only in the logs, not a metric.
    ///
    /// It is omitted if a metric or a dimension has the same name.
    pub fn add_metadata(&self, name: impl Into<String>, value: impl Into<Value>) {
        let (name, value) = (name.into(), value.into());
        self.with_collected(|_, collected| insert(&mut collected.metadata, name, value));
    }

    /// Writes the collected metrics to the standard output and clears them.
    ///
    /// [`Powertools`](crate::Powertools) does so at the end of each invocation.
    pub fn flush(&self) {
        self.with_collected(|settings, collected| settings.write(&mem::take(collected)));
    }

    /// Returns the blob that [`Metrics::flush`] would write, and clears the metrics; `None` if there are none. For tests.
    ///
    /// ```
    /// use powertools::metrics::{Metrics, Unit};
    ///
    /// let metrics = Metrics::new("Shop");
    /// metrics.add("Orders", Unit::Count, 1.0);
    /// let blob = metrics.take().unwrap();
    /// assert_eq!(blob["Orders"][0], 1.0);
    /// assert_eq!(blob["_aws"]["CloudWatchMetrics"][0]["Namespace"], "Shop");
    /// assert!(metrics.take().is_none());
    /// ```
    pub fn take(&self) -> Option<Value> {
        self.with_collected(|settings, collected| {
            let collected = mem::take(collected);
            settings.blob(&collected).and_then(|blob| serde_json::to_value(blob).ok())
        })
    }

    /// Writes the metrics of this value, while [`Metrics::flush`] writes those of the current invocation.
    pub(crate) fn flush_own(&self) {
        self.settings.write(&mem::take(&mut *lock(&self.collected)));
    }

    fn record_cold_start(&self, context: &Context) {
        if !self.settings.cold_start_metric {
            return;
        }
        let function_name = self.settings.function_name.as_ref().unwrap_or(&context.env_config.function_name);
        self.settings.write_blob(Blob {
            timestamp: now(),
            namespace: &self.settings.namespace,
            dimensions: vec![("function_name", function_name), ("service", &self.settings.service)],
            dimension_sets: &[],
            metadata: &[],
            metrics: &[Metric {
                name: "ColdStart".into(),
                unit: Unit::Count,
                high_resolution: false,
                values: vec![1.0],
            }],
        });
    }

    /// The current invocation's data: concurrent invocations have separate data.
    fn with_collected<R>(&self, work: impl FnOnce(&Settings, &mut Collected) -> R) -> R {
        let invocation = span::current::<Self>();
        let metrics =
            invocation.as_ref().filter(|metrics| Arc::ptr_eq(&metrics.settings, &self.settings)).unwrap_or(self);
        work(&self.settings, &mut lock(&metrics.collected))
    }
}

impl Settings {
    fn from_env(warnings: &mut Vec<String>) -> Self {
        let namespace = variable("POWERTOOLS_METRICS_NAMESPACE")
            .map(|namespace| accepted_namespace(namespace, "POWERTOOLS_METRICS_NAMESPACE", warnings));
        Self {
            namespace: namespace.unwrap_or_else(|| DEFAULT_NAMESPACE.into()),
            service: dimension_variable("POWERTOOLS_SERVICE_NAME", warnings).unwrap_or_else(|| DEFAULT_SERVICE.into()),
            default_dimensions: Vec::new(),
            function_name: dimension_variable("POWERTOOLS_METRICS_FUNCTION_NAME", warnings),
            cold_start_metric: false,
            disabled: switch("POWERTOOLS_METRICS_DISABLED", warnings)
                .or_else(|| switch("POWERTOOLS_DEV", warnings))
                .unwrap_or_default(),
            namespace_warning: Once::new(),
        }
    }

    /// The first set: `service`, the default dimensions and the invocation's; a later value replaces an earlier one.
    fn dimensions<'a>(&'a self, collected: &'a Collected) -> impl Iterator<Item = (&'a str, &'a str)> {
        let given = self.default_dimensions.iter().filter(|(name, _)| !contains(&collected.dimensions, name));
        let given = given.chain(&collected.dimensions).map(|(name, value)| (name.as_str(), value.as_str()));
        let has_service = contains(&self.default_dimensions, "service") || contains(&collected.dimensions, "service");
        let service = (!has_service).then_some(("service", self.service.as_str()));
        service.into_iter().chain(given)
    }

    fn has_dimension(&self, name: &str, collected: &Collected) -> bool {
        self.dimensions(collected).any(|(dimension, _)| dimension == name)
            || collected.dimension_sets.iter().any(|set| contains(set, name))
    }

    fn blob<'a>(&'a self, collected: &'a Collected) -> Option<Blob<'a>> {
        (!collected.metrics.is_empty()).then(|| Blob {
            timestamp: now(),
            namespace: &self.namespace,
            dimensions: self.dimensions(collected).collect(),
            dimension_sets: &collected.dimension_sets,
            metadata: &collected.metadata,
            metrics: &collected.metrics,
        })
    }

    /// Writes the metrics; the invocation keeps its dimensions and metadata.
    fn write_metrics(&self, collected: &mut Collected) {
        self.write(collected);
        collected.metrics.clear();
    }

    fn write(&self, collected: &Collected) {
        if let Some(blob) = self.blob(collected) {
            self.write_blob(blob);
        }
    }

    fn write_blob(&self, blob: Blob<'_>) {
        if self.disabled {
            return;
        }
        if self.namespace == DEFAULT_NAMESPACE {
            self.namespace_warning.call_once(|| {
                warn!("metrics go to the namespace {DEFAULT_NAMESPACE}: set POWERTOOLS_METRICS_NAMESPACE");
            });
        }
        match serde_json::to_vec(&blob) {
            Ok(line) if line.len() > MAX_LINE_LENGTH && !blob.metadata.is_empty() => {
                warn!(bytes = line.len(), "metadata omitted: the line is too long for CloudWatch");
                self.write_blob(Blob { metadata: &[], ..blob });
            }
            Ok(mut line) => {
                if line.len() > MAX_LINE_LENGTH {
                    warn!(bytes = line.len(), "metrics may be lost: the line is too long for CloudWatch");
                }
                line.push(b'\n');
                crate::output::write_line(&line);
            }
            Err(error) => warn!(%error, "metrics lost: they can't be written as JSON"),
        }
    }
}

/// The default of Powertools for TypeScript.
const DEFAULT_NAMESPACE: &str = "default_namespace";

impl Collected {
    /// Why a dimension can't have this name, if so: metrics and dimensions are members of the same object.
    fn taken(&self, name: &str) -> Option<&'static str> {
        self.metrics.iter().any(|metric| metric.name == name).then_some("a metric has this name")
    }
}

/// The namespace if CloudWatch accepts it, otherwise the default.
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricData.html>
fn accepted_namespace(namespace: String, source: &str, warnings: &mut Vec<String>) -> String {
    if fits(&namespace, MAX_NAME_LENGTH) && !namespace.starts_with(':') {
        return namespace;
    }
    warnings.push(format!(
        "{source} of metrics is {namespace:?}, which CloudWatch does not accept: set it to 1 to {MAX_NAME_LENGTH} ASCII \
         characters without control characters, not starting with a colon; ignored"
    ));
    DEFAULT_NAMESPACE.into()
}

/// The variable's value, if it is a valid dimension value.
fn dimension_variable(name: &str, warnings: &mut Vec<String>) -> Option<String> {
    let value = variable(name)?;
    if !fits(&value, MAX_DIMENSION_VALUE_LENGTH) {
        warnings.push(format!(
            "{name} is {value:?}, which CloudWatch does not accept as a dimension: set it to 1 to \
             {MAX_DIMENSION_VALUE_LENGTH} ASCII characters without control characters; ignored for metrics"
        ));
        return None;
    }
    Some(value)
}

/// Why CloudWatch would not accept a dimension in a set, if so.
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_Dimension.html>
fn refusal<N: AsRef<str>, V>(set: &[(N, V)], name: &str, value: &str) -> Option<&'static str> {
    if !fits(name, MAX_NAME_LENGTH) || name.starts_with(':') || name == "_aws" {
        Some("a name has 1 to 255 ASCII characters without control characters, and does not start with a colon")
    } else if !fits(value, MAX_DIMENSION_VALUE_LENGTH) {
        Some("a value has 1 to 1024 ASCII characters without control characters")
    } else if set.len() >= MAX_DIMENSIONS && !set.iter().any(|(known, _)| known.as_ref() == name) {
        Some("a set has up to 30 dimensions")
    } else {
        None
    }
}

/// CloudWatch's rules for all names and values.
fn fits(text: &str, length: usize) -> bool {
    !text.trim().is_empty()
        && text.len() <= length
        && text.is_ascii()
        && !text.contains(|char: char| char.is_ascii_control())
}

fn contains<V>(entries: &[(String, V)], name: &str) -> bool {
    entries.iter().any(|(known, _)| known == name)
}

fn insert<V>(entries: &mut Vec<(String, V)>, name: String, value: V) {
    match entries.iter_mut().find(|(known, _)| *known == name) {
        Some(entry) => entry.1 = value,
        None => entries.push((name, value)),
    }
}

/// A panic elsewhere can't leave the data inconsistent.
fn lock(collected: &Mutex<Collected>) -> MutexGuard<'_, Collected> {
    collected.lock().unwrap_or_else(PoisonError::into_inner)
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}

#[cfg(test)]
mod tests;
