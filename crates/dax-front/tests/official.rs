//! Each feature of DAX Local with the unmodified official clients for Python and Node. `DAX_CLIENTS` is the folder that the README describes.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials;
use aws_sdk_dynamodb::config::{BehaviorVersion, Region};
use aws_smithy_http_client::test_util::infallible_client_fn;
use aws_smithy_types::body::SdkBody;
use dax_front::{Caller, CallerEndpoint, Callers, Fault, Front, Settings};
use dynamodb_dax::wire::method;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpListener;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

const SECRET: &str = "secret";
const TABLE: &str = "times";

/// A DynamoDB with one table, whose items have the key `id` and the attribute `v`.
#[derive(Default)]
struct Dynamodb {
    items: Mutex<BTreeMap<String, Value>>,
    calls: Mutex<HashMap<String, usize>>,
}

fn item(id: &str, v: &str) -> Value {
    json!({ "id": { "S": id }, "v": { "S": v } })
}

fn key(id: &str) -> Value {
    json!({ "id": { "S": id } })
}

fn id(item: &Value) -> String {
    item["id"]["S"].as_str().unwrap().to_owned()
}

impl Dynamodb {
    fn client(self: &Arc<Self>) -> aws_sdk_dynamodb::Client {
        let this = Arc::clone(self);
        let http = infallible_client_fn(move |request: http::Request<SdkBody>| {
            let target = request.headers()["x-amz-target"].to_str().unwrap().to_owned();
            let body: Value = serde_json::from_slice(request.body().bytes().unwrap()).unwrap();
            let operation = target.rsplit('.').next().unwrap();
            *this.calls.lock().unwrap().entry(operation.to_owned()).or_default() += 1;
            http::Response::new(SdkBody::from(this.answer(operation, &body).to_string()))
        });
        let config = aws_sdk_dynamodb::Config::builder().behavior_version(BehaviorVersion::latest()).http_client(http);
        let config = config.region(Region::new("eu-west-1"));
        let config = config.credentials_provider(Credentials::new("cluster", SECRET, None, None, "test"));
        aws_sdk_dynamodb::Client::from_conf(config.build())
    }

    fn answer(&self, operation: &str, body: &Value) -> Value {
        let mut items = self.items.lock().unwrap();
        let got = |items: &BTreeMap<String, Value>, key: &Value| match items.get(&id(key)) {
            Some(item) => json!({ "Item": item }),
            None => json!({}),
        };
        match operation {
            "DescribeTable" => json!({ "Table": {
                "KeySchema": [{ "AttributeName": "id", "KeyType": "HASH" }],
                "AttributeDefinitions": [{ "AttributeName": "id", "AttributeType": "S" }],
            } }),
            "GetItem" => got(&items, &body["Key"]),
            "PutItem" => {
                items.insert(id(&body["Item"]), body["Item"].clone());
                json!({})
            }
            "DeleteItem" => {
                items.remove(&id(&body["Key"]));
                json!({})
            }
            // Whatever the expression says, its value is the new value of `v`.
            "UpdateItem" => {
                let value = body["ExpressionAttributeValues"].as_object().unwrap().values().next().unwrap();
                let new = json!({ "id": body["Key"]["id"], "v": value });
                items.insert(id(&new), new.clone());
                match body["ReturnValues"].as_str() {
                    Some("ALL_NEW") => json!({ "Attributes": new }),
                    Some("UPDATED_NEW") => json!({ "Attributes": { "v": value } }),
                    _ => json!({}),
                }
            }
            "Query" | "Scan" => {
                json!({ "Items": items.values().collect::<Vec<_>>(), "Count": items.len(), "ScannedCount": items.len() })
            }
            "BatchGetItem" => {
                let keys = body["RequestItems"][TABLE]["Keys"].as_array().unwrap();
                let found: Vec<_> = keys.iter().filter_map(|key| items.get(&id(key))).collect();
                json!({ "Responses": { TABLE: found }, "UnprocessedKeys": {} })
            }
            "BatchWriteItem" => {
                for write in body["RequestItems"][TABLE].as_array().unwrap() {
                    match write.get("PutRequest") {
                        Some(put) => items.insert(id(&put["Item"]), put["Item"].clone()),
                        None => items.remove(&id(&write["DeleteRequest"]["Key"])),
                    };
                }
                json!({ "UnprocessedItems": {} })
            }
            "TransactGetItems" => {
                let gets = body["TransactItems"].as_array().unwrap();
                json!({ "Responses": gets.iter().map(|get| got(&items, &get["Get"]["Key"])).collect::<Vec<_>>() })
            }
            "TransactWriteItems" => {
                for put in body["TransactItems"].as_array().unwrap().iter().filter_map(|one| one.get("Put")) {
                    items.insert(id(&put["Item"]), put["Item"].clone());
                }
                json!({})
            }
            other => panic!("{other} is not expected"),
        }
    }

    /// Writes past DAX.
    fn write_around(&self, id: &str, v: &str) {
        self.items.lock().unwrap().insert(id.to_owned(), item(id, v));
    }

    fn calls(&self, operation: &str) -> usize {
        self.calls.lock().unwrap().get(operation).copied().unwrap_or_default()
    }
}

fn listed(caller: Caller) -> Callers {
    Callers::Listed(HashMap::from([("key".to_owned(), caller)]))
}

struct Cluster {
    dynamodb: Arc<Dynamodb>,
    front: Arc<Front>,
    nodes: Vec<(SocketAddr, JoinHandle<std::io::Result<()>>)>,
}

impl Cluster {
    async fn start(addresses: &[IpAddr], settings: Settings) -> Self {
        let dynamodb = Arc::<Dynamodb>::default();
        let front = Front::new(dynamodb.client(), settings);
        let mut nodes = Vec::new();
        for address in addresses {
            let listener = TcpListener::bind((*address, 0)).await.unwrap();
            let address = listener.local_addr().unwrap();
            nodes.push((address, tokio::spawn(Arc::clone(&front).serve(listener))));
        }
        front.set_nodes(nodes.iter().map(|(address, _)| *address).collect());
        Self { dynamodb, front, nodes }
    }

    fn port(&self) -> u16 {
        self.nodes.last().unwrap().0.port()
    }

    /// The endpoint of the last node.
    fn endpoint(&self) -> String {
        format!("dax://{}", self.nodes.last().unwrap().0)
    }
}

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Language {
    Python,
    Node,
}

const BOTH: [Language; 2] = [Language::Python, Language::Node];

/// A process with an official client.
struct Official {
    language: Language,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    _process: Child,
}

impl Official {
    fn start(language: Language, endpoint: &str, environment: &[(&str, &str)]) -> Self {
        let clients =
            PathBuf::from(std::env::var("DAX_CLIENTS").expect("DAX_CLIENTS is the folder of the official clients"));
        let program = match language {
            Language::Python => clients.join("bin/python"),
            Language::Node => PathBuf::from("node"),
        };
        let script = if language == Language::Python { "clients.py" } else { "clients.js" };
        let mut command = Command::new(program);
        command.arg(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests").join(script));
        command.env("NODE_PATH", clients.join("node/node_modules")).env("NODE_NO_WARNINGS", "1");
        command.envs([("AWS_ACCESS_KEY_ID", "key"), ("AWS_SECRET_ACCESS_KEY", SECRET), ("DAX_ENDPOINT", endpoint)]);
        command
            .envs([("AWS_DEFAULT_REGION", "eu-west-1"), ("AWS_REGION", "eu-west-1")])
            .env_remove("AWS_SESSION_TOKEN");
        command.envs(environment.iter().copied());
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let input = process.stdin.take().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { language, input, output, _process: process }
    }

    async fn call(&mut self, operation: &str, mut parameters: Value) -> Value {
        if !operation.starts_with("batch") && !operation.starts_with("transact") {
            parameters["TableName"] = json!(TABLE);
        }
        self.input.write_all(format!("{}\n", json!([operation, parameters])).as_bytes()).await.unwrap();
        let line = tokio::time::timeout(Duration::from_secs(60), self.output.next_line()).await;
        let line = line.unwrap_or_else(|_| panic!("{:?} does not answer {operation}", self.language));
        serde_json::from_str(&line.unwrap().unwrap()).unwrap()
    }

    /// The attribute `v` of an item, or null if there is no such item.
    async fn get(&mut self, id: &str) -> Value {
        let found = self.call("get_item", json!({ "Key": key(id) })).await;
        assert_eq!(found.get("error"), None, "{found}");
        found["Item"]["v"]["S"].clone()
    }

    async fn put(&mut self, id: &str, v: &str) {
        let done = self.call("put_item", json!({ "Item": item(id, v) })).await;
        assert_eq!(done.get("error"), None, "{done}");
    }

    /// The attributes `v` of a query's or a scan's items.
    async fn list(&mut self, operation: &str, consistent: bool) -> Vec<Value> {
        let mut parameters = json!({ "ConsistentRead": consistent });
        if operation == "query" {
            parameters["KeyConditionExpression"] = json!("id = :id");
            parameters["ExpressionAttributeValues"] = json!({ ":id": { "S": "a" } });
        }
        let found = self.call(operation, parameters).await;
        found["Items"]
            .as_array()
            .unwrap_or_else(|| panic!("{found}"))
            .iter()
            .map(|item| item["v"]["S"].clone())
            .collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the official clients, and DAX_CLIENTS"]
async fn items_are_cached_and_written_through() {
    for language in BOTH {
        let cluster = Cluster::start(&[LOCALHOST], Settings::new(listed(Caller::new(SECRET)))).await;
        let dynamodb = &cluster.dynamodb;
        let mut client = Official::start(language, &cluster.endpoint(), &[]);
        // That there is none is cached, too.
        assert_eq!(client.get("a").await, json!(null));
        dynamodb.write_around("a", "around");
        assert_eq!(client.get("a").await, json!(null));
        client.put("a", "put").await;
        dynamodb.write_around("a", "around");
        assert_eq!(client.get("a").await, json!("put"));
        assert_eq!(dynamodb.calls("GetItem"), 1);
        // A consistent read goes through, and leaves the cache as it is.
        let consistent = json!({ "Key": key("a"), "ConsistentRead": true });
        assert_eq!(client.call("get_item", consistent).await["Item"], item("a", "around"));
        assert_eq!(client.get("a").await, json!("put"));
        // A projection takes its values from the cached item.
        let projected = client.call("get_item", json!({ "Key": key("a"), "ProjectionExpression": "v, absent" })).await;
        assert_eq!(projected["Item"], json!({ "v": { "S": "put" } }));

        for (returned, new) in [("NONE", "one"), ("ALL_NEW", "two"), ("UPDATED_NEW", "three")] {
            let update = json!({ "Key": key("a"), "UpdateExpression": "SET v = :v", "ReturnValues": returned,
                "ExpressionAttributeValues": { ":v": { "S": new } } });
            let updated = client.call("update_item", update).await;
            let expected = match returned {
                "NONE" => json!(null),
                "ALL_NEW" => item("a", new),
                _ => json!({ "v": { "S": new } }),
            };
            assert_eq!(updated["Attributes"], expected);
            assert_eq!(client.get("a").await, json!(new));
        }
        client.call("delete_item", json!({ "Key": key("a") })).await;
        dynamodb.write_around("a", "around");
        assert_eq!(client.get("a").await, json!(null));

        let writes =
            json!([{ "PutRequest": { "Item": item("b", "batch") } }, { "DeleteRequest": { "Key": key("c") } }]);
        client.call("batch_write_item", json!({ "RequestItems": { TABLE: writes } })).await;
        dynamodb.write_around("b", "around");
        dynamodb.write_around("c", "around");
        dynamodb.write_around("d", "around");
        let reads = json!({ "RequestItems": { TABLE: { "Keys": [key("b"), key("c"), key("d"), key("e")] } } });
        for _ in 0..2 {
            let found = client.call("batch_get_item", reads.clone()).await;
            let mut found = found["Responses"][TABLE].as_array().unwrap_or_else(|| panic!("{found}")).clone();
            found.sort_by_key(id);
            assert_eq!(found, [item("b", "batch"), item("d", "around")]);
        }
        // Items and misses of the batch are those of single reads.
        dynamodb.write_around("d", "later");
        dynamodb.write_around("e", "later");
        assert_eq!((client.get("d").await, client.get("e").await), (json!("around"), json!(null)));
        assert_eq!(dynamodb.calls("BatchGetItem"), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the official clients, and DAX_CLIENTS"]
async fn results_of_queries_do_not_see_writes_until_they_expire() {
    for language in BOTH {
        let mut settings = Settings::new(listed(Caller::new(SECRET)));
        settings.query_ttl = Duration::from_secs(3);
        let cluster = Cluster::start(&[LOCALHOST], settings).await;
        let mut client = Official::start(language, &cluster.endpoint(), &[]);
        client.put("a", "first").await;
        for operation in ["query", "scan"] {
            let before = client.list(operation, false).await;
            client.put("a", operation).await;
            assert_eq!(client.get("a").await, json!(operation));
            assert_eq!(client.list(operation, false).await, before);
            assert_eq!(client.list(operation, true).await, [json!(operation)]);
            assert_eq!(client.list(operation, false).await, before);
        }
        while client.list("query", false).await != [json!("scan")] {}
        while client.list("scan", false).await != [json!("scan")] {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the official clients, and DAX_CLIENTS"]
async fn items_of_a_transaction_are_cached_after_its_answer() {
    for language in BOTH {
        let cluster = Cluster::start(&[LOCALHOST], Settings::new(listed(Caller::new(SECRET)))).await;
        let mut client = Official::start(language, &cluster.endpoint(), &[]);
        assert_eq!(client.get("a").await, json!(null));
        let put = json!({ "Put": { "TableName": TABLE, "Item": item("a", "transaction") } });
        let done = client.call("transact_write_items", json!({ "TransactItems": [put] })).await;
        assert_eq!(done.get("error"), None, "{done}");
        while client.get("a").await != json!("transaction") {}
        assert_eq!((cluster.dynamodb.calls("GetItem"), cluster.dynamodb.calls("TransactGetItems")), (1, 1));
        // Reads in a transaction are those of DynamoDB, and are not cached.
        cluster.dynamodb.write_around("a", "around");
        let get = json!({ "Get": { "TableName": TABLE, "Key": key("a") } });
        let found = client.call("transact_get_items", json!({ "TransactItems": [get] })).await;
        assert_eq!(found["Responses"][0]["Item"], item("a", "around"));
        assert_eq!(client.get("a").await, json!("transaction"));
    }
}

/// A call of each operation, and the action that it needs.
fn operations() -> Vec<(&'static str, &'static str, Value)> {
    let transact = |part: Value| json!({ "TransactItems": [part] });
    let condition = "attribute_exists(id)";
    vec![
        ("dax:GetItem", "get_item", json!({ "Key": key("a") })),
        ("dax:PutItem", "put_item", json!({ "Item": item("a", "v") })),
        ("dax:DeleteItem", "delete_item", json!({ "Key": key("a") })),
        (
            "dax:UpdateItem",
            "update_item",
            json!({ "Key": key("a"), "UpdateExpression": "SET v = :v", "ExpressionAttributeValues": { ":v": { "S": "v" } } }),
        ),
        (
            "dax:Query",
            "query",
            json!({ "KeyConditionExpression": "id = :v", "ExpressionAttributeValues": { ":v": { "S": "a" } } }),
        ),
        ("dax:Scan", "scan", json!({})),
        ("dax:BatchGetItem", "batch_get_item", json!({ "RequestItems": { TABLE: { "Keys": [key("a")] } } })),
        (
            "dax:BatchWriteItem",
            "batch_write_item",
            json!({ "RequestItems": { TABLE: [{ "DeleteRequest": { "Key": key("a") } }] } }),
        ),
        ("dax:GetItem", "transact_get_items", transact(json!({ "Get": { "TableName": TABLE, "Key": key("a") } }))),
        (
            "dax:PutItem",
            "transact_write_items",
            transact(json!({ "Put": { "TableName": TABLE, "Item": item("a", "v") } })),
        ),
        (
            "dax:DeleteItem",
            "transact_write_items",
            transact(json!({ "Delete": { "TableName": TABLE, "Key": key("a") } })),
        ),
        (
            "dax:ConditionCheckItem",
            "transact_write_items",
            transact(
                json!({ "ConditionCheck": { "TableName": TABLE, "Key": key("a"), "ConditionExpression": condition } }),
            ),
        ),
    ]
}

/// An HTTP endpoint that knows one caller, who may do some actions. Returns its URL.
async fn caller_endpoint(actions: Arc<Mutex<Vec<&'static str>>>) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let actions = Arc::clone(&actions);
            tokio::spawn(async move {
                let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
                while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                    request.extend_from_slice(&buffer[..count]);
                    // The question is one JSON object, after the head.
                    let text = String::from_utf8_lossy(&request).into_owned();
                    let Some((_, question)) = text.split_once("\r\n\r\n") else { continue };
                    let Ok(question) = serde_json::from_str::<Value>(question) else { continue };
                    request.clear();
                    let answer = json!({ "secretAccessKey": SECRET, "sessionToken": "test",
                        "principal": "arn:aws:sts::000000000000:assumed-role/reader/one",
                        "resource": "arn:aws:dax:eu-west-1:000000000000:cache/times", "actions": *actions.lock().unwrap() });
                    let answer = answer.to_string();
                    let known = question == json!({ "accessKeyId": "key", "sessionToken": "test" });
                    let status = if known { "200 OK" } else { "404 Not Found" };
                    let length = answer.len();
                    let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{answer}");
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
            });
        }
    });
    format!("http://{address}/callers")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the official clients, and DAX_CLIENTS"]
async fn each_operation_needs_its_permission() {
    for language in BOTH {
        let actions = Arc::new(Mutex::new(vec![]));
        let url = caller_endpoint(Arc::clone(&actions)).await;
        let callers = Callers::Asked(Box::new(CallerEndpoint::new(url.parse().unwrap())));
        let cluster = Cluster::start(&[LOCALHOST], Settings::new(callers)).await;
        let mut client = Official::start(language, &cluster.endpoint(), &[("AWS_SESSION_TOKEN", "test")]);
        for (action, operation, parameters) in operations() {
            let refused = client.call(operation, parameters).await;
            assert_eq!(refused["error"], json!("AccessDeniedException"), "{language:?} {operation}: {refused}");
            let text = refused["message"].as_str().unwrap();
            let expected = format!(
                "User: arn:aws:sts::000000000000:assumed-role/reader/one is not authorized to perform: {action} \
                 on resource: arn:aws:dax:eu-west-1:000000000000:cache/times"
            );
            assert!(text.contains(&expected), "{text}");
        }
        let asked: Vec<_> = cluster.dynamodb.calls.lock().unwrap().keys().cloned().collect();
        assert!(asked.iter().all(|operation| operation == "DescribeTable"), "{asked:?}");
        // With one action more, what needs it is done, and what needs another is refused.
        *actions.lock().unwrap() = vec!["dax:GetItem"];
        let mut client = Official::start(language, &cluster.endpoint(), &[("AWS_SESSION_TOKEN", "test")]);
        assert_eq!(client.get("a").await, json!(null));
        let refused = client.call("put_item", json!({ "Item": item("a", "v") })).await;
        assert_eq!(refused["error"], json!("AccessDeniedException"), "{refused}");

        for (name, value) in
            [("AWS_SECRET_ACCESS_KEY", "another"), ("AWS_ACCESS_KEY_ID", "stranger"), ("AWS_SESSION_TOKEN", "old")]
        {
            let mut client =
                Official::start(language, &cluster.endpoint(), &[("AWS_SESSION_TOKEN", "test"), (name, value)]);
            let refused = client.call("get_item", json!({ "Key": key("a") })).await;
            // The Node client logs the cause, and knows no node.
            let expected =
                if language == Language::Python { "UnrecognizedClientException" } else { "NoRouteException" };
            assert_eq!(refused["error"], json!(expected), "{name}: {refused}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the official clients, and DAX_CLIENTS"]
async fn connections_are_encrypted_and_of_both_versions() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let file = std::env::temp_dir().join(format!("dax-front-{}.pem", std::process::id()));
    std::fs::write(&file, made.cert.pem()).unwrap();
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let chain = vec![CertificateDer::from(made.cert.der().to_vec())];
    let config = config.with_no_client_auth().with_single_cert(chain, key).unwrap();
    let tls = Some(TlsAcceptor::from(Arc::new(config)));

    let settings = Settings { tls, ..Settings::new(listed(Caller::new(SECRET))) };
    let encrypted = Cluster::start(&[LOCALHOST], settings).await;
    let settings = Settings::new(listed(Caller::new(SECRET)));
    let of_version_6 = Cluster::start(&[IpAddr::V6(Ipv6Addr::LOCALHOST)], settings).await;
    for language in BOTH {
        let endpoint = format!("daxs://localhost:{}", encrypted.port());
        let file = file.to_str().unwrap();
        let trusted = [("SSL_CERT_FILE", file), ("NODE_EXTRA_CA_CERTS", file), ("DAX_ADDRESS", "127.0.0.1")];
        let mut client = Official::start(language, &endpoint, &trusted);
        client.put("a", "encrypted").await;
        assert_eq!(client.get("a").await, json!("encrypted"));

        let endpoint = format!("dax://localhost:{}", of_version_6.port());
        let mut client = Official::start(language, &endpoint, &[("DAX_ADDRESS", "::1")]);
        client.put("a", "version 6").await;
        assert_eq!(client.get("a").await, json!("version 6"));
    }
    std::fs::remove_file(&file).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the official clients, and DAX_CLIENTS"]
async fn clients_get_over_faults() {
    for language in BOTH {
        let cluster = Cluster::start(&[LOCALHOST, LOCALHOST], Settings::new(listed(Caller::new(SECRET)))).await;
        let mut client = Official::start(language, &cluster.endpoint(), &[]);
        client.put("a", "first").await;
        for fault in [Fault::Slow(Duration::from_millis(10)), Fault::Throttled, Fault::Unauthorized] {
            cluster.front.fail(method::GET_ITEM, fault);
            assert_eq!(client.get("a").await, json!("first"), "{language:?} {fault:?}");
        }
        for fault in [Fault::Half, Fault::Reset] {
            cluster.front.fail(method::GET_ITEM, fault);
            // Python says that the connection is broken, Node reads again.
            let found = client.call("get_item", json!({ "Key": key("a") })).await;
            assert_eq!(found.get("error").is_some(), language == Language::Python, "{fault:?} {found}");
            assert_eq!(client.get("a").await, json!("first"), "{language:?} {fault:?}");

            let before = cluster.dynamodb.calls("PutItem");
            cluster.front.fail(method::PUT_ITEM, fault);
            client.call("put_item", json!({ "Item": item("a", "first") })).await;
            // Node writes again, too, although the write was done.
            let writes = if language == Language::Python { 1 } else { 2 };
            assert_eq!(cluster.dynamodb.calls("PutItem") - before, writes, "{fault:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the official clients, and DAX_CLIENTS"]
async fn clients_find_the_new_leader() {
    for language in BOTH {
        let mut cluster = Cluster::start(&[LOCALHOST, LOCALHOST], Settings::new(listed(Caller::new(SECRET)))).await;
        let mut client = Official::start(language, &cluster.endpoint(), &[]);
        client.put("a", "first").await;
        let (_, leader) = cluster.nodes.remove(0);
        leader.abort();
        let _ = leader.await;
        cluster.front.set_nodes(vec![cluster.nodes[0].0]);
        if language == Language::Node {
            // One that has a connection to the node that is gone sometimes waits for its answer without end.
            client = Official::start(language, &cluster.endpoint(), &[]);
        }
        // Until they ask for the nodes again, which they do every few seconds, writes fail.
        while client.call("put_item", json!({ "Item": item("a", "second") })).await.get("error").is_some() {}
        assert_eq!(client.get("a").await, json!("second"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the official clients, DAX_CLIENTS, a DynamoDB endpoint, and AWS_ENDPOINT_URL"]
async fn all_operations_have_the_results_of_the_endpoint() {
    let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let credentials = config.credentials_provider().unwrap().provide_credentials().await.unwrap();
    let mut caller = Caller::new(credentials.secret_access_key());
    caller.session_token = credentials.session_token().map(str::to_owned);
    let callers = Callers::Listed(HashMap::from([(credentials.access_key_id().to_owned(), caller)]));
    // The results of the endpoint, not those of a moment ago.
    let ttl = Duration::from_nanos(1);
    let settings = Settings { record_ttl: ttl, query_ttl: ttl, ..Settings::new(callers) };
    let front = Front::new(aws_sdk_dynamodb::Client::new(&config), settings);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    front.set_nodes(vec![address]);
    tokio::spawn(front.serve(listener));
    let clients =
        PathBuf::from(std::env::var("DAX_CLIENTS").expect("DAX_CLIENTS is the folder of the official clients"));
    let mut compare = Command::new(clients.join("bin/python"));
    compare.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/compare.py"));
    compare.env("NODE_PATH", clients.join("node/node_modules")).env("DAX_ENDPOINT", format!("dax://{address}"));
    let done = compare.output().await.unwrap();
    let (output, errors) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{output}\n{errors}");
}
