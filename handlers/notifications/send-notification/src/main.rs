//! Sends a student the e-mail about a new account or a refused request.

use std::env;
use std::time::Duration;

use aws_config::BehaviorVersion;
use emails::Mailer;
use lambda_runtime::tower::Layer;
use lambda_runtime::{Error, service_fn};
use powertools::idempotency::Idempotency;
use powertools::{Powertools, environment_variable};
use send_notification::handler::{self, Notifier, QUIET_AFTER_REFUSAL};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let powertools = Powertools::builder().personal_fields(accounts::PERSONAL_FIELDS).init()?;
    let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let dynamodb = aws_sdk_dynamodb::Client::new(&config);
    let idempotency = Idempotency::new(dynamodb.clone(), environment_variable::<String>("IDEMPOTENCY_TABLE")?)
        .expires_after(QUIET_AFTER_REFUSAL)
        .in_progress_for(Duration::from_secs(environment_variable("IN_PROGRESS_SECONDS")?));
    let notifier = Notifier {
        dynamodb,
        mailer: Mailer {
            ses: aws_sdk_sesv2::Client::new(&config),
            sender: environment_variable("NOTIFICATION_SENDER")?,
            configuration_set: environment_variable("CONFIGURATION_SET")?,
        },
        idempotency,
        table: environment_variable("ACCOUNTS_TABLE")?,
        web_url: env::var("WEB_URL").ok().filter(|url| !url.is_empty()),
        metrics: powertools.metrics(),
    };
    lambda_runtime::run(powertools.layer(service_fn(async |event| handler::handle(&notifier, event).await))).await
}
