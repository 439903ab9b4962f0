//! A client for Amazon DynamoDB Accelerator (DAX).

#[doc(hidden)]
pub mod wire;
