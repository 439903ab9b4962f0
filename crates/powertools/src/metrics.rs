#![doc = include_str!("../docs/metrics.md")]

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use lambda_runtime::Context;
use serde_json::Value;
use tracing::warn;

use crate::environment::{DEFAULT_SERVICE, switch, variable};

mod emf;

pub use emf::Unit;
use emf::{Blob, Metric};

/// CloudWatch takes as many in one blob, and as many values of one metric.
const MAX_METRICS: usize = 100;

/// CloudWatch takes as many in one set.
const MAX_DIMENSIONS: usize = 30;

/// Of a metric, a dimension or a namespace.
const MAX_NAME_LENGTH: usize = 255;

const MAX_DIMENSION_VALUE_LENGTH: usize = 1024;

/// The shortest limit, in bytes, that CloudWatch documents for a line with metrics; it takes none from a longer one.
const MAX_LINE_LENGTH: usize = 256 * 1024;

/// CloudWatch takes values from -2^360 to 2^360.
const MAX_VALUE: f64 = f64::from_bits((1023 + 360) << 52);

/// A handle to the metrics of a function, which its clones share.
///
/// Nothing here fails or panics: what CloudWatch would not take is left out, and a warning says what and why.
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
    /// The function's name in the metric `ColdStart`, unless it is the context's.
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
    /// Metrics of their own, in a namespace: nobody flushes them but [`Metrics::flush`].
    ///
    /// They are for a second namespace, and for tests of a handler; what a handler works with is
    /// [`Powertools::metrics`](crate::Powertools::metrics). The service, and whether metrics are disabled, comes from
    /// the environment.
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
                Some(why) => warnings.push(format!("default dimension {name} left out: {why}")),
                None => insert(&mut settings.default_dimensions, name, value),
            }
        }
        Self::with_settings(settings)
    }

    fn with_settings(settings: Settings) -> Self {
        Self { settings: Arc::new(settings), collected: Arc::default() }
    }

    pub(crate) fn for_invocation(&self) -> Self {
        Self { settings: Arc::clone(&self.settings), collected: Arc::default() }
    }

    /// Adds a value to a metric. CloudWatch keeps it with a resolution of a minute.
    ///
    /// The name has up to 255 characters of ASCII, no control characters, and the value is a finite number.
    pub fn add(&self, name: impl Into<String>, unit: Unit, value: f64) {
        self.add_metric(name.into(), unit, value, false);
    }

    /// Like [`Metrics::add`], with a resolution of a second.
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
                "metric left out: its name has to have 1 to {MAX_NAME_LENGTH} characters of ASCII, no control characters"
            );
        }
        if value.is_nan() || value.abs() > MAX_VALUE {
            return warn!(metric = name, value, "metric left out: CloudWatch takes no such value");
        }
        self.with_collected(|settings, collected| {
            if settings.has_dimension(&name, collected) {
                return warn!(metric = name, "metric left out: a dimension has this name");
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

    /// Adds a dimension to all metrics of this invocation. A value that it has is replaced.
    ///
    /// A name has up to 255 characters, a value up to 1024, all of ASCII, no control characters. There are up to 30
    /// dimensions together with `service` and the default dimensions. Each combination of values is a metric of its own
    /// that AWS bills.
    pub fn add_dimension(&self, name: impl Into<String>, value: impl Into<String>) {
        let (name, value) = (name.into(), value.into());
        self.with_collected(|settings, collected| {
            let set: Vec<_> = settings.dimensions(collected).collect();
            match refusal(&set, &name, &value).or_else(|| collected.taken(&name)) {
                Some(why) => warn!(dimension = name, "dimension left out: {why}"),
                None => insert(&mut collected.dimensions, name, value),
            }
        });
    }

    /// Adds a second set of dimensions for this invocation: its metrics can be looked up by either set.
    ///
    /// The default dimensions are part of it, `service` is not.
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
                    Some(why) => warn!(dimension = name, "dimension left out: {why}"),
                    None => {
                        insert(&mut set, name, value);
                        is_empty = false;
                    }
                }
            }
            if is_empty {
                return warn!("dimension set left out: it would be one more metric, without a dimension of its own");
            }
            collected.dimension_sets.push(set);
        });
    }

    /// Adds what is no metric to the blob of this invocation, to be found in the logs only.
    ///
    /// A name that a metric or a dimension has is left out of the blob.
    pub fn add_metadata(&self, name: impl Into<String>, value: impl Into<Value>) {
        let (name, value) = (name.into(), value.into());
        self.with_collected(|_, collected| insert(&mut collected.metadata, name, value));
    }

    /// Writes what has been collected to the standard output, and begins anew.
    ///
    /// [`Powertools`](crate::Powertools) does so at the end of each invocation.
    pub fn flush(&self) {
        self.with_collected(|settings, collected| settings.write(&mem::take(collected)));
    }

    /// Takes what [`Metrics::flush`] would write, for tests or to drop it: nothing when there is no metric.
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

    /// Writes what was added outside of any invocation's span, where [`Metrics::flush`] writes this invocation's.
    pub(crate) fn flush_own(&self) {
        self.settings.write(&mem::take(&mut *lock(&self.collected)));
    }

    pub(crate) fn record_cold_start(&self, context: &Context) {
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

    /// Several invocations can run at once in one process, so each has its own.
    fn with_collected<R>(&self, work: impl FnOnce(&Settings, &mut Collected) -> R) -> R {
        let invocation = crate::invocation::current();
        let metrics = invocation.as_ref().map(|state| &state.metrics);
        let metrics = metrics.filter(|metrics| Arc::ptr_eq(&metrics.settings, &self.settings)).unwrap_or(self);
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

    /// The first set: `service`, the default dimensions and this invocation's; the last of a name counts.
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

    /// Writes the metrics, while the invocation goes on with its dimensions and metadata.
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
                warn!(bytes = line.len(), "metadata left out: CloudWatch takes no metrics from so long a line");
                self.write_blob(Blob { metadata: &[], ..blob });
            }
            Ok(mut line) => {
                if line.len() > MAX_LINE_LENGTH {
                    warn!(bytes = line.len(), "metrics may be lost: CloudWatch takes none from so long a line");
                }
                line.push(b'\n');
                crate::output::write_line(&line);
            }
            Err(error) => warn!(%error, "metrics lost: they can't be written as JSON"),
        }
    }
}

/// The name that Powertools for TypeScript gives.
const DEFAULT_NAMESPACE: &str = "default_namespace";

impl Collected {
    /// Why a dimension can't have this name: metrics and dimensions are members of the same object.
    fn taken(&self, name: &str) -> Option<&'static str> {
        self.metrics.iter().any(|metric| metric.name == name).then_some("a metric has this name")
    }
}

/// The namespace if CloudWatch takes it, else the default.
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricData.html>
fn accepted_namespace(namespace: String, source: &str, warnings: &mut Vec<String>) -> String {
    if fits(&namespace, MAX_NAME_LENGTH) && !namespace.starts_with(':') {
        return namespace;
    }
    warnings.push(format!(
        "{source} of metrics is {namespace:?}, which CloudWatch would not take: set it to 1 to {MAX_NAME_LENGTH} characters of \
         ASCII, no control characters, and no colon in front; taken as not set"
    ));
    DEFAULT_NAMESPACE.into()
}

/// The variable's value, if it can be that of a dimension.
fn dimension_variable(name: &str, warnings: &mut Vec<String>) -> Option<String> {
    let value = variable(name)?;
    if !fits(&value, MAX_DIMENSION_VALUE_LENGTH) {
        warnings.push(format!(
            "{name} is {value:?}, which CloudWatch would not take as a dimension: set it to 1 to \
             {MAX_DIMENSION_VALUE_LENGTH} characters of ASCII, no control characters; metrics take it as not set"
        ));
        return None;
    }
    Some(value)
}

/// Why CloudWatch would not take a dimension in a set.
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_Dimension.html>
fn refusal<N: AsRef<str>, V>(set: &[(N, V)], name: &str, value: &str) -> Option<&'static str> {
    if !fits(name, MAX_NAME_LENGTH) || name.starts_with(':') || name == "_aws" {
        Some("a name has 1 to 255 characters of ASCII, no control characters, and no colon in front")
    } else if !fits(value, MAX_DIMENSION_VALUE_LENGTH) {
        Some("a value has 1 to 1024 characters of ASCII, no control characters")
    } else if set.len() >= MAX_DIMENSIONS && !set.iter().any(|(known, _)| known.as_ref() == name) {
        Some("a set has up to 30 dimensions")
    } else {
        None
    }
}

/// What CloudWatch asks of every name and value.
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

/// A panic elsewhere leaves what was collected whole.
fn lock(collected: &Mutex<Collected>) -> MutexGuard<'_, Collected> {
    collected.lock().unwrap_or_else(PoisonError::into_inner)
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}

#[cfg(test)]
mod tests;
