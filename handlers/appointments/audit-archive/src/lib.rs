//! Enters every archive object into the ledger.

#![allow(missing_docs, reason = "public for its own main, for simulations and for fuzzing")]

pub mod handler;
#[cfg(test)]
mod tests;
