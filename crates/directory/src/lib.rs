//! The school's directory of departments, advisors and courses: an API over Postgres, with a cache in front.
//!
//! A Lambda function and a container serve the same routes, so the same request gets the same bytes from both.

mod advisors;
mod api;
mod cache;
mod courses;
mod database;
mod departments;
mod directory;
mod error;
mod listing;
mod representation;
mod resource;
mod settings;
mod text;
mod tls;
mod token;

pub use api::{CACHE_HIT, CACHE_MISS, CACHE_STATUS, Caller, reads, service, try_again, writes};
pub use cache::{Cache, Change, Key, Written};
pub use database::{READER, WRITER};
pub use directory::Directory;
pub use settings::{CacheEndpoint, Endpoint, Settings};
pub use text::fold;
pub use tls::{BadCertificateFile, client_config};
