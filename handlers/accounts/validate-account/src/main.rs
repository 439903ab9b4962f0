//! Checks and normalises a request for an account.

use lambda_runtime::tower::Layer;
use lambda_runtime::{Error, service_fn};
use powertools::Powertools;
use validate_account::handler;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let powertools = Powertools::builder().personal_fields(accounts::PERSONAL_FIELDS).init()?;
    lambda_runtime::run(powertools.layer(service_fn(handler::handle))).await
}
