//! Sends the e-mail that tells a student of the account, once per account.

mod handler;
#[cfg(test)]
mod tests;

use std::env;
use std::time::Duration;

use aws_config::BehaviorVersion;
use lambda_runtime::{Error, service_fn};

use crate::handler::Notifier;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    lambda_runtime::tracing::init_default_subscriber();
    let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let notifier = Notifier {
        dynamodb: aws_sdk_dynamodb::Client::new(&config),
        ses: aws_sdk_sesv2::Client::new(&config),
        table: env::var("ACCOUNTS_TABLE")?,
        sender: env::var("NOTIFICATION_SENDER")?,
        configuration_set: env::var("CONFIGURATION_SET")?,
        web_url: env::var("WEB_URL")?,
        lease: Duration::from_secs(env::var("LEASE_SECONDS")?.parse()?),
    };
    lambda_runtime::run(service_fn(async |event| handler::handle(&notifier, event).await)).await
}
