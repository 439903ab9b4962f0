//! Adds to a student's ID token until when the student has paid.

#![allow(missing_docs, reason = "public for its own main")]

pub mod handler;
#[cfg(test)]
mod tests;
