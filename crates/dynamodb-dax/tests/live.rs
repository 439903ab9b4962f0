//! A cluster of AWS: the ten operations have the results of DynamoDB, and what both sides sent is recorded without credentials and addresses.
//!
//! `DAX_ENDPOINT` is the cluster. `DAX_TABLE` is a table that it may read and write, whose key is `id`, a string. `DAX_RECORD` is the file with the
//! record; without it: `dax-frames.txt`. Run it where the cluster can be reached, with credentials that may use both.

#![allow(clippy::unwrap_used)]

use std::fmt::Write;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use aws_config::BehaviorVersion;
use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::types::{
    AttributeValue, ConditionCheck, Get, KeysAndAttributes, Put, PutRequest, ReturnConsumedCapacity, ReturnValue,
    ReturnValuesOnConditionCheckFailure, TransactGetItem, TransactWriteItem, WriteRequest,
};
use dynamodb_dax::wire::cbor::{Decoder, Encoder, Malformed, Scanner};
use dynamodb_dax::wire::{endpoint, method};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

type Record = Arc<Mutex<String>>;

/// Takes so many values off the front of what is received.
async fn take(stream: &mut (impl AsyncRead + Unpin), received: &mut Vec<u8>, count: usize) -> Option<Vec<u8>> {
    let mut scanner = Scanner::default();
    while !scanner.complete(received, count).unwrap() {
        if stream.read_buf(received).await.ok()? == 0 {
            return None;
        }
    }
    let rest = received.split_off(scanner.position);
    Some(std::mem::replace(received, rest))
}

/// A value without its content: the lengths of texts and bytes only.
fn shape(decoder: &mut Decoder, into: &mut String) -> Result<(), Malformed> {
    if decoder.null()? {
        into.push_str("null");
    } else if let Ok(number) = decoder.clone().int() {
        decoder.skip()?;
        write!(into, "{number}").unwrap();
    } else if let Ok(text) = decoder.clone().text() {
        write!(into, "text({})", text.len()).unwrap();
        decoder.skip()?;
    } else if let Ok(bytes) = decoder.clone().bytes() {
        write!(into, "bytes({})", bytes.len()).unwrap();
        decoder.skip()?;
    } else if decoder.clone().array().is_ok() {
        into.push('[');
        decoder.each(|decoder| {
            shape(decoder, into)?;
            into.push(' ');
            Ok::<_, Malformed>(())
        })?;
        into.push(']');
    } else {
        into.push('{');
        decoder.pairs(|decoder| {
            shape(decoder, into)?;
            into.push_str(": ");
            shape(decoder, into)?;
            into.push(' ');
            Ok::<_, Malformed>(())
        })?;
        into.push('}');
    }
    Ok(())
}

fn shapes(bytes: &[u8], count: usize) -> String {
    let (mut decoder, mut text) = (Decoder::new(bytes), String::new());
    for _ in 0..count {
        shape(&mut decoder, &mut text).unwrap();
        text.push(' ');
    }
    text
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The arguments of a method, and the values of its answer.
fn values(number: i64) -> (usize, usize) {
    match number {
        method::AUTHORIZE_CONNECTION => (5, 0),
        method::ENDPOINTS => (0, 1),
        method::DEFINE_ATTRIBUTE_LIST | method::DEFINE_ATTRIBUTE_LIST_ID | method::DEFINE_KEY_SCHEMA => (1, 1),
        method::BATCH_GET_ITEM => (2, 2),
        method::BATCH_WRITE_ITEM => (2, 3),
        method::SCAN => (2, 1),
        method::PUT_ITEM | method::TRANSACT_GET_ITEMS => (4, 1),
        method::TRANSACT_WRITE_ITEMS => (9, 1),
        _ => (3, 1),
    }
}

/// Passes the requests of one connection on to the cluster. It is the only node that the client is told of.
async fn pass(
    mut client: TcpStream,
    mut cluster: impl AsyncRead + AsyncWrite + Unpin,
    port: u16,
    record: Record,
) -> Option<()> {
    let (mut sent, mut answered) = (Vec::new(), Vec::new());
    let preamble = take(&mut client, &mut sent, 5).await?;
    cluster.write_all(&preamble).await.ok()?;
    loop {
        let mut request = take(&mut client, &mut sent, 2).await?;
        let mut decoder = Decoder::new(&request);
        decoder.skip().unwrap();
        let number = decoder.int().unwrap();
        let (arguments, results) = values(number);
        let arguments_sent = take(&mut client, &mut sent, arguments).await?;
        let is_authorization = number == method::AUTHORIZE_CONNECTION;
        let described = if is_authorization { shapes(&arguments_sent, arguments) } else { hex(&arguments_sent) };
        writeln!(record.lock().unwrap(), "> {number} {described}").unwrap();
        request.extend(&arguments_sent);
        cluster.write_all(&request).await.ok()?;
        cluster.flush().await.ok()?;
        if is_authorization {
            continue;
        }
        let mut answer = take(&mut cluster, &mut answered, 1).await?;
        let succeeded = answer == [0x80];
        let more = if succeeded { results } else { 2 };
        let body = take(&mut cluster, &mut answered, more).await?;
        answer.extend(&body);
        let has_secrets = !succeeded || number == method::ENDPOINTS;
        let described = if has_secrets { shapes(&answer, 1 + more) } else { hex(&answer) };
        writeln!(record.lock().unwrap(), "< {described}").unwrap();
        if succeeded && number == method::ENDPOINTS {
            let mut own = Encoder::default();
            own.array(0);
            own.array(1);
            own.map(3);
            own.int(endpoint::ADDRESS);
            own.bytes(&Ipv4Addr::LOCALHOST.octets());
            own.int(endpoint::PORT);
            own.int(i64::from(port));
            own.int(endpoint::ROLE);
            own.int(endpoint::LEADER);
            answer = own.buffer;
        }
        client.write_all(&answer).await.ok()?;
    }
}

/// The port of a proxy to the cluster that records.
async fn proxy(cluster: String, record: Record) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (scheme, rest) = cluster.split_once("://").unwrap();
    let address = if rest.contains(':') { rest.to_owned() } else { format!("{rest}:9111") };
    let tls = (scheme == "daxs").then(|| {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let name = ServerName::try_from(address.rsplit_once(':').unwrap().0.to_owned()).unwrap();
        (TlsConnector::from(Arc::new(config.with_root_certificates(roots).with_no_client_auth())), name)
    });
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let upstream = TcpStream::connect(&address).await.unwrap();
            let (tls, record) = (tls.clone(), Arc::clone(&record));
            tokio::spawn(async move {
                match tls {
                    Some((connector, name)) => {
                        let upstream = connector.connect(name, upstream).await.unwrap();
                        pass(client, upstream, port, record).await
                    }
                    None => pass(client, upstream, port, record).await,
                }
            });
        }
    });
    port
}

fn s(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

#[tokio::test]
#[ignore = "needs a cluster of AWS: DAX_ENDPOINT and DAX_TABLE"]
async fn a_cluster_of_aws_answers_as_dynamodb_does() {
    // Where all ignored tests are asked for, there is no cluster of AWS.
    let Ok(cluster) = std::env::var("DAX_ENDPOINT") else { return };
    let record = Record::default();
    let port = proxy(cluster, Arc::clone(&record)).await;
    let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let dax = dynamodb_dax::dynamodb_client(&format!("dax://127.0.0.1:{port}"), &config).unwrap();
    let dynamodb = aws_sdk_dynamodb::Client::new(&config);
    let table = std::env::var("DAX_TABLE").unwrap();
    let id = format!("live-{:08x}", fastrand::u32(..));
    let [a, b, c] = ["a", "b", "c"].map(|name| s(&format!("{id}-{name}")));

    let put = dax.put_item().table_name(&table).item("id", a.clone()).item("n", AttributeValue::N("3.14".to_owned()));
    let put = put.item("list", AttributeValue::L(vec![s("x"), AttributeValue::Null(true)]));
    put.return_consumed_capacity(ReturnConsumedCapacity::Indexes).send().await.unwrap();
    let direct = dynamodb.get_item().table_name(&table).key("id", a.clone()).consistent_read(true);
    let direct = direct.send().await.unwrap().item;
    for (consistent, projection) in [(true, None), (false, None), (false, None), (false, Some("n, list[0], absent"))] {
        let get = dax.get_item().table_name(&table).key("id", a.clone()).consistent_read(consistent);
        let found = get.set_projection_expression(projection.map(str::to_owned)).send().await.unwrap().item;
        match projection {
            None => assert_eq!(found, direct),
            Some(_) => assert_eq!(found.unwrap()["list"], AttributeValue::L(vec![s("x")])),
        }
    }
    let update =
        dax.update_item().table_name(&table).key("id", a.clone()).update_expression("SET n = n + :one, m = :one");
    let update = update.expression_attribute_values(":one", AttributeValue::N("1".to_owned()));
    let updated = update.return_values(ReturnValue::UpdatedNew).send().await.unwrap().attributes.unwrap();
    assert_eq!(updated["n"], AttributeValue::N("4.14".to_owned()));

    let refused =
        dax.put_item().table_name(&table).item("id", a.clone()).condition_expression("attribute_not_exists(id)");
    assert_eq!(refused.send().await.unwrap_err().code(), Some("ConditionalCheckFailedException"));

    let write = |id: &AttributeValue| {
        let put = PutRequest::builder().item("id", id.clone()).build().unwrap();
        WriteRequest::builder().put_request(put).build()
    };
    dax.batch_write_item().request_items(&table, vec![write(&b), write(&c)]).send().await.unwrap();
    let keys = [&a, &b, &s("absent")].map(|id| [("id".to_owned(), id.clone())].into());
    let of = KeysAndAttributes::builder().set_keys(Some(keys.into())).build().unwrap();
    let batch = dax.batch_get_item().request_items(&table, of);
    let batch = batch.return_consumed_capacity(ReturnConsumedCapacity::Total).send().await.unwrap();
    assert_eq!(batch.responses.unwrap()[&table].len(), 2);

    let query = dax.query().table_name(&table).key_condition_expression("id = :id");
    let query = query.expression_attribute_values(":id", a.clone()).send().await.unwrap();
    assert_eq!(query.count, 1);
    dax.scan().table_name(&table).limit(1).send().await.unwrap();

    let get = |id: &AttributeValue| {
        let get = Get::builder().table_name(&table).key("id", id.clone()).build().unwrap();
        TransactGetItem::builder().get(get).build()
    };
    let gets = dax.transact_get_items().transact_items(get(&a)).transact_items(get(&s("absent")));
    let gets = gets.send().await.unwrap();
    assert!(gets.responses()[0].item().is_some() && gets.responses()[1].item().is_none());

    let check = ConditionCheck::builder().table_name(&table).key("id", b.clone());
    let check = check.condition_expression("attribute_not_exists(id)");
    let check = check.return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
    let put = Put::builder().table_name(&table).item("id", c.clone()).build().unwrap();
    let canceled = dax.transact_write_items().transact_items(TransactWriteItem::builder().put(put).build());
    let canceled =
        canceled.transact_items(TransactWriteItem::builder().condition_check(check.build().unwrap()).build());
    assert_eq!(canceled.send().await.unwrap_err().code(), Some("TransactionCanceledException"));

    for id in [a, b, c] {
        dax.delete_item().table_name(&table).key("id", id).return_values(ReturnValue::AllOld).send().await.unwrap();
    }
    let file = std::env::var("DAX_RECORD").unwrap_or_else(|_| "dax-frames.txt".to_owned());
    std::fs::write(file, record.lock().unwrap().as_bytes()).unwrap();
}
