//! Clients of AWS services, for AWS or for another endpoint, and the error [`Unavailable`].
//!
//! Each service is a feature, so that a function depends on the SDK crates that it uses only.

#[cfg(feature = "eventbridge")]
mod event_bus;
#[cfg(feature = "s3")]
mod s3;
#[cfg(feature = "step-functions")]
mod step_functions;
mod unavailable;

#[cfg(feature = "eventbridge")]
pub use event_bus::EventBus;
#[cfg(feature = "s3")]
pub use s3::s3;
#[cfg(feature = "step-functions")]
pub use step_functions::step_functions;
pub use unavailable::Unavailable;
