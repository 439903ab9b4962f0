//! Any event has a key or an error: its JSON is written as Python would, and searched.

use std::sync::LazyLock;

use aws_sdk_dynamodb::config::BehaviorVersion;
use powertools::idempotency::{Idempotency, JmesPath};
use serde_json::value::RawValue;

static IDEMPOTENCY: LazyLock<Idempotency> = LazyLock::new(|| {
    let config = aws_sdk_dynamodb::Config::builder().behavior_version(BehaviorVersion::latest()).build();
    Idempotency::new(aws_sdk_dynamodb::Client::from_conf(config), "table")
});

static PATH: LazyLock<JmesPath> = LazyLock::new(|| {
    JmesPath::new("[powertools_json(body).id, powertools_base64(data), to_string(@), items[?n > `1`] | sort(@)]")
        .expect("it is an expression")
});

/// Checks the promise above.
pub fn check(event: &[u8]) {
    let Ok(event) = serde_json::from_slice::<Box<RawValue>>(event) else { return };
    let _ = IDEMPOTENCY.for_key::<()>(&event).validate(&event);
    let _ = PATH.search(&event);
}
