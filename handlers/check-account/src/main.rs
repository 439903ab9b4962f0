//! Says whether an e-mail address has an account.

mod handler;
#[cfg(test)]
mod tests;

use std::env;

use aws_config::BehaviorVersion;
use lambda_runtime::{Error, service_fn};

use crate::handler::Accounts;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    lambda_runtime::tracing::init_default_subscriber();
    let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let accounts = Accounts { dynamodb: aws_sdk_dynamodb::Client::new(&config), table: env::var("ACCOUNTS_TABLE")? };
    lambda_runtime::run(service_fn(async |event| handler::handle(&accounts, event).await)).await
}
