//! Says whether an e-mail address has an account.

use aws_config::BehaviorVersion;
use check_account::handler::{self, Accounts};
use lambda_runtime::tower::Layer;
use lambda_runtime::{Error, service_fn};
use powertools::{Powertools, environment_variable};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let powertools = Powertools::builder().personal_fields(accounts::PERSONAL_FIELDS).init()?;
    let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let accounts =
        Accounts { dynamodb: aws_sdk_dynamodb::Client::new(&config), table: environment_variable("ACCOUNTS_TABLE")? };
    lambda_runtime::run(powertools.layer(service_fn(async |event| handler::handle(&accounts, event).await))).await
}
