//! Sends a student the e-mails about an appointment, with a calendar file.

use std::env;
use std::time::Duration;

use aws_config::BehaviorVersion;
use emails::Mailer;
use lambda_runtime::tower::Layer;
use lambda_runtime::{Error, service_fn};
use powertools::idempotency::Idempotency;
use powertools::{Powertools, environment_variable};
use send_reminder::handler::{self, KEPT_FOR, Sender};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let powertools = Powertools::builder().personal_fields(reminders::PERSONAL_FIELDS).init()?;
    let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let dynamodb = aws_sdk_dynamodb::Client::new(&config);
    let idempotency = Idempotency::new(dynamodb.clone(), environment_variable::<String>("IDEMPOTENCY_TABLE")?)
        .expires_after(KEPT_FOR)
        .in_progress_for(Duration::from_secs(environment_variable("IN_PROGRESS_SECONDS")?));
    let sender = Sender {
        dynamodb,
        mailer: Mailer {
            ses: aws_sdk_sesv2::Client::new(&config),
            sender: environment_variable("NOTIFICATION_SENDER")?,
            configuration_set: environment_variable("CONFIGURATION_SET")?,
        },
        idempotency,
        slots_table: environment_variable("SLOTS_TABLE")?,
        web_url: env::var("WEB_URL").ok().filter(|url| !url.is_empty()),
        metrics: powertools.metrics(),
    };
    lambda_runtime::run(powertools.layer(service_fn(async |event| handler::handle(&sender, event).await))).await
}
