//! Serves the directory's API.

#![allow(missing_docs, reason = "public for its own main")]

pub mod handler;
