//! Runs the workflow for each queued request for an account.

mod single_host;

use aws_config::BehaviorVersion;
use lambda_runtime::tower::Layer;
use lambda_runtime::{Error, service_fn};
use powertools::{Powertools, environment_variable};
use start_account_workflow::handler::{self, Workflow};

use crate::single_host::SingleHost;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let powertools = Powertools::builder().personal_fields(accounts::PERSONAL_FIELDS).init()?;
    let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let mut sfn = aws_sdk_sfn::config::Builder::from(&config);
    if config.endpoint_url().is_some() {
        sfn = sfn.interceptor(SingleHost);
    }
    let workflow = Workflow {
        sfn: aws_sdk_sfn::Client::from_conf(sfn.build()),
        sqs: aws_sdk_sqs::Client::new(&config),
        notifications_queue_url: environment_variable("NOTIFICATIONS_QUEUE_URL")?,
        state_machine_arn: environment_variable("STATE_MACHINE_ARN")?,
        metrics: powertools.metrics(),
    };
    lambda_runtime::run(powertools.layer(service_fn(async |event| handler::handle(&workflow, event).await))).await
}
