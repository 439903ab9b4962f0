//! Any bytes that a client sends to DAX Local after its authorisation: it answers, or closes the connection.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};
use std::time::SystemTime;

use aws_sdk_dynamodb::config::Credentials;
use dax_front::{Caller, Callers, Front, Settings};
use dynamodb_dax::wire::cbor::Encoder;
use dynamodb_dax::wire::{MAGIC, authorization};
use fuzzing::{services, wait};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const SECRET: &str = "secret";
const REGION: &str = "us-east-1";

/// In front of a DynamoDB that has one table, and answers all reads with one item.
static FRONT: LazyLock<Arc<Front>> = LazyLock::new(|| {
    let config = services(|_, _, body| {
        let request: Value = serde_json::from_slice(body).unwrap_or_default();
        let item =
            json!({ "h": { "S": "hash" }, "r": { "N": "1" }, "a": { "L": [{ "BOOL": true }, { "SS": ["x"] }] } });
        let answer = json!({
            "Table": {
                "KeySchema": [{ "AttributeName": "h", "KeyType": "HASH" }, { "AttributeName": "r", "KeyType": "RANGE" }],
                "AttributeDefinitions": [
                    { "AttributeName": "h", "AttributeType": "S" }, { "AttributeName": "r", "AttributeType": "N" },
                ],
            },
            "Item": item, "Items": [item], "Attributes": item, "Count": 1, "ScannedCount": 1, "LastEvaluatedKey": item,
            "Responses": match request.get("RequestItems").and_then(Value::as_object) {
                Some(tables) => tables.keys().map(|table| (table.clone(), json!([item]))).collect(),
                None => json!([{ "Item": item }]),
            },
        });
        (200, answer.to_string().into())
    });
    let callers = Callers::Listed(HashMap::from([("key".to_owned(), Caller::new(SECRET))]));
    Front::new(aws_sdk_dynamodb::Client::new(&config), Settings::new(callers))
});

/// How a connection begins.
fn beginning() -> Vec<u8> {
    let mut encoder = Encoder::default();
    encoder.text(MAGIC);
    encoder.int(0);
    encoder.null();
    encoder.map(0);
    encoder.int(0);
    let credentials = Credentials::new("key", SECRET, None, None, "test");
    authorization::write(&mut encoder, &credentials, REGION, SystemTime::now(), None);
    encoder.buffer
}

/// Checks the promise above.
pub fn check(data: &[u8]) {
    let (mut client, server) = tokio::io::duplex(1 << 20);
    let sent = [beginning().as_slice(), data].concat();
    wait(async {
        let talk = async {
            // The server may have closed the connection.
            let _ = client.write_all(&sent).await;
            let _ = client.shutdown().await;
            let mut answers = Vec::new();
            let _ = client.read_to_end(&mut answers).await;
        };
        let serve = async {
            let _ = FRONT.converse(server).await;
        };
        tokio::join!(talk, serve)
    });
}
