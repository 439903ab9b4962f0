#![doc = include_str!("../README.md")]

mod client;
mod cluster;
mod connection;
mod error;
mod operations;
#[doc(hidden)]
pub mod wire;

pub use client::{Builder, Client};
pub use error::{Error, ServiceError};
