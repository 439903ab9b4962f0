//! Sends the e-mail that tells a student of the account, or why there is none.

#![allow(missing_docs, reason = "public for its own main, for simulations and for fuzzing")]

pub mod handler;
#[cfg(test)]
mod tests;
