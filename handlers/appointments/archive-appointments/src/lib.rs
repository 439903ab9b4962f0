//! Writes every change of the table's stream to the archive.

#![allow(missing_docs, reason = "public for its own main, for simulations and for fuzzing")]

mod group;
pub mod handler;
mod record;
#[cfg(test)]
mod tests;
