//! Writes every change of the table of entitlements to the archive.

#[cfg(test)]
mod tests;

use archive::{Archive, Column, Table, stream};
use aws_config::BehaviorVersion;
use lambda_runtime::tower::Layer;
use lambda_runtime::{Error, Runtime, service_fn};
use powertools::batch::Unparsed;
use powertools::{Powertools, environment_variable};

/// The table of entitlements as `crates/entitlements` describes it.
const TABLE: Table = Table {
    name: "entitlements",
    item: "entitlement",
    hash_key: "student_id",
    range_key: None,
    date: None,
    columns: &[Column::text("student_id").unique(), Column::integer("paid_until"), Column::time("occurred_at")],
}
.checked();

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let powertools = Powertools::init()?;
    let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let archive =
        Archive { table: &TABLE, s3: aws_services::s3(&config), bucket: environment_variable("ARCHIVE_BUCKET")? };
    let metrics = powertools.metrics();
    let service = service_fn(async |event| stream::handle(&archive, &metrics, event).await);
    Runtime::new(powertools.layer(service)).layer(Unparsed).run().await
}
