//! Lists the times of an advisor that are taken.

#![allow(missing_docs, reason = "public for its own main")]

pub mod cluster;
pub mod handler;
#[cfg(test)]
mod tests;
