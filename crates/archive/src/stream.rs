//! From the table's stream to the archive.
//!
//! No change is lost: each record of a batch is archived, or goes to quarantine because it can never be archived, or is
//! delivered again because the response reports it or one before it.

mod group;
mod record;
#[cfg(test)]
mod tests;

use lambda_runtime::{Error, LambdaEvent};
use powertools::batch::{BatchItemFailure, BatchResponse, UnparsedEvent};
use powertools::metrics::{Metrics, Unit};
use tracing::error;

use crate::store::Archive;
use group::Content;

/// Archives a batch, object by object, and reports the first record of the first object that could not be written.
///
/// That record becomes the checkpoint of the stream mapping: the records before it are done, and a retry starts at it.
/// The metrics `ArchivedRecords` and `QuarantinedRecords` count the records that were written.
///
/// # Errors
/// If the event is not a batch. The response has all other failures.
pub async fn handle(
    archive: &Archive,
    metrics: &Metrics,
    event: LambdaEvent<UnparsedEvent>,
) -> Result<BatchResponse, Error> {
    let (UnparsedEvent(event), context) = event.into_parts();
    let records = record::read(archive.table, str::from_utf8(&event)?)?;
    let (mut archived, mut quarantined) = (0, 0);
    let mut response = BatchResponse::default();
    for group in group::split(&records) {
        let (key, written) = match group.content() {
            Content::Run(run) => (run.key(archive.table), archive.put(&run, &context).await),
            Content::Quarantined { name, records } => {
                (archive.quarantine_key(&name), archive.quarantine(&name, &records, &context).await)
            }
        };
        if let Err(error) = written {
            error!(%error, key, records = group.len(), "object not written; it will be retried");
            let mut failure = BatchItemFailure::default();
            failure.item_identifier = record::identifier(group.first());
            response.batch_item_failures.push(failure);
            break;
        }
        match group.first() {
            Ok(_) => archived += group.len(),
            Err(_) => quarantined += group.len(),
        }
    }
    metrics.add("ArchivedRecords", Unit::Count, archived as f64);
    metrics.add("QuarantinedRecords", Unit::Count, quarantined as f64);
    Ok(response)
}
