//! Creates an account once per e-mail address, and the user who signs in with it.

use aws_config::BehaviorVersion;
use create_account::handler::{self, School};
use lambda_runtime::tower::Layer;
use lambda_runtime::{Error, service_fn};
use powertools::{Powertools, environment_variable};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let powertools = Powertools::builder().personal_fields(accounts::PERSONAL_FIELDS).init()?;
    let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let school = School {
        cognito: aws_sdk_cognitoidentityprovider::Client::new(&config),
        dynamodb: aws_sdk_dynamodb::Client::new(&config),
        table: environment_variable("ACCOUNTS_TABLE")?,
        user_pool_id: environment_variable("USER_POOL_ID")?,
    };
    lambda_runtime::run(powertools.layer(service_fn(async |event| handler::handle(&school, event).await))).await
}
