//! The school's directory of departments, advisors and courses: an API over Postgres, with a cache in front.
//!
//! A Lambda function and a container serve the same router, so the same request gets the same bytes from both.

mod cache;
mod settings;
pub mod tls;
mod token;

pub use cache::{Cache, Change, Key, Written};
pub use settings::{CacheEndpoint, Endpoint, Settings};
