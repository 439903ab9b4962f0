//! Selects the events to log.

use std::str::FromStr;
use std::sync::Arc;

use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, Filter};
use tracing_subscriber::registry::LookupSpan;

use super::Invocation;
use crate::span;

#[derive(Clone, Debug)]
pub(super) struct Levels {
    pub(super) level: LevelFilter,
    /// The share of invocations that log at DEBUG, from 0 to 1; `None` if it is not set.
    pub(super) sampling_rate: Option<f64>,
    /// The levels of modules in `RUST_LOG`.
    targets: Option<Targets>,
}

impl Levels {
    pub(super) fn from_env(variable: impl Fn(&str) -> Option<String>, warnings: &mut Vec<String>) -> Self {
        let mut read = |name: &'static str| {
            let value = variable(name)?;
            let level = parse(&value);
            if level.is_none() {
                warnings.push(format!("{name} is {value:?}, which is not a level: ignored"));
            }
            Some((value, level?))
        };
        let lambda = read("AWS_LAMBDA_LOG_LEVEL");
        let own = read("POWERTOOLS_LOG_LEVEL").or_else(|| read("LOG_LEVEL"));
        if let (Some((lambda, lambda_level)), Some((own, own_level))) = (&lambda, &own)
            && lambda_level < own_level
        {
            warnings.push(format!(
                "the log level {own} of the environment allows more than Lambda's {lambda}: lines are lost; \
                 set AWS_LAMBDA_LOG_LEVEL and POWERTOOLS_LOG_LEVEL to the same level"
            ));
        }
        let level = lambda.or(own).map_or(LevelFilter::INFO, |(_, level)| level);
        let sampling_rate = variable("POWERTOOLS_LOGGER_SAMPLE_RATE").and_then(|value| {
            let rate = value.parse().ok().filter(|rate| (0.0..=1.0).contains(rate));
            if rate.is_none() {
                warnings.push(format!(
                    "POWERTOOLS_LOGGER_SAMPLE_RATE is {value:?}: set it to a number from 0 to 1; ignored"
                ));
            }
            rate
        });
        let targets = variable("RUST_LOG").and_then(|value| match Targets::from_str(&value) {
            // A list of modules without a default level restricts only these modules.
            Ok(targets) if targets.default_level().is_none() => Some(targets.with_default(LevelFilter::TRACE)),
            Ok(targets) => Some(targets),
            Err(error) => {
                warnings.push(format!("RUST_LOG is {value:?}: {error}; ignored"));
                None
            }
        });
        Self { level, sampling_rate, targets }
    }

    fn samples(&self) -> bool {
        self.sampling_rate.is_some_and(|rate| rate > 0.0)
    }
}

/// Parses the names of levels that Lambda and Powertools use.
fn parse(name: &str) -> Option<LevelFilter> {
    Some(match name.to_ascii_uppercase().as_str() {
        "TRACE" => LevelFilter::TRACE,
        "DEBUG" => LevelFilter::DEBUG,
        "INFO" => LevelFilter::INFO,
        "WARN" | "WARNING" => LevelFilter::WARN,
        "ERROR" => LevelFilter::ERROR,
        // `tracing` has no level above ERROR.
        "FATAL" | "CRITICAL" | "SILENT" => LevelFilter::OFF,
        _ => return None,
    })
}

/// Whether it is a span that has the invocation's data.
fn is_invocation(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && [span::RUNTIME_TARGET, span::TARGET].contains(&metadata.target())
}

impl<S> Filter<S> for Levels
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        let level = metadata.level();
        if is_invocation(metadata) {
            return Interest::always();
        }
        if self.targets.as_ref().is_some_and(|targets| !targets.would_enable(metadata.target(), level)) {
            return Interest::never();
        }
        match (*level <= self.level, self.samples() && *level <= Level::DEBUG) {
            (true, _) => Interest::always(),
            (false, true) => Interest::sometimes(),
            (false, false) => Interest::never(),
        }
    }

    fn enabled(&self, metadata: &Metadata<'_>, context: &Context<'_, S>) -> bool {
        let level = metadata.level();
        if is_invocation(metadata) {
            return true;
        }
        if self.targets.as_ref().is_some_and(|targets| !targets.would_enable(metadata.target(), level)) {
            return false;
        }
        *level <= self.level
            || *level <= Level::DEBUG
                && self.sampling_rate.is_some_and(|rate| {
                    let invocation: Option<Arc<Invocation>> =
                        context.lookup_current().as_ref().and_then(span::attached);
                    invocation.is_some_and(|invocation| invocation.is_sampled(rate))
                })
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        // It applies to spans, too, and the runtime's span has the level INFO.
        let sampled = if self.samples() { LevelFilter::DEBUG } else { LevelFilter::INFO };
        Some(self.level.max(sampled))
    }
}
