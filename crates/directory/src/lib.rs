//! The school's directory of departments, advisors and courses: an API over Postgres, with a cache in front.
//!
//! A Lambda function and a container serve the same router, so the same request gets the same bytes from both.

mod settings;
pub mod tls;
mod token;

pub use settings::{Endpoint, Settings};
