//! The client against DAX Local, whose DynamoDB answers each GetItem with the key that was asked for.

#![allow(clippy::unwrap_used)]

mod support;

use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, future};
use aws_sdk_dynamodb::operation::batch_get_item::BatchGetItemInput;
use aws_sdk_dynamodb::operation::batch_write_item::BatchWriteItemInput;
use aws_sdk_dynamodb::operation::delete_item::DeleteItemInput;
use aws_sdk_dynamodb::operation::get_item::GetItemInput;
use aws_sdk_dynamodb::operation::put_item::PutItemInput;
use aws_sdk_dynamodb::operation::query::QueryInput;
use aws_sdk_dynamodb::operation::scan::ScanInput;
use aws_sdk_dynamodb::operation::transact_get_items::TransactGetItemsInput;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsInput;
use aws_sdk_dynamodb::operation::update_item::UpdateItemInput;
use aws_sdk_dynamodb::types::{
    AttributeValue, Delete, DeleteRequest, Get, KeysAndAttributes, Put, PutRequest, ReturnConsumedCapacity,
    ReturnItemCollectionMetrics, ReturnValue, ReturnValuesOnConditionCheckFailure, Select, TransactGetItem,
    TransactWriteItem, WriteRequest,
};
use dynamodb_dax::wire::cbor::{Decoder, Encoder, Scanner};
use dynamodb_dax::wire::expression::Expressions;
use dynamodb_dax::wire::{MAGIC, SERVICE, authorization, method, option};
use dynamodb_dax::{Client, Error};
use serde_json::json;
use support::{Cluster, REGION, SECRET, count, credentials};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};

fn get(id: &str) -> GetItemInput {
    GetItemInput::builder().table_name("table").key("id", AttributeValue::S(id.to_owned())).build().unwrap()
}

fn put(id: &str) -> PutItemInput {
    PutItemInput::builder().table_name("table").item("id", AttributeValue::S(id.to_owned())).build().unwrap()
}

/// Whether the answer to a request for `id` is its own.
async fn own_answer(client: &Client, id: &str) -> Result<(), Error> {
    let item = client.get_item(get(id)).await?.item.unwrap();
    assert_eq!(item["id"], AttributeValue::S(id.to_owned()));
    assert_eq!(item["same"], AttributeValue::S(id.to_owned()));
    Ok(())
}

#[tokio::test]
async fn a_request_dropped_anywhere_leaves_nothing_for_the_next() {
    let cluster = Cluster::start(1, None).await;
    let client = cluster.client().connections(2).build().unwrap();
    for round in 0..300usize {
        let id = format!("{round}{}", "x".repeat(round));
        {
            // Polled a number of times, then dropped.
            let mut request = std::pin::pin!(own_answer(&client, &id));
            for _ in 0..round % 13 {
                let polled =
                    std::future::poll_fn(|context| std::task::Poll::Ready(request.as_mut().poll(context))).await;
                if polled.is_ready() {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
        own_answer(&client, &format!("next {round}")).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_requests_at_a_time_share_few_connections() {
    let cluster = Cluster::start(2, None).await;
    let client = cluster.client().connections(4).timeout(Duration::from_secs(60)).build().unwrap();
    let requests = (0..500).map(|n| {
        let client = client.clone();
        tokio::spawn(async move { own_answer(&client, &n.to_string()).await })
    });
    for request in requests.collect::<Vec<_>>() {
        request.await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_read_is_lost_when_a_node_dies() {
    let cluster = Cluster::start(3, None).await;
    let client = cluster.client().timeout(Duration::from_secs(60)).build().unwrap();
    let requests = (0..8).map(|worker| {
        let client = client.clone();
        tokio::spawn(async move {
            for n in 0..100 {
                own_answer(&client, &format!("{worker} {n}")).await?;
            }
            Ok::<_, Error>(())
        })
    });
    let requests: Vec<_> = requests.collect();
    tokio::task::yield_now().await;
    cluster.nodes[0].1.abort();
    for request in requests {
        request.await.unwrap().unwrap();
    }
}

/// A node that knows the table, and closes the connection when a put arrives.
async fn closes_on_put(cluster: &Cluster, puts: Arc<AtomicUsize>) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let node = cluster.nodes[0].0;
    cluster.front.set_nodes(vec![address]);
    let mut number = Encoder::default();
    number.int(method::PUT_ITEM);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut server = TcpStream::connect(node).await.unwrap();
            let (puts, number) = (Arc::clone(&puts), number.buffer.clone());
            tokio::spawn(async move {
                let (mut sent, mut answer) = ([0; 65536], [0; 65536]);
                loop {
                    tokio::select! {
                        read = client.read(&mut sent) => {
                            let Ok(count @ 1..) = read else { return };
                            if sent[..count].windows(number.len()).any(|bytes| bytes == number) {
                                puts.fetch_add(1, Ordering::SeqCst);
                                return;
                            }
                            server.write_all(&sent[..count]).await.unwrap();
                        }
                        read = server.read(&mut answer) => {
                            let Ok(count @ 1..) = read else { return };
                            client.write_all(&answer[..count]).await.unwrap();
                        }
                    }
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn a_write_whose_connection_broke_is_not_sent_again() {
    let cluster = Cluster::start(1, None).await;
    let puts = Arc::default();
    let address = closes_on_put(&cluster, Arc::clone(&puts)).await;
    let client = Client::builder(format!("dax://{address}"), REGION, credentials()).build().unwrap();
    own_answer(&client, "read").await.unwrap();
    let failed = client.put_item(put("one")).await;
    assert!(matches!(failed, Err(Error::Interrupted { .. })), "{failed:?}");
    assert_eq!(puts.load(Ordering::SeqCst), 1);
    assert_eq!(count(&cluster.asked, "PutItem"), 0);
}

#[tokio::test]
async fn a_wrong_secret_is_one_clear_error() {
    let cluster = Cluster::start(1, None).await;
    let endpoint = format!("dax://{}", cluster.nodes[0].0);
    let client =
        Client::builder(endpoint, REGION, Credentials::new("key", "wrong", None, None, "test")).build().unwrap();
    let Err(Error::Service(error)) = client.get_item(get("one")).await else { panic!("accepted") };
    assert_eq!(error.code, "UnrecognizedClientException");
}

/// A key that is refused at first, as one that has just expired, then another.
#[derive(Debug, Default)]
struct Rotating {
    asked: AtomicUsize,
}

impl ProvideCredentials for Rotating {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        let key = if self.asked.fetch_add(1, Ordering::SeqCst) == 0 { "expired" } else { "next" };
        future::ProvideCredentials::ready(Ok(Credentials::new(key, SECRET, None, None, "test")))
    }
}

#[tokio::test]
async fn refused_credentials_are_asked_for_again_even_for_a_write() {
    let cluster = Cluster::start(1, None).await;
    let endpoint = format!("dax://{}", cluster.nodes[0].0);
    let client = Client::builder(endpoint, REGION, Rotating::default()).build().unwrap();
    client.put_item(put("one")).await.unwrap();
    assert_eq!(count(&cluster.asked, "PutItem"), 1);
}

#[tokio::test]
async fn nodes_with_addresses_of_version_6_are_found() {
    let mut cluster = Cluster::start(0, None).await;
    cluster.add(SocketAddr::from((Ipv6Addr::LOCALHOST, 0))).await;
    own_answer(&cluster.client().build().unwrap(), "one").await.unwrap();
}

/// A server's and a client's side of TLS, with a certificate for `localhost`.
fn tls() -> (TlsAcceptor, Arc<ClientConfig>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = CertificateDer::from(made.cert.der().to_vec());
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    let server = server.unwrap().with_no_client_auth().with_single_cert(vec![certificate.clone()], key).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let client = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let client = client.with_root_certificates(roots).with_no_client_auth();
    (TlsAcceptor::from(Arc::new(server)), Arc::new(client))
}

#[tokio::test]
async fn tls_checks_the_name_of_the_endpoint() {
    let (server, config) = tls();
    let cluster = Cluster::start(1, Some(server)).await;
    let port = cluster.nodes[0].0.port();
    let client = |host: &str| {
        Client::builder(format!("daxs://{host}:{port}"), REGION, credentials())
            .tls(Arc::clone(&config))
            .build()
            .unwrap()
    };
    let (right, wrong) = (client("localhost"), client("127.0.0.1"));
    own_answer(&right, "one").await.unwrap();
    own_answer(&right, "two").await.unwrap();
    let failed = wrong.get_item(get("one")).await;
    assert!(matches!(failed, Err(Error::Tls { .. })), "{failed:?}");
}

#[tokio::test]
async fn what_is_wrong_with_an_endpoint_is_one_clear_error() {
    let cluster = Cluster::start(1, None).await;
    let port = cluster.nodes[0].0.port();
    let (_, config) = tls();
    let failure = async |endpoint: String| {
        let client = Client::builder(endpoint, REGION, credentials()).tls(Arc::clone(&config));
        let client = client.timeout(Duration::from_secs(20)).build().unwrap();
        client.get_item(get("one")).await.unwrap_err()
    };
    let plain = failure(format!("daxs://localhost:{port}")).await;
    assert!(matches!(plain, Error::Tls { .. }), "{plain:?}");
    let (server, _) = tls();
    let encrypted = Cluster::start(1, Some(server)).await;
    let other = failure(format!("dax://{}", encrypted.nodes[0].0)).await;
    assert!(matches!(&other, Error::Malformed { source, .. } if source.to_string().contains("daxs://")), "{other:?}");
    let unreachable = failure("dax://127.0.0.1:1".to_owned()).await;
    assert!(matches!(unreachable, Error::Unreachable { .. }), "{unreachable:?}");
    let unresolved = failure("dax://name.invalid".to_owned()).await;
    assert!(matches!(unresolved, Error::Unresolved { .. }), "{unresolved:?}");
    for endpoint in ["localhost:8111", "http://localhost", "dax://", "dax://host:port"] {
        let client = Client::builder(endpoint, REGION, credentials()).build();
        assert!(matches!(client, Err(Error::Configuration(_))), "{endpoint}");
    }
}

#[tokio::test]
async fn a_node_that_never_answers_takes_no_longer_than_the_request_may() {
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let endpoint = format!("dax://{}", silent.local_addr().unwrap());
    let client = Client::builder(endpoint, REGION, credentials()).timeout(Duration::from_millis(50)).build().unwrap();
    let failed = client.get_item(get("one")).await;
    assert!(matches!(failed, Err(Error::Timeout { .. })), "{failed:?}");
}

/// A connection that is authorised and asks for an item.
fn conversation() -> (Vec<u8>, Vec<u8>) {
    let now = std::time::SystemTime::now();
    let string = authorization::string_to_sign(now, REGION);
    let mut before = Encoder::default();
    before.text(MAGIC);
    before.int(0);
    before.null();
    before.map(0);
    before.int(0);
    before.int(SERVICE);
    before.int(method::AUTHORIZE_CONNECTION);
    before.text("key");
    before.text(&authorization::signature(SECRET, now, REGION, &string));
    before.bytes(string.as_bytes());
    before.null();
    before.null();
    let mut request = Encoder::default();
    request.int(SERVICE);
    request.int(method::GET_ITEM);
    request.bytes(b"table");
    request.bytes(b"one");
    request.indefinite_map();
    request.int(option::CONSISTENT_READ);
    request.bool(true);
    request.int(option::PROJECTION_EXPRESSION);
    request.bytes(&Expressions::new(None, None).projection("id, same[1].x").unwrap().0);
    request.end();
    (before.buffer, request.buffer)
}

#[tokio::test]
async fn a_request_with_any_bit_flipped_ends_nothing_but_its_connection() {
    let cluster = Cluster::start(1, None).await;
    let address = cluster.nodes[0].0;
    let (before, request) = conversation();
    let answer = async |request: &[u8]| {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(&[before.as_slice(), request].concat()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        // It may also be reset.
        let _ = stream.read_to_end(&mut answer).await;
        answer
    };
    assert_eq!(answer(&request).await[0], 0x80);
    for bit in 0..request.len() * 8 {
        let mut flipped = request.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        answer(&flipped).await;
    }
    own_answer(&cluster.client().build().unwrap(), "one").await.unwrap();
}

#[tokio::test]
async fn writes_go_to_the_leader_and_find_a_new_one() {
    let mut cluster = Cluster::start(2, None).await;
    let client = cluster.client().timeout(Duration::from_secs(60)).build().unwrap();
    client.put_item(put("one")).await.unwrap();
    let (leader, node) = cluster.nodes.remove(0);
    node.abort();
    // Its connections are closed when it has ended.
    let _ = node.await;
    cluster.front.set_nodes(vec![cluster.nodes[0].0]);
    // No connection, or one that is known to be closed: the write was not sent, and is sent to the other node.
    client.put_item(put("two")).await.unwrap();
    assert_ne!(leader, cluster.nodes[0].0);
    assert_eq!(count(&cluster.asked, "PutItem"), 2);
}

#[tokio::test]
async fn what_dax_cannot_do_is_refused() {
    let cluster = Cluster::start(1, None).await;
    let client = cluster.client().build().unwrap();
    let mut input = put("one");
    input.return_values_on_condition_check_failure = Some(ReturnValuesOnConditionCheckFailure::AllOld);
    assert!(matches!(client.put_item(input).await, Err(Error::Invalid(_))));
    let mut input = get("one");
    input.attributes_to_get = Some(vec!["id".to_owned()]);
    assert!(matches!(client.get_item(input).await, Err(Error::Invalid(_))));
    assert_eq!(count(&cluster.asked, "PutItem"), 0);
}

/// What each connection through a proxy to `node` sent.
async fn record(node: SocketAddr) -> (SocketAddr, Arc<Mutex<Vec<Vec<u8>>>>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let (address, recorded) = (listener.local_addr().unwrap(), Arc::<Mutex<Vec<Vec<u8>>>>::default());
    let kept = Arc::clone(&recorded);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(node).await.unwrap();
            let (mut from_client, mut to_client) = client.into_split();
            let (mut from_server, mut to_server) = server.into_split();
            tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
            let place = {
                let mut kept = kept.lock().unwrap();
                kept.push(Vec::new());
                kept.len() - 1
            };
            let kept = Arc::clone(&kept);
            tokio::spawn(async move {
                let mut sent = [0; 65536];
                while let Ok(count @ 1..) = from_client.read(&mut sent).await {
                    kept.lock().unwrap()[place].extend_from_slice(&sent[..count]);
                    to_server.write_all(&sent[..count]).await.unwrap();
                }
            });
        }
    });
    (address, recorded)
}

/// The requests of the ten operations in what was recorded, by method.
fn operations(recorded: &Mutex<Vec<Vec<u8>>>) -> HashMap<i64, Vec<String>> {
    let mut found: HashMap<i64, Vec<String>> = HashMap::new();
    for mut rest in recorded.lock().unwrap().iter().map(Vec::as_slice) {
        let mut next = |count: usize| {
            let mut scanner = Scanner::default();
            let complete = scanner.complete(rest, count).unwrap();
            let (taken, after) = rest.split_at(if complete { scanner.position } else { rest.len() });
            rest = after;
            taken
        };
        next(5);
        loop {
            let head = next(2);
            let mut decoder = Decoder::new(head);
            if decoder.int().is_err() {
                break;
            }
            let number = decoder.int().unwrap();
            let (values, is_operation) = match number {
                method::ENDPOINTS => (0, false),
                method::DEFINE_ATTRIBUTE_LIST | method::DEFINE_ATTRIBUTE_LIST_ID | method::DEFINE_KEY_SCHEMA => {
                    (1, false)
                }
                method::AUTHORIZE_CONNECTION => (5, false),
                method::BATCH_GET_ITEM | method::BATCH_WRITE_ITEM | method::SCAN => (2, true),
                method::PUT_ITEM | method::TRANSACT_GET_ITEMS => (4, true),
                method::TRANSACT_WRITE_ITEMS => (9, true),
                _ => (3, true),
            };
            let arguments = next(values);
            if is_operation {
                let hex = head.iter().chain(arguments).map(|byte| format!("{byte:02x}")).collect();
                found.entry(number).or_default().push(hex);
            }
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the official clients, and DAX_CLIENTS"]
async fn requests_have_the_bytes_of_the_node_client() {
    let cluster = Cluster::start(1, None).await;
    let node = cluster.nodes[0].0;
    let (address, ours) = record(node).await;
    cluster.front.set_nodes(vec![address]);
    let client = Client::builder(format!("dax://{address}"), REGION, credentials()).connections(1).build().unwrap();
    let s = |text: &str| AttributeValue::S(text.to_owned());
    let key = || HashMap::from([("id".to_owned(), s("one"))]);
    let item = || HashMap::from([("id".to_owned(), s("one")), ("a".to_owned(), AttributeValue::N("-7".to_owned()))]);
    let names = |name: &str| HashMap::from([("#n".to_owned(), name.to_owned())]);
    let values = || HashMap::from([(":v".to_owned(), s("value"))]);
    let mut calls = Vec::new();
    let table = "table";
    let (json_key, json_values) = (json!({ "id": { "S": "one" } }), json!({ ":v": { "S": "value" } }));
    let json_item = json!({ "a": { "N": "-7" }, "id": { "S": "one" } });

    calls.push(json!(["get_item", { "TableName": table, "Key": json_key }]));
    client.get_item(get("one")).await.unwrap();

    calls.push(json!(["get_item", { "TableName": table, "Key": json_key, "ConsistentRead": true, "ReturnConsumedCapacity": "INDEXES",
        "ProjectionExpression": "id, #n.b[2]", "ExpressionAttributeNames": { "#n": "a" } }]));
    let input = GetItemInput::builder().table_name(table).set_key(Some(key())).consistent_read(true);
    let input = input.return_consumed_capacity(ReturnConsumedCapacity::Indexes).projection_expression("id, #n.b[2]");
    client.get_item(input.set_expression_attribute_names(Some(names("a"))).build().unwrap()).await.unwrap();

    calls.push(json!(["put_item", { "TableName": table, "Item": json_item, "ReturnValues": "ALL_OLD",
        "ReturnConsumedCapacity": "TOTAL", "ReturnItemCollectionMetrics": "SIZE", "ConditionExpression": "#n <> :v",
        "ExpressionAttributeNames": { "#n": "b" }, "ExpressionAttributeValues": json_values }]));
    let input = PutItemInput::builder().table_name(table).set_item(Some(item())).return_values(ReturnValue::AllOld);
    let input = input.return_consumed_capacity(ReturnConsumedCapacity::Total);
    let input = input.return_item_collection_metrics(ReturnItemCollectionMetrics::Size);
    let input = input.condition_expression("#n <> :v").set_expression_attribute_names(Some(names("b")));
    client.put_item(input.set_expression_attribute_values(Some(values())).build().unwrap()).await.unwrap();

    calls.push(
        json!(["delete_item", { "TableName": table, "Key": json_key, "ConditionExpression": "attribute_exists(a)" }]),
    );
    let input = DeleteItemInput::builder().table_name(table).set_key(Some(key()));
    client.delete_item(input.condition_expression("attribute_exists(a)").build().unwrap()).await.unwrap();

    calls.push(
        json!(["update_item", { "TableName": table, "Key": json_key, "UpdateExpression": "SET #n = :v REMOVE b",
        "ConditionExpression": "attribute_not_exists(c)", "ExpressionAttributeNames": { "#n": "b" },
        "ExpressionAttributeValues": json_values, "ReturnValues": "UPDATED_NEW" }]),
    );
    let input =
        UpdateItemInput::builder().table_name(table).set_key(Some(key())).return_values(ReturnValue::UpdatedNew);
    let input = input.update_expression("SET #n = :v REMOVE b").condition_expression("attribute_not_exists(c)");
    let input = input.set_expression_attribute_names(Some(names("b"))).set_expression_attribute_values(Some(values()));
    client.update_item(input.build().unwrap()).await.unwrap();

    calls.push(json!(["query", { "TableName": table, "IndexName": "index", "KeyConditionExpression": "a = :v", "Limit": 1000,
        "FilterExpression": "attribute_exists(#n)", "ProjectionExpression": "id", "ConsistentRead": false, "ScanIndexForward": false,
        "Select": "SPECIFIC_ATTRIBUTES", "ExclusiveStartKey": json_item, "ExpressionAttributeNames": { "#n": "b" },
        "ExpressionAttributeValues": json_values }]));
    let input =
        QueryInput::builder().table_name(table).index_name("index").key_condition_expression("a = :v").limit(1000);
    let input = input.filter_expression("attribute_exists(#n)").projection_expression("id").consistent_read(false);
    let input =
        input.scan_index_forward(false).select(Select::SpecificAttributes).set_exclusive_start_key(Some(item()));
    let input = input.set_expression_attribute_names(Some(names("b"))).set_expression_attribute_values(Some(values()));
    client.query(input.build().unwrap()).await.unwrap();

    calls.push(
        json!(["scan", { "TableName": table, "Segment": 1, "TotalSegments": 2, "ConsistentRead": true, "Limit": 5,
        "ExclusiveStartKey": json_key, "ReturnConsumedCapacity": "TOTAL" }]),
    );
    let input = ScanInput::builder().table_name(table).segment(1).total_segments(2).consistent_read(true).limit(5);
    let input = input.set_exclusive_start_key(Some(key())).return_consumed_capacity(ReturnConsumedCapacity::Total);
    client.scan(input.build().unwrap()).await.unwrap();

    // Without it, the Node client says NONE.
    calls.push(json!(["batch_get_item", { "ReturnConsumedCapacity": "TOTAL", "RequestItems": { table: { "Keys": [json_key], "ConsistentRead": true, "ProjectionExpression": "a" } } }]));
    let of = KeysAndAttributes::builder().keys(key()).consistent_read(true).projection_expression("a").build().unwrap();
    client
        .batch_get_item(
            BatchGetItemInput::builder()
                .request_items(table, of)
                .return_consumed_capacity(ReturnConsumedCapacity::Total)
                .build()
                .unwrap(),
        )
        .await
        .unwrap();

    calls.push(json!(["batch_write_item", { "RequestItems": { table: [
        { "PutRequest": { "Item": json_item } }, { "DeleteRequest": { "Key": { "id": { "S": "two" } } } } ] } }]));
    let put = PutRequest::builder().set_item(Some(item())).build().unwrap();
    let delete = DeleteRequest::builder().key("id", s("two")).build().unwrap();
    let writes =
        vec![WriteRequest::builder().put_request(put).build(), WriteRequest::builder().delete_request(delete).build()];
    client
        .batch_write_item(BatchWriteItemInput::builder().request_items(table, writes).build().unwrap())
        .await
        .unwrap();

    calls.push(json!(["transact_get_items", { "ReturnConsumedCapacity": "TOTAL", "TransactItems": [
        { "Get": { "TableName": table, "Key": json_key } },
        { "Get": { "TableName": table, "Key": { "id": { "S": "two" } }, "ProjectionExpression": "a[0]" } } ] }]));
    let one = Get::builder().table_name(table).set_key(Some(key())).build().unwrap();
    let two = Get::builder().table_name(table).key("id", s("two")).projection_expression("a[0]").build().unwrap();
    let input = TransactGetItemsInput::builder().return_consumed_capacity(ReturnConsumedCapacity::Total);
    let input = input.transact_items(TransactGetItem::builder().get(one).build());
    let input = input.transact_items(TransactGetItem::builder().get(two).build());
    client.transact_get_items(input.build().unwrap()).await.unwrap();

    calls.push(json!(["transact_write_items", { "ClientRequestToken": "first", "TransactItems": [
        { "Put": { "TableName": table, "Item": json_item, "ConditionExpression": "attribute_exists(a)",
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD" } },
        { "Delete": { "TableName": table, "Key": { "id": { "S": "two" } } } } ] }]));
    let put = Put::builder().table_name(table).set_item(Some(item())).condition_expression("attribute_exists(a)");
    let put =
        put.return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld).build().unwrap();
    let delete = Delete::builder().table_name(table).key("id", s("two")).build().unwrap();
    let input = TransactWriteItemsInput::builder().client_request_token("first");
    let input = input.transact_items(TransactWriteItem::builder().put(put).build());
    let input = input.transact_items(TransactWriteItem::builder().delete(delete).build());
    client.transact_write_items(input.build().unwrap()).await.unwrap();

    let (address, theirs) = record(node).await;
    cluster.front.set_nodes(vec![address]);
    let lines: String = calls.iter().map(|call| format!("{call}\n")).collect();
    let output = tokio::task::spawn_blocking(move || {
        let mut node = std::process::Command::new("node");
        node.args(["--no-warnings", concat!(env!("CARGO_MANIFEST_DIR"), "/../dax-front/tests/clients.js")]);
        node.env("NODE_PATH", format!("{}/node/node_modules", std::env::var("DAX_CLIENTS").unwrap()));
        node.envs([("AWS_ACCESS_KEY_ID", "key"), ("AWS_SECRET_ACCESS_KEY", SECRET), ("AWS_DEFAULT_REGION", REGION)]);
        node.env("DAX_ENDPOINT", format!("dax://{address}")).env("AWS_REGION", REGION);
        let mut child = node.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), lines.as_bytes()).unwrap();
        String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
    });
    let output = output.await.unwrap();
    assert!(!output.contains("error"), "{output}");
    let (ours, theirs) = (operations(&ours), operations(&theirs));
    assert_eq!(theirs.values().map(Vec::len).sum::<usize>(), calls.len());
    assert_eq!(ours, theirs);
}
