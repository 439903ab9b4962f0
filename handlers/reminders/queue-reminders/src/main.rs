//! Queues an e-mail for each change of a student's appointment, and schedules its reminder.

use aws_config::BehaviorVersion;
use lambda_runtime::tower::Layer;
use lambda_runtime::{Error, service_fn};
use powertools::{Powertools, environment_variable};
use queue_reminders::handler::{self, Reminders};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let powertools = Powertools::builder().personal_fields(reminders::PERSONAL_FIELDS).init()?;
    let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let reminders = Reminders {
        sqs: aws_sdk_sqs::Client::new(&config),
        scheduler: aws_sdk_scheduler::Client::new(&config),
        queue_url: environment_variable("REMINDERS_QUEUE_URL")?,
        queue_arn: environment_variable("REMINDERS_QUEUE_ARN")?,
        failed_queue_arn: environment_variable("FAILED_REMINDERS_QUEUE_ARN")?,
        schedule_group: environment_variable("SCHEDULE_GROUP")?,
        schedule_role_arn: environment_variable("SCHEDULE_ROLE_ARN")?,
    };
    lambda_runtime::run(powertools.layer(service_fn(async |event| handler::handle(&reminders, event).await))).await
}
