//! Powertools for AWS Lambda functions in Rust.
// The README's example and links need all features.
#![cfg_attr(
    all(
        feature = "batch",
        feature = "idempotency",
        feature = "logger",
        feature = "metrics",
        feature = "parameters-ssm",
        feature = "tracer"
    ),
    doc = "",
    // The README's links lead to files; the first definition of a link counts.
    doc = "[batch]: crate::batch",
    doc = "[cost]: https://docs.rs/crate/powertools/latest/source/docs/cost.md",
    doc = "[idempotency]: crate::idempotency",
    doc = "[logger]: crate::logger",
    doc = "[metrics]: crate::metrics",
    doc = "[parameters]: crate::parameters",
    doc = "[tracer]: crate::tracer",
    doc = include_str!("../README.md")
)]

#[cfg(feature = "batch")]
pub mod batch;
mod deadline;
#[cfg(any(
    feature = "_parameters",
    feature = "idempotency",
    feature = "logger",
    feature = "metrics",
    feature = "tracer"
))]
mod environment;
#[cfg(feature = "idempotency")]
pub mod idempotency;
#[cfg(any(feature = "logger", feature = "metrics", feature = "tracer"))]
mod invocation;
#[cfg(feature = "logger")]
pub mod logger;
#[cfg(feature = "metrics")]
pub mod metrics;
#[cfg(any(feature = "logger", feature = "metrics"))]
mod output;
#[cfg(feature = "_parameters")]
pub mod parameters;
#[cfg(any(feature = "logger", feature = "metrics", feature = "tracer"))]
mod span;
#[cfg(feature = "tracer")]
pub mod tracer;
mod variable;

pub use deadline::remaining_time;
#[cfg(any(feature = "logger", feature = "metrics", feature = "tracer"))]
pub use invocation::{Builder, InitError, Powertools, PowertoolsFuture, PowertoolsService};
pub use variable::{InvalidVariable, environment_variable};
