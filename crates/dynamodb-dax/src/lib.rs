//! A client for Amazon DynamoDB Accelerator (DAX), with the inputs and outputs of `aws-sdk-dynamodb`.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use aws_sdk_dynamodb::operation::get_item::GetItemInput;
//! use aws_sdk_dynamodb::types::AttributeValue;
//! # let credentials = aws_credential_types::Credentials::new("", "", None, None, "example");
//!
//! let client = dynamodb_dax::Client::builder("daxs://…", "eu-west-1", credentials).build()?;
//! let input = GetItemInput::builder().table_name("times").key("id", AttributeValue::S("one".to_owned())).build()?;
//! let item = client.get_item(input).await?.item;
//! # Ok(())
//! # }
//! ```

mod client;
mod cluster;
mod connection;
mod error;
mod operations;
#[doc(hidden)]
pub mod wire;

pub use client::{Builder, Client};
pub use error::{Error, ServiceError};
