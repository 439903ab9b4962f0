//! Announces an account on the school's event bus.

use aws_config::BehaviorVersion;
use aws_services::EventBus;
use lambda_runtime::tower::Layer;
use lambda_runtime::{Error, service_fn};
use notify_student::handler::{self, Announcer};
use powertools::{Powertools, environment_variable};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let powertools = Powertools::builder().personal_fields(accounts::PERSONAL_FIELDS).init()?;
    let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let announcer = Announcer {
        dynamodb: aws_sdk_dynamodb::Client::new(&config),
        event_bus: EventBus {
            client: aws_sdk_eventbridge::Client::new(&config),
            name: environment_variable("EVENT_BUS")?,
        },
        table: environment_variable("ACCOUNTS_TABLE")?,
    };
    lambda_runtime::run(powertools.layer(service_fn(async |event| handler::handle(&announcer, event).await))).await
}
