//! A DynamoDB in memory, and DAX Local in front of it.

#![allow(clippy::unwrap_used, dead_code)]

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use aws_credential_types::Credentials;
use aws_sdk_dynamodb::config::{BehaviorVersion, Region, SharedHttpClient};
use aws_smithy_http_client::test_util::infallible_client_fn;
use aws_smithy_types::body::SdkBody;
use dax_front::{Caller, Callers, Front, Settings};
use dynamodb_dax::{Builder, Client};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

pub const SECRET: &str = "secret";
pub const REGION: &str = "eu-west-1";

pub fn credentials() -> Credentials {
    Credentials::new("key", SECRET, None, None, "test")
}

/// The operations that a DynamoDB was asked for.
pub type Log = Arc<Mutex<Vec<String>>>;

pub fn count(log: &Log, operation: &str) -> usize {
    log.lock().unwrap().iter().filter(|asked| *asked == operation).count()
}

fn error(code: &str, more: Value) -> (u16, Value) {
    let mut error = json!({ "__type": format!("com.amazonaws.dynamodb.v20120810#{code}"), "message": "It is \"so\"." });
    error.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    (400, error)
}

fn answer(operation: &str, body: &Value) -> (u16, Value) {
    let found = |id: &Value| {
        let large = "x".repeat(id["S"].as_str().unwrap().len() * 100);
        json!({ "id": id, "same": id, "large": { "S": large } })
    };
    let taken = json!({ "S": "taken" });
    let answer = match operation {
        "DescribeTable" if body["TableName"] != "table" => return error("ResourceNotFoundException", json!({})),
        "DescribeTable" => json!({ "Table": {
            "KeySchema": [{ "AttributeName": "id", "KeyType": "HASH" }],
            "AttributeDefinitions": [{ "AttributeName": "id", "AttributeType": "S" }],
        } }),
        "GetItem" => json!({ "Item": found(&body["Key"]["id"]) }),
        "BatchGetItem" => {
            let keys = body["RequestItems"]["table"]["Keys"].as_array().unwrap();
            json!({ "Responses": { "table": keys.iter().map(|key| found(&key["id"])).collect::<Vec<_>>() } })
        }
        // Two pages.
        "Query" | "Scan" if body["ExclusiveStartKey"].is_null() => {
            let id = json!({ "S": "first" });
            json!({ "Items": [found(&id)], "Count": 1, "ScannedCount": 1, "LastEvaluatedKey": { "id": id } })
        }
        "Query" | "Scan" => json!({ "Items": [found(&json!({ "S": "second" }))], "Count": 1, "ScannedCount": 1 }),
        "PutItem" if body["Item"]["id"] == taken => return error("ConditionalCheckFailedException", json!({})),
        "TransactGetItems" => {
            let items = body["TransactItems"].as_array().unwrap();
            let items: Vec<_> = items.iter().map(|item| json!({ "Item": found(&item["Get"]["Key"]["id"]) })).collect();
            json!({ "Responses": items })
        }
        "TransactWriteItems" if body["TransactItems"][0]["Put"]["Item"]["id"] == taken => {
            let failed = json!({ "Code": "ConditionalCheckFailed", "Message": "Failed", "Item": found(&taken) });
            let reasons = json!({ "CancellationReasons": [failed, { "Code": "None" }] });
            return error("TransactionCanceledException", reasons);
        }
        _ => json!({}),
    };
    (200, answer)
}

/// A DynamoDB with one table.
pub fn http(log: &Log) -> SharedHttpClient {
    let log = Arc::clone(log);
    infallible_client_fn(move |request: http::Request<SdkBody>| {
        // Whoever asks DynamoDB itself signs.
        assert!(request.headers().contains_key("authorization"));
        let target = request.headers()["x-amz-target"].to_str().unwrap();
        let operation = target.rsplit('.').next().unwrap().to_owned();
        let body = serde_json::from_slice(request.body().bytes().unwrap()).unwrap();
        let (status, answer) = answer(&operation, &body);
        log.lock().unwrap().push(operation);
        http::Response::builder().status(status).body(SdkBody::from(answer.to_string())).unwrap()
    })
}

/// Settings of an SDK's client for a DynamoDB.
pub fn config(log: &Log) -> aws_sdk_dynamodb::config::Builder {
    let config = aws_sdk_dynamodb::Config::builder().behavior_version(BehaviorVersion::latest());
    config.region(Region::new(REGION)).credentials_provider(credentials()).http_client(http(log))
}

pub struct Cluster {
    pub front: Arc<Front>,
    pub nodes: Vec<(SocketAddr, JoinHandle<std::io::Result<()>>)>,
    /// What the cluster asked DynamoDB for.
    pub asked: Log,
}

impl Cluster {
    /// Each of these callers signs with [`SECRET`].
    pub async fn start(count: usize, tls: Option<TlsAcceptor>) -> Self {
        let asked = Log::default();
        let callers = ["key", "next"].map(|key| (key.to_owned(), Caller::new(SECRET)));
        Self::with(count, &asked, Settings { tls, ..Settings::new(Callers::Listed(HashMap::from(callers))) }).await
    }

    pub async fn with(count: usize, asked: &Log, settings: Settings) -> Self {
        let front = Front::new(aws_sdk_dynamodb::Client::from_conf(config(asked).build()), settings);
        let mut cluster = Self { front, nodes: Vec::new(), asked: Arc::clone(asked) };
        for _ in 0..count {
            cluster.add(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await;
        }
        cluster
    }

    pub async fn add(&mut self, address: SocketAddr) {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        self.nodes.push((address, tokio::spawn(Arc::clone(&self.front).serve(listener))));
        self.front.set_nodes(self.nodes.iter().map(|(address, _)| *address).collect());
    }

    pub fn client(&self) -> Builder {
        // Discovery goes to the last node.
        Client::builder(format!("dax://{}", self.nodes.last().unwrap().0), REGION, credentials())
    }
}
