//! How long a signature counts.

#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sdk_dynamodb::config::{BehaviorVersion, Region};
use dax_front::{Caller, Callers, Front, Settings};
use dynamodb_dax::wire::cbor::Encoder;
use dynamodb_dax::wire::{MAGIC, SERVICE, authorization, method};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The error codes of the answer to a connection that was signed at a time. None if it is no error.
async fn refusal(at: SystemTime) -> Option<Vec<u8>> {
    let mut encoder = Encoder::default();
    encoder.text(MAGIC);
    encoder.int(0);
    encoder.null();
    encoder.map(0);
    encoder.int(0);
    let credentials = Credentials::new("key", "secret", None, None, "test");
    authorization::write(&mut encoder, &credentials, "eu-west-1", at, None);
    encoder.int(SERVICE);
    encoder.int(method::ENDPOINTS);

    let config = aws_sdk_dynamodb::Config::builder().behavior_version(BehaviorVersion::latest());
    let config = config.region(Region::new("eu-west-1"));
    let config = config.credentials_provider(Credentials::new("cluster", "secret", None, None, "test"));
    let callers = Callers::Listed(HashMap::from([("key".to_owned(), Caller::new("secret"))]));
    let front = Front::new(aws_sdk_dynamodb::Client::from_conf(config.build()), Settings::new(callers));
    let (mut client, server) = tokio::io::duplex(4096);
    client.write_all(&encoder.buffer).await.unwrap();
    client.shutdown().await.unwrap();
    front.converse(server).await.unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.unwrap();
    (answer[0] != 0x80).then(|| answer[..6].to_vec())
}

#[tokio::test]
async fn a_signature_counts_for_five_minutes() {
    let now = SystemTime::now();
    // Within half a minute, this test has ended.
    let (inside, outside) = (Duration::from_secs(270), Duration::from_secs(301));
    let expired = Some(vec![0x84, 4, 23, 0x18, 31, 0x18]);
    assert_eq!(refusal(now - inside).await, None);
    assert_eq!(refusal(now + inside).await, None);
    assert_eq!(refusal(now - outside).await, expired);
    assert_eq!(refusal(now + outside + Duration::from_secs(30)).await, expired);
}
