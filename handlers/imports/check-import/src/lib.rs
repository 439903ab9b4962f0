//! Checks whether a registrar's file can be imported, and writes its rows as JSON Lines.

#![allow(missing_docs, reason = "public for its own main, for simulations and for fuzzing")]

pub mod handler;
mod table;
#[cfg(test)]
mod tests;
mod text;
