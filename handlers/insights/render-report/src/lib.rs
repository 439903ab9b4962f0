//! Writes the answers of the jobs as a page.

#![allow(missing_docs, reason = "public for its own main and example")]

pub mod answers;
pub mod handler;
pub mod page;
#[cfg(test)]
mod tests;
