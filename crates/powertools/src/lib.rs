//! Powertools for AWS Lambda functions in Rust.

#[cfg(feature = "batch")]
pub mod batch;
mod deadline;
#[cfg(any(feature = "_parameters", feature = "logger", feature = "metrics", feature = "tracer"))]
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
#[cfg(feature = "tracer")]
pub mod tracer;

pub use deadline::remaining_time;
#[cfg(any(feature = "logger", feature = "metrics", feature = "tracer"))]
pub use invocation::{Builder, InitError, Powertools, PowertoolsFuture, PowertoolsService};
