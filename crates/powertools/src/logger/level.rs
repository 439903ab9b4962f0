//! Which events are logged.

use std::str::FromStr;

use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, Filter};
use tracing_subscriber::registry::LookupSpan;

use super::RUNTIME_SPAN;
use crate::invocation;

#[derive(Clone, Debug)]
pub(super) struct Levels {
    pub(super) level: LevelFilter,
    /// The share of invocations whose debug lines are written, from 0 to 1; none when it isn't set.
    pub(super) sampling_rate: Option<f64>,
    /// What `RUST_LOG` leaves of the lines of each module.
    targets: Option<Targets>,
}

impl Levels {
    pub(super) fn from_env(variable: impl Fn(&str) -> Option<String>, warnings: &mut Vec<String>) -> Self {
        let mut read = |name: &'static str| {
            let value = variable(name)?;
            let level = parse(&value);
            if level.is_none() {
                warnings.push(format!("{name} is {value:?}, which is no level: taken as not set"));
            }
            Some((value, level?))
        };
        let lambda = read("AWS_LAMBDA_LOG_LEVEL");
        let own = read("POWERTOOLS_LOG_LEVEL").or_else(|| read("LOG_LEVEL"));
        if let (Some((lambda, lambda_level)), Some((own, own_level))) = (&lambda, &own)
            && lambda_level < own_level
        {
            warnings.push(format!(
                "the log level {own} of the environment lets through more than Lambda's {lambda}: lines are lost; \
                 set AWS_LAMBDA_LOG_LEVEL or POWERTOOLS_LOG_LEVEL to the level of the other"
            ));
        }
        let level = lambda.or(own).map_or(LevelFilter::INFO, |(_, level)| level);
        let sampling_rate = variable("POWERTOOLS_LOGGER_SAMPLE_RATE").and_then(|value| {
            let rate = value.parse().ok().filter(|rate| (0.0..=1.0).contains(rate));
            if rate.is_none() {
                warnings.push(format!(
                    "POWERTOOLS_LOGGER_SAMPLE_RATE is {value:?}: set it to a number from 0 to 1; taken as not set"
                ));
            }
            rate
        });
        let targets = variable("RUST_LOG").and_then(|value| match Targets::from_str(&value) {
            // Names of modules narrow what they name, and nothing else.
            Ok(targets) if targets.default_level().is_none() => Some(targets.with_default(LevelFilter::TRACE)),
            Ok(targets) => Some(targets),
            Err(error) => {
                warnings.push(format!("RUST_LOG is {value:?}: {error}; taken as not set"));
                None
            }
        });
        Self { level, sampling_rate, targets }
    }

    fn samples(&self) -> bool {
        self.sampling_rate.is_some_and(|rate| rate > 0.0)
    }
}

/// A level, by the names that Lambda and Powertools have for it.
fn parse(name: &str) -> Option<LevelFilter> {
    Some(match name.to_ascii_uppercase().as_str() {
        "TRACE" => LevelFilter::TRACE,
        "DEBUG" => LevelFilter::DEBUG,
        "INFO" => LevelFilter::INFO,
        "WARN" | "WARNING" => LevelFilter::WARN,
        "ERROR" => LevelFilter::ERROR,
        // Nothing is worse than an error here.
        "FATAL" | "CRITICAL" | "SILENT" => LevelFilter::OFF,
        _ => return None,
    })
}

/// The spans that the invocation's state hangs on.
fn is_invocation(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && [RUNTIME_SPAN, invocation::SPAN].contains(&metadata.target())
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
                    let state = context.lookup_current().as_ref().and_then(invocation::state_of);
                    state.is_some_and(|state| state.logger.is_sampled(rate))
                })
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        // Spans are filtered by it as well, and the runtime's is an info.
        let sampled = if self.samples() { LevelFilter::DEBUG } else { LevelFilter::INFO };
        Some(self.level.max(sampled))
    }
}
