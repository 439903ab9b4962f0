//! A damaged or foreign object. It is entered, or the event fails; nothing panics or hangs.

use std::sync::{LazyLock, Mutex};

use appointments::TABLE;
use arbitrary::Arbitrary;
use archive::{Archive, Ledger};
use audit_archive::handler::handle;
use fuzzing::{event, services, wait};
use serde_json::json;

#[derive(Arbitrary, Debug)]
struct Input {
    key: String,
    etag: String,
    sequencer: String,
    size: Option<u64>,
    object: Object,
}

#[derive(Arbitrary, Debug)]
enum Object {
    /// The footer is at the end, so positions are counted from there.
    Damaged {
        bytes: Vec<(u16, u8)>,
        cut: u16,
    },
    Any(Vec<u8>),
}

static OBJECT: Mutex<Vec<u8>> = Mutex::new(Vec::new());

static LEDGER: LazyLock<Ledger> = LazyLock::new(|| {
    let services = services(|method, _, _| match method {
        "GET" => (200, OBJECT.lock().expect("nobody panics with it").clone()),
        _ => (200, b"{}".to_vec()),
    });
    Ledger {
        archive: Archive { table: &TABLE, s3: aws_sdk_s3::Client::new(&services), bucket: "archive".into() },
        dynamodb: aws_sdk_dynamodb::Client::new(&services),
        name: "ledger".into(),
    }
});

static ARCHIVED: LazyLock<Vec<u8>> = LazyLock::new(crate::archived);

/// Checks the promise above.
pub fn check(data: &[u8]) {
    let Some(input) = fuzzing::input::<Input>(data) else { return };
    let object = match input.object {
        Object::Any(bytes) => bytes,
        Object::Damaged { bytes, cut } => {
            let mut object = ARCHIVED.clone();
            let length = object.len();
            for (place, byte) in bytes {
                object[length - 1 - usize::from(place) % length] = byte;
            }
            object.split_off(usize::from(cut) % length)
        }
    };
    let size = input.size.unwrap_or(object.len() as u64);
    *OBJECT.lock().expect("nobody panics with it") = object;
    let detail = json!({
        "object": {"key": input.key, "size": size, "etag": input.etag, "sequencer": input.sequencer},
    });
    let announced = json!({
        "version": "0", "id": "1", "detail-type": "Object Created", "source": "aws.s3", "account": "123456789012",
        "time": "2026-11-20T10:30:05Z", "region": "us-east-1", "resources": [], "detail": detail,
    });
    let announced = serde_json::from_value(announced).expect("it is an event");
    // A bad object may cause an error.
    let _ = wait(handle(&LEDGER, event(announced)));
}
