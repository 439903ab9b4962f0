//! Runs the workflow for each queued request for an account.

use aws_config::BehaviorVersion;
use aws_services::EventBus;
use lambda_runtime::tower::Layer;
use lambda_runtime::{Error, service_fn};
use powertools::{Powertools, environment_variable};
use start_account_workflow::handler::{self, Workflow};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let powertools = Powertools::builder().personal_fields(accounts::PERSONAL_FIELDS).init()?;
    let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let workflow = Workflow {
        sfn: aws_services::step_functions(&config),
        event_bus: EventBus {
            client: aws_sdk_eventbridge::Client::new(&config),
            name: environment_variable("EVENT_BUS")?,
        },
        state_machine_arn: environment_variable("STATE_MACHINE_ARN")?,
        metrics: powertools.metrics(),
    };
    lambda_runtime::run(powertools.layer(service_fn(async |event| handler::handle(&workflow, event).await))).await
}
