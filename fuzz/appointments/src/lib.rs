//! Fuzz targets for the data that the functions of appointments read, but did not write.

pub mod archive_batch;
pub mod archive_records;
pub mod audit_archive;

use std::collections::{BTreeMap, HashSet};
use std::sync::{LazyLock, Mutex};

use appointments::TABLE;
use archive::Archive;
use archive::stream::handle;
use bytes::Bytes;
use fuzzing::{services, wait};
use powertools::batch::{BatchEvent, UnparsedEvent};
use powertools::metrics::Metrics;
use serde_json::Value;

static OBJECTS: Mutex<BTreeMap<String, Vec<u8>>> = Mutex::new(BTreeMap::new());

static ARCHIVE: LazyLock<Archive> = LazyLock::new(|| {
    let services = services(|_, path, body| {
        OBJECTS.lock().expect("nobody panics with it").insert(path.to_owned(), body.to_vec());
        (200, Vec::new())
    });
    Archive { table: &TABLE, s3: aws_sdk_s3::Client::new(&services), bucket: "archive".into() }
});

/// Archives a batch, and checks that each record is then in the archive or in quarantine.
fn archive(event: &str) {
    let batch: BatchEvent = serde_json::from_str(event).expect("it is a batch");
    let records = batch.records.len();
    let names: Vec<String> = batch.records.iter().filter_map(name).collect();
    OBJECTS.lock().expect("nobody panics with it").clear();
    let event = fuzzing::event(UnparsedEvent(event.to_owned().into()));
    let response = wait(handle(&ARCHIVE, &Metrics::new("Registrar"), event)).expect("the event is a batch");
    assert!(response.batch_item_failures.is_empty(), "a record would be retried for ever");
    // A stream never has two records with one name: they would have one object.
    if names.iter().collect::<HashSet<_>>().len() < names.len() {
        return;
    }
    let objects = OBJECTS.lock().expect("nobody panics with it");
    let rows = objects.iter().map(|(key, body)| match key.starts_with("/appointments/") {
        true => {
            let summary = archive::read_summary(Bytes::copy_from_slice(body), body.len() as u64);
            summary.expect("it is an archive object").rows as usize
        }
        false => {
            assert!(key.starts_with("/quarantine/appointments/"), "{key}");
            serde_json::from_slice::<Vec<Value>>(body).expect("quarantine is JSON").len()
        }
    });
    assert_eq!(rows.sum::<usize>(), records, "each record is archived or in quarantine");
}

/// The object that the example batch becomes.
fn archived() -> Vec<u8> {
    let batch = include_str!("../../../events/appointments/archive-appointments.json");
    archive(batch);
    let objects = OBJECTS.lock().expect("nobody panics with it");
    objects.values().next().expect("it has been archived").clone()
}

/// The name that the record gives its object, if it can be read.
fn name(record: &powertools::batch::Record) -> Option<String> {
    let event: Value = serde_json::from_str(record.raw().get()).ok()?;
    Some(format!("{}-{}", record.identifier()?, event["eventID"].as_str()?))
}

#[cfg(test)]
#[test]
fn every_target_holds_over_its_seeds() {
    fuzzing::over_seeds(env!("CARGO_MANIFEST_DIR"), "archive_batch", archive_batch::check);
    fuzzing::over_seeds(env!("CARGO_MANIFEST_DIR"), "archive_records", archive_records::check);
    fuzzing::over_seeds(env!("CARGO_MANIFEST_DIR"), "audit_archive", audit_archive::check);
}
