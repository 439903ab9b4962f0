//! What the targets share: services that answer as a target wants, and the check of the archive's promise.

use std::collections::{BTreeMap, HashSet};
use std::sync::{LazyLock, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use appointments::TABLE;
use archive::Archive;
use archive_appointments::handler::handle;
use aws_smithy_http_client::test_util::infallible_client_fn;
use aws_smithy_types::body::SdkBody;
use aws_types::SdkConfig;
use aws_types::region::Region;
use bytes::Bytes;
use lambda_runtime::{Context, LambdaEvent};
use powertools::batch::BatchEvent;
use powertools::metrics::Metrics;
use serde_json::Value;

static RUNTIME: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("there are resources for it")
});

/// Waits for a handler.
pub fn wait<T>(handler: impl Future<Output = T>) -> T {
    RUNTIME.block_on(handler)
}

/// An event with a minute to handle it.
pub fn event<T>(payload: T) -> LambdaEvent<T> {
    let mut context = Context::default();
    let deadline = SystemTime::now() + Duration::from_secs(60);
    context.deadline = deadline.duration_since(UNIX_EPOCH).expect("now is after 1970").as_millis() as u64;
    LambdaEvent::new(payload, context)
}

/// A service's answer: status and body.
pub type Answer = (u16, Vec<u8>);

/// Services of which a function answers every request, given its method, its path and its body. All objects are of
/// version `v`.
pub fn services(answer: impl Fn(&str, &str, &[u8]) -> Answer + Send + Sync + 'static) -> SdkConfig {
    let http_client = infallible_client_fn(move |request: http::Request<SdkBody>| {
        let body = request.body().bytes().unwrap_or_default();
        let (status, body) = answer(request.method().as_str(), request.uri().path(), body);
        let response = http::Response::builder().status(status).header("x-amz-version-id", "v");
        response.body(SdkBody::from(body)).expect("it is a response")
    });
    SdkConfig::builder()
        .behavior_version(aws_sdk_s3::config::BehaviorVersion::latest())
        .credentials_provider(aws_sdk_s3::config::SharedCredentialsProvider::new(aws_sdk_s3::config::Credentials::new(
            "id", "key", None, None, "fuzz",
        )))
        .http_client(http_client)
        .region(Region::from_static("us-east-1"))
        // A body in one piece, as it was given.
        .request_checksum_calculation(aws_types::sdk_config::RequestChecksumCalculation::WhenRequired)
        .retry_config(aws_smithy_types::retry::RetryConfig::disabled())
        .build()
}

static OBJECTS: Mutex<BTreeMap<String, Vec<u8>>> = Mutex::new(BTreeMap::new());

static ARCHIVE: LazyLock<Archive> = LazyLock::new(|| {
    let services = services(|_, path, body| {
        OBJECTS.lock().expect("nobody panics with it").insert(path.to_owned(), body.to_vec());
        (200, Vec::new())
    });
    Archive { table: &TABLE, s3: aws_sdk_s3::Client::new(&services), bucket: "archive".into() }
});

/// Archives a batch, whose records are each in the archive or in quarantine afterwards.
pub fn archive(batch: BatchEvent) {
    let records = batch.records.len();
    let names: Vec<String> = batch.records.iter().filter_map(name).collect();
    OBJECTS.lock().expect("nobody panics with it").clear();
    let response = wait(handle(&ARCHIVE, &Metrics::new("Registrar"), event(batch))).expect("failures are reported, not returned");
    assert!(response.batch_item_failures.is_empty(), "a record would be retried for ever");
    // A stream never has two records of one name: their objects would be one.
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

/// The object that the example of a batch becomes.
pub fn archived() -> Vec<u8> {
    let batch = include_str!("../../events/appointments/archive-appointments.json");
    archive(serde_json::from_str(batch).expect("the example is a batch"));
    let objects = OBJECTS.lock().expect("nobody panics with it");
    objects.values().next().expect("it has been archived").clone()
}

/// What a record's object would be named by, if it says which record it is.
fn name(record: &powertools::batch::Record) -> Option<String> {
    let event: Value = serde_json::from_str(record.raw().get()).ok()?;
    Some(format!("{}-{}", record.identifier()?, event["eventID"].as_str()?))
}
