//! Queues an e-mail for each change of a student's appointment, and schedules its reminder.

#![allow(missing_docs, reason = "public for its own main and for simulations")]

pub mod handler;
#[cfg(test)]
mod tests;
