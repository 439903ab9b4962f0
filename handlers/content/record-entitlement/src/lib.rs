//! Records until when a student has paid, from the school's payment events.

#![allow(missing_docs, reason = "public for its own main and for the simulation")]

pub mod handler;
#[cfg(test)]
mod tests;
