#![doc = include_str!("../README.md")]

mod client;
mod cluster;
mod connection;
mod drop_in;
mod error;
mod fallback;
#[cfg(feature = "_fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(any(test, feature = "_fuzzing"))]
mod known_table;
mod operations;
#[doc(hidden)]
pub mod wire;

pub use client::{Builder, Client};
pub use drop_in::dynamodb_client;
pub use error::{Error, ServiceError};
