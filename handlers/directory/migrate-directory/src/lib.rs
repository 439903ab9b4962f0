//! Brings the directory's schema up to date, for CloudFormation.

#![allow(missing_docs, reason = "public for its own main")]

pub mod answer;
pub mod handler;
pub mod seed;
