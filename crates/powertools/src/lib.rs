//! Powertools for AWS Lambda functions in Rust.

#[cfg(feature = "batch")]
pub mod batch;
mod deadline;
#[cfg(feature = "idempotency")]
pub mod idempotency;
mod invocation;
#[cfg(feature = "logger")]
pub mod logger;
#[cfg(feature = "metrics")]
pub mod metrics;
#[cfg(feature = "parameters")]
pub mod parameters;
#[cfg(feature = "tracer")]
pub mod tracer;

pub use deadline::remaining_time;
pub use invocation::{InitError, Powertools, PowertoolsFuture, PowertoolsService};
