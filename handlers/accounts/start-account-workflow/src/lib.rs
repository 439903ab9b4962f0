//! Runs the workflow for each queued request for an account.

#![allow(missing_docs, reason = "public for its own main, for simulations and for fuzzing")]

pub mod handler;
#[cfg(test)]
mod tests;
