//! From the table's stream to the archive.
//!
//! No change is lost: each record of a batch is archived, or goes to quarantine because it can never be archived, or is
//! delivered again because the response reports it or one before it.

mod group;
mod record;
#[cfg(test)]
mod tests;

use lambda_runtime::{Error, LambdaEvent};
use powertools::batch::{BatchEvent, BatchResponse};
use powertools::metrics::{Metrics, Unit};
use tracing::error;

use crate::store::Archive;
use record::Record;

/// Archives a batch, object by object, and reports the first record of the first object that could not be written.
///
/// That record becomes the checkpoint of the stream mapping: the records before it are done, and a retry starts at it.
/// The metrics `ArchivedRecords` and `QuarantinedRecords` count the records that were written.
///
/// # Errors
/// Never: the response has the failures.
pub async fn handle(
    archive: &Archive,
    metrics: &Metrics,
    event: LambdaEvent<BatchEvent>,
) -> Result<BatchResponse, Error> {
    let (BatchEvent { records, .. }, context) = event.into_parts();
    let records: Vec<Record> = records.iter().map(|record| Record::parse(archive.table, record)).collect();
    let (mut archived, mut quarantined) = (0, 0);
    let mut response = BatchResponse::default();
    for group in group::split(&records) {
        let (count, run) = (group.records().len(), group.run());
        let written = match &run {
            Some(run) => archive.put(run, &context).await,
            None => archive.quarantine(&group.name(), &group.quarantined(), &context).await,
        };
        if let Err(error) = written {
            let key = run.map_or_else(|| archive.quarantine_key(&group.name()), |run| run.key(archive.table));
            error!(%error, key, records = count, "object not written; it will be retried");
            response.add_failure(group.first().record);
            break;
        }
        match run {
            Some(_) => archived += count,
            None => quarantined += count,
        }
    }
    metrics.add("ArchivedRecords", Unit::Count, archived as f64);
    metrics.add("QuarantinedRecords", Unit::Count, quarantined as f64);
    Ok(response)
}
