//! Writes what became of each row of a registrar's file into a file of results.

#![allow(missing_docs, reason = "public for its own main, for simulations and for fuzzing")]

pub mod handler;
#[cfg(test)]
mod tests;
