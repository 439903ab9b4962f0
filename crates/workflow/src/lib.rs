//! What the functions of a workflow share: failures that are retried by name.

mod unavailable;

pub use unavailable::Unavailable;
