//! What the functions of a workflow share: failures that are retried by name, and annotations of the trace.

mod subsegment;
mod unavailable;

pub use subsegment::Subsegment;
pub use unavailable::Unavailable;
