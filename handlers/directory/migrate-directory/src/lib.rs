//! Brings the directory's schema up to date, for CloudFormation.

pub mod answer;
pub mod handler;
pub mod seed;
