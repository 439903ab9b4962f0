//! Gives a student who has paid the cookies that open the course material.

#![allow(missing_docs, reason = "public for its own main")]

pub mod handler;
pub mod signer;
#[cfg(test)]
mod tests;
