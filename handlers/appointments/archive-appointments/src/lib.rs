//! Writes every change of the appointments table's stream to the archive.

#![allow(missing_docs, reason = "public for its own main, for simulations and for fuzzing")]

pub mod handler;
mod record;
mod run;
#[cfg(test)]
mod tests;
