//! Sends a student the e-mails about an appointment, with a calendar file.

#![allow(missing_docs, reason = "public for its own main and for simulations")]

mod calendar;
pub mod handler;
#[cfg(test)]
mod tests;
mod texts;
