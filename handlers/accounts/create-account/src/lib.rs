//! Creates an account once per e-mail address, and the user who signs in with it.

#![allow(missing_docs, reason = "public for its own main, for simulations and for fuzzing")]

pub mod handler;
#[cfg(test)]
mod tests;
