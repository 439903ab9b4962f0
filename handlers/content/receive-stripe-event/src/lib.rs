//! Announces the payments that Stripe reports to the school.

#![allow(missing_docs, reason = "public for its own main")]

pub mod handler;
mod signature;
#[cfg(test)]
mod tests;
