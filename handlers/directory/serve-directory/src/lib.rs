//! Serves the directory's API.

pub mod handler;
