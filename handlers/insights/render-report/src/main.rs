//! Writes the answers of the jobs as a page.

use aws_config::BehaviorVersion;
use lambda_runtime::tower::Layer;
use lambda_runtime::{Error, service_fn};
use powertools::{Powertools, environment_variable};
use render_report::handler::{self, Answers};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let powertools = Powertools::init()?;
    let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let answers = Answers {
        s3: aws_services::s3(&config),
        bucket: environment_variable("INSIGHTS_BUCKET")?,
        metrics: powertools.metrics(),
    };
    lambda_runtime::run(powertools.layer(service_fn(async |event| handler::handle(&answers, event).await))).await
}
