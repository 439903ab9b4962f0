//! Compares the table with the archive, and archives the changes that are missing.

#![allow(missing_docs, reason = "public for its own main, for simulations and for fuzzing")]

mod chain;
mod error;
pub mod handler;
mod partitions;
mod run;
mod scan;
#[cfg(test)]
mod tests;
mod walk;
