//! Random requests have the same results through DAX Local as through the plain SDK: with this client, with the SDK's client that uses it, and with the
//! official client for Python if there is a folder `DAX_CLIENTS` (see DAX Local's README).
//!
//! `AWS_ENDPOINT_URL` is a DynamoDB endpoint, with the other settings of an AWS SDK. `DAX_REQUESTS` is the number of requests. Without it: 500.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::io::{BufRead, BufReader, Write};
use std::net::Ipv4Addr;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_credential_types::provider::ProvideCredentials;
use aws_sdk_dynamodb::config::interceptors::{
    AfterDeserializationInterceptorContextRef, BeforeTransmitInterceptorContextRef,
};
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::{BoxError, ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::batch_get_item::BatchGetItemInput;
use aws_sdk_dynamodb::operation::batch_write_item::BatchWriteItemInput;
use aws_sdk_dynamodb::operation::delete_item::DeleteItemInput;
use aws_sdk_dynamodb::operation::get_item::GetItemInput;
use aws_sdk_dynamodb::operation::put_item::PutItemInput;
use aws_sdk_dynamodb::operation::query::QueryInput;
use aws_sdk_dynamodb::operation::scan::ScanInput;
use aws_sdk_dynamodb::operation::transact_get_items::TransactGetItemsInput;
use aws_sdk_dynamodb::operation::transact_write_items::{TransactWriteItemsError, TransactWriteItemsInput};
use aws_sdk_dynamodb::operation::update_item::UpdateItemInput;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, ConditionCheck, Delete, DeleteRequest, Get, GlobalSecondaryIndex,
    KeySchemaElement, KeyType, KeysAndAttributes, Projection, ProjectionType, Put, PutRequest, ReturnConsumedCapacity,
    ReturnValue, ReturnValuesOnConditionCheckFailure, ScalarAttributeType, Select, TransactGetItem, TransactWriteItem,
    Update, WriteRequest,
};
use dax_front::{Caller, Callers, Front, Settings};
use dynamodb_dax::{Client, Error};
use fastrand::Rng;
use serde_json::{Value, json};
use tokio::net::TcpListener;

type Item = HashMap<String, AttributeValue>;

fn s(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

fn n(number: impl ToString) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

async fn create(dynamodb: &aws_sdk_dynamodb::Client, table: &str) {
    let element = |name: &str, of| KeySchemaElement::builder().attribute_name(name).key_type(of).build().unwrap();
    let attribute =
        |name: &str, of| AttributeDefinition::builder().attribute_name(name).attribute_type(of).build().unwrap();
    let index = GlobalSecondaryIndex::builder().index_name("by-color");
    let index = index.key_schema(element("color", KeyType::Hash)).key_schema(element("n", KeyType::Range));
    let index = index.projection(Projection::builder().projection_type(ProjectionType::All).build());
    let request = dynamodb.create_table().table_name(table).billing_mode(BillingMode::PayPerRequest);
    let request = request.key_schema(element("h", KeyType::Hash)).key_schema(element("n", KeyType::Range));
    let request = request.attribute_definitions(attribute("h", ScalarAttributeType::S));
    let request = request.attribute_definitions(attribute("n", ScalarAttributeType::N));
    let request = request.attribute_definitions(attribute("color", ScalarAttributeType::S));
    request.global_secondary_indexes(index.build().unwrap()).send().await.unwrap();
}

/// What is comparable of a result. The tables have names of the same length, which are left out.
fn outcome<T: Debug>(result: Result<T, (String, String)>, table: &str) -> String {
    // Items are maps, which print in no order.
    let text = match result {
        Ok(output) => format!("{output:?}"),
        Err((code, reasons)) => format!("{code} {reasons}"),
    };
    let mut words: Vec<_> =
        text.replace(table, "TABLE").split([',', '{', '}', '[', ']']).map(|word| word.trim().to_owned()).collect();
    words.retain(|word| !word.contains("request_id"));
    words.sort_unstable();
    words.join(",")
}

fn sdk<T, E: ProvideErrorMetadata + Debug, R: Debug>(result: Result<T, SdkError<E, R>>) -> Result<T, (String, String)> {
    result.map_err(|error| {
        let service = error.as_service_error().unwrap_or_else(|| panic!("{error:?}"));
        (service.code().unwrap_or_default().to_owned(), String::new())
    })
}

fn dax<T>(result: Result<T, Error>) -> Result<T, (String, String)> {
    result.map_err(|error| match error {
        Error::Service(error) if error.cancellation_reasons.is_empty() => (error.code, String::new()),
        Error::Service(error) => (error.code, format!("{:?}", error.cancellation_reasons)),
        Error::Invalid(_) => ("ValidationException".to_owned(), String::new()),
        other => panic!("{other:?}"),
    })
}

struct Requests<'a> {
    random: &'a mut Rng,
    table: String,
}

impl Requests<'_> {
    fn key(&mut self) -> Item {
        let hash = self.random.choice(["one", "two", "three"]).unwrap();
        Item::from([("h".to_owned(), s(hash)), ("n".to_owned(), n(self.random.i32(-6..6)))])
    }

    fn value(&mut self, depth: usize) -> AttributeValue {
        match self.random.u8(0..if depth < 3 { 10 } else { 7 }) {
            0 => n(format!("{}.{}", self.random.i32(-1000..1000), self.random.u32(1..1000) * 10 + 1)),
            1 => n(self.random.i64(..)),
            2 => AttributeValue::B(Blob::new((0..self.random.usize(1..20)).map(|at| at as u8).collect::<Vec<_>>())),
            3 => AttributeValue::Bool(self.random.bool()),
            4 => AttributeValue::Null(true),
            5 => AttributeValue::Ss(vec!["x".to_owned(), "y".to_owned()]),
            6 => s("é漢🙂".repeat(self.random.usize(1..4))),
            7 => AttributeValue::L((0..self.random.usize(0..4)).map(|_| self.value(depth + 1)).collect()),
            _ => AttributeValue::M(
                (0..self.random.usize(0..4)).map(|at| (format!("k{at}"), self.value(depth + 1))).collect(),
            ),
        }
    }

    fn item(&mut self) -> Item {
        let mut item = self.key();
        item.insert("color".to_owned(), s(self.random.choice(["red", "blue"]).unwrap()));
        item.insert("num".to_owned(), n(self.random.i32(0..10)));
        for name in ["a", "b", "deep"] {
            if self.random.bool() {
                item.insert(name.to_owned(), self.value(0));
            }
        }
        item
    }

    fn projection(&mut self) -> Option<String> {
        let paths = ["h", "num", "a.k0", "#x", "deep[1]", "deep.k1[0]", "b"];
        let mut paths: Vec<_> = paths.into_iter().filter(|_| self.random.bool()).collect();
        if paths.is_empty() || self.random.bool() {
            return None;
        }
        // A name of the key as well: an item without any of the values is an empty one for some endpoints, and none for others.
        for always in ["#x", "h"] {
            if !paths.contains(&always) {
                paths.push(always);
            }
        }
        Some(paths.join(", "))
    }

    fn names(projection: &Option<String>) -> Option<HashMap<String, String>> {
        projection.as_ref().map(|_| HashMap::from([("#x".to_owned(), "color".to_owned())]))
    }

    fn condition(&mut self) -> (Option<String>, Option<Item>) {
        let condition = match self.random.u8(0..5) {
            0 => "attribute_exists(h)",
            1 => "attribute_not_exists(h)",
            2 => "num > :c OR NOT attribute_exists(num)",
            3 => "num BETWEEN :c AND :c OR color IN (:red) AND size(color) = :c",
            _ => return (None, None),
        };
        let values = [(":c", n(self.random.i32(0..10))), (":red", s("red"))].into_iter();
        let values: Item =
            values.filter(|(name, _)| condition.contains(name)).map(|(name, value)| (name.to_owned(), value)).collect();
        (Some(condition.to_owned()), (!values.is_empty()).then_some(values))
    }

    fn returned(&mut self, update: bool) -> Option<ReturnValue> {
        let more = [ReturnValue::UpdatedOld, ReturnValue::UpdatedNew, ReturnValue::AllNew];
        match self.random.u8(0..4) {
            0 => None,
            1 if update => self.random.choice(more),
            _ => Some(ReturnValue::AllOld),
        }
    }

    /// The transaction, as a plain item and a random operation on it.
    fn part(&mut self, key: Item) -> TransactWriteItem {
        let on_failure = self.random.bool().then_some(ReturnValuesOnConditionCheckFailure::AllOld);
        let (condition, values) = self.condition();
        let part = TransactWriteItem::builder();
        let part = match self.random.u8(0..4) {
            0 => {
                let mut item = self.item();
                item.extend(key);
                let put =
                    Put::builder().table_name(&self.table).set_item(Some(item)).set_condition_expression(condition);
                let put = put.set_expression_attribute_values(values);
                part.put(put.set_return_values_on_condition_check_failure(on_failure).build().unwrap())
            }
            1 => {
                let delete =
                    Delete::builder().table_name(&self.table).set_key(Some(key)).set_condition_expression(condition);
                let delete = delete.set_expression_attribute_values(values);
                part.delete(delete.set_return_values_on_condition_check_failure(on_failure).build().unwrap())
            }
            2 => {
                let of =
                    Update::builder().table_name(&self.table).set_key(Some(key)).set_condition_expression(condition);
                let of = of.set_expression_attribute_values(values).expression_attribute_values(":one", n(1));
                let of = of.update_expression("ADD num :one REMOVE b");
                part.update(of.set_return_values_on_condition_check_failure(on_failure).build().unwrap())
            }
            _ => {
                let check = ConditionCheck::builder().table_name(&self.table).set_key(Some(key));
                let check = check.condition_expression("attribute_exists(h)");
                part.condition_check(check.set_return_values_on_condition_check_failure(on_failure).build().unwrap())
            }
        };
        part.build()
    }

    fn distinct_keys(&mut self) -> Vec<Item> {
        let mut keys: Vec<Item> = Vec::new();
        for _ in 0..self.random.usize(1..6) {
            let key = self.key();
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        keys
    }

    async fn run(&mut self, through: &Through) -> String {
        let capacity = self.random.bool().then_some(ReturnConsumedCapacity::None);
        match self.random.u8(0..12) {
            0 | 1 => {
                let (projection, key) = (self.projection(), self.key());
                let input = GetItemInput::builder().table_name(&self.table).set_key(Some(key));
                let input = input.set_expression_attribute_names(Self::names(&projection));
                let input = input.set_projection_expression(projection).set_consistent_read(Some(self.random.bool()));
                let input = input.set_return_consumed_capacity(capacity);
                match through {
                    Through::Sdk(client) => outcome(sdk(input.send_with(client).await), &self.table),
                    Through::Dax(client) => outcome(dax(client.get_item(input.build().unwrap()).await), &self.table),
                }
            }
            2 | 3 => {
                let (item, (condition, values)) = (self.item(), self.condition());
                let input = PutItemInput::builder().table_name(&self.table).set_item(Some(item));
                let input = input.set_condition_expression(condition).set_expression_attribute_values(values);
                let input = input.set_return_values(self.returned(false));
                match through {
                    Through::Sdk(client) => outcome(sdk(input.send_with(client).await), &self.table),
                    Through::Dax(client) => outcome(dax(client.put_item(input.build().unwrap()).await), &self.table),
                }
            }
            4 => {
                let (key, (condition, values)) = (self.key(), self.condition());
                let input = DeleteItemInput::builder().table_name(&self.table).set_key(Some(key));
                let input = input.set_condition_expression(condition).set_expression_attribute_values(values);
                let input = input.set_return_values(self.returned(false));
                match through {
                    Through::Sdk(client) => outcome(sdk(input.send_with(client).await), &self.table),
                    Through::Dax(client) => outcome(dax(client.delete_item(input.build().unwrap()).await), &self.table),
                }
            }
            5 | 6 => {
                let (key, (condition, values)) = (self.key(), self.condition());
                let input = UpdateItemInput::builder().table_name(&self.table).set_key(Some(key));
                let input = input.update_expression("SET a = :a, num = if_not_exists(num, :one) + :one REMOVE b");
                let input = input.set_expression_attribute_values(values).expression_attribute_values(":one", n(1));
                let input = input.expression_attribute_values(":a", self.value(0));
                let input = input.set_condition_expression(condition).set_return_values(self.returned(true));
                match through {
                    Through::Sdk(client) => outcome(sdk(input.send_with(client).await), &self.table),
                    Through::Dax(client) => outcome(dax(client.update_item(input.build().unwrap()).await), &self.table),
                }
            }
            7 => {
                let projection = self.projection();
                let by_index = self.random.bool();
                let input = QueryInput::builder().table_name(&self.table);
                let input = if by_index {
                    input.index_name("by-color").key_condition_expression("color = :h AND n < :n")
                } else {
                    input.key_condition_expression("h = :h AND n < :n")
                };
                let input = input.expression_attribute_values(":h", s(if by_index { "red" } else { "one" }));
                let input = input.expression_attribute_values(":n", n(self.random.i32(-6..8)));
                let input = input.set_expression_attribute_names(Self::names(&projection));
                let input = input.set_limit(self.random.bool().then(|| self.random.i32(1..8)));
                let input = input.set_scan_index_forward(Some(self.random.bool()));
                let input = if projection.is_none() && self.random.u8(0..4) == 0 {
                    input.select(Select::Count)
                } else {
                    input.set_projection_expression(projection)
                };
                match through {
                    Through::Sdk(client) => outcome(sdk(input.send_with(client).await), &self.table),
                    Through::Dax(client) => outcome(dax(client.query(input.build().unwrap()).await), &self.table),
                }
            }
            8 => {
                let projection = self.projection();
                let input = ScanInput::builder().table_name(&self.table).filter_expression("num >= :c");
                let input = input.expression_attribute_values(":c", n(self.random.i32(0..10)));
                let input = input.set_expression_attribute_names(Self::names(&projection));
                let input = input.set_projection_expression(projection);
                match through {
                    Through::Sdk(client) => outcome(sdk(input.send_with(client).await), &self.table),
                    Through::Dax(client) => outcome(dax(client.scan(input.build().unwrap()).await), &self.table),
                }
            }
            9 => {
                let (projection, keys) = (self.projection(), self.distinct_keys());
                let of = KeysAndAttributes::builder().set_keys(Some(keys));
                let of = of.set_expression_attribute_names(Self::names(&projection));
                let of = of.set_projection_expression(projection).build().unwrap();
                let input = BatchGetItemInput::builder().request_items(&self.table, of);
                match through {
                    Through::Sdk(client) => outcome(sdk(input.send_with(client).await), &self.table),
                    Through::Dax(client) => {
                        outcome(dax(client.batch_get_item(input.build().unwrap()).await), &self.table)
                    }
                }
            }
            10 => {
                let mut writes = Vec::new();
                for key in self.distinct_keys() {
                    let write = WriteRequest::builder();
                    writes.push(if self.random.bool() {
                        let mut item = self.item();
                        item.extend(key);
                        write.put_request(PutRequest::builder().set_item(Some(item)).build().unwrap()).build()
                    } else {
                        write.delete_request(DeleteRequest::builder().set_key(Some(key)).build().unwrap()).build()
                    });
                }
                let input = BatchWriteItemInput::builder().request_items(&self.table, writes);
                match through {
                    Through::Sdk(client) => outcome(sdk(input.send_with(client).await), &self.table),
                    Through::Dax(client) => {
                        outcome(dax(client.batch_write_item(input.build().unwrap()).await), &self.table)
                    }
                }
            }
            _ if self.random.bool() => {
                let mut input = TransactGetItemsInput::builder();
                for key in self.distinct_keys() {
                    let projection = self.projection();
                    let get = Get::builder().table_name(&self.table).set_key(Some(key));
                    let get = get.set_expression_attribute_names(Self::names(&projection));
                    let get = get.set_projection_expression(projection).build().unwrap();
                    input = input.transact_items(TransactGetItem::builder().get(get).build());
                }
                match through {
                    Through::Sdk(client) => outcome(sdk(input.send_with(client).await), &self.table),
                    Through::Dax(client) => {
                        outcome(dax(client.transact_get_items(input.build().unwrap()).await), &self.table)
                    }
                }
            }
            _ => {
                let mut input = TransactWriteItemsInput::builder();
                for key in self.distinct_keys() {
                    input = input.transact_items(self.part(key));
                }
                match through {
                    Through::Sdk(client) => {
                        let result = input.send_with(client).await;
                        let reasons = match result.as_ref().err().and_then(SdkError::as_service_error) {
                            Some(TransactWriteItemsError::TransactionCanceledException(canceled)) => {
                                format!("{:?}", canceled.cancellation_reasons())
                            }
                            _ => String::new(),
                        };
                        outcome(sdk(result).map_err(|(code, _)| (code, reasons)), &self.table)
                    }
                    Through::Dax(client) => {
                        outcome(dax(client.transact_write_items(input.build().unwrap()).await), &self.table)
                    }
                }
            }
        }
    }
}

enum Through {
    /// The plain SDK, or the SDK's client through DAX.
    Sdk(aws_sdk_dynamodb::Client),
    Dax(Client),
}

/// What the SDK sent last, and what it received: operation, request, response.
#[derive(Clone, Debug, Default)]
struct Exchange(Arc<Mutex<(String, Value, Value)>>);

impl Intercept for Exchange {
    fn name(&self) -> &'static str {
        "Exchange"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let target = context.request().headers().get("x-amz-target").unwrap_or_default().to_owned();
        let mut last = self.0.lock().unwrap();
        last.0 = target.rsplit('.').next().unwrap_or_default().to_owned();
        last.1 = serde_json::from_slice(context.request().body().bytes().unwrap_or_default())?;
        Ok(())
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.0.lock().unwrap().2 = serde_json::from_slice(context.response().body().bytes().unwrap_or_default())?;
        Ok(())
    }
}

/// The official client for Python.
struct Python {
    process: Child,
    outcomes: std::io::Lines<BufReader<ChildStdout>>,
}

impl Python {
    fn start(endpoint: &str) -> Option<Self> {
        let mut python = Command::new(format!("{}/bin/python", std::env::var("DAX_CLIENTS").ok()?));
        python.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../dax-front/tests/clients.py")).env("DAX_ENDPOINT", endpoint);
        let mut process = python.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let outcomes = BufReader::new(process.stdout.take().unwrap()).lines();
        Some(Self { process, outcomes })
    }

    /// The outcome of a request that the SDK has sent.
    fn call(&mut self, operation: &str, request: &Value, plain: &str, table: &str) -> Value {
        let mut method = String::new();
        for character in operation.chars() {
            if character.is_uppercase() && !method.is_empty() {
                method.push('_');
            }
            method.extend(character.to_lowercase());
        }
        let mut request = serde_json::from_str(&request.to_string().replace(plain, table)).unwrap();
        describe_bytes(&mut request);
        // The other table has another request with this token.
        request.as_object_mut().unwrap().remove("ClientRequestToken");
        writeln!(self.process.stdin.as_mut().unwrap(), "{}", json!([method, request])).unwrap();
        serde_json::from_str(&self.outcomes.next().unwrap().unwrap().replace(table, plain)).unwrap()
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        let _ = (self.process.kill(), self.process.wait());
    }
}

/// Marks bytes, as clients.py takes them.
fn describe_bytes(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match member {
                    Value::String(_) if name == "B" => *member = json!({ "__bytes": member }),
                    _ => describe_bytes(member),
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(describe_bytes),
        _ => {}
    }
}

/// What is comparable of an outcome in JSON: without what clients add or leave out, without the order of sets and of unordered items.
fn comparable(operation: &str, mut outcome: Value) -> Value {
    fn tidy(value: &mut Value) {
        match value {
            Value::Object(members) => {
                members.values_mut().for_each(tidy);
                // Maps keep their order, if another package asks serde_json for it.
                let sorted: BTreeMap<_, _> = std::mem::take(members).into_iter().collect();
                members.extend(sorted);
                if let Some(Value::Array(values)) = members.get_mut("SS") {
                    values.sort_by_key(Value::to_string);
                }
            }
            Value::Array(values) => values.iter_mut().for_each(tidy),
            _ => {}
        }
    }
    tidy(&mut outcome);
    let sort = |items: Option<&mut Value>| {
        items.and_then(Value::as_array_mut).into_iter().for_each(|items| items.sort_by_key(Value::to_string));
    };
    let members = outcome.as_object_mut().unwrap();
    let code = members.get("error").or(members.get("__type")).and_then(Value::as_str);
    if let Some(code) = code {
        return json!(code.rsplit('#').next());
    }
    if operation == "Scan" {
        sort(members.get_mut("Items"));
    }
    let responses = members.get_mut("Responses").and_then(Value::as_object_mut);
    responses.into_iter().flat_map(|tables| tables.values_mut()).for_each(|items| sort(Some(items)));
    let is_empty = |value: &Value| match value {
        Value::Object(members) => members.is_empty(),
        Value::Array(values) => values.is_empty(),
        value => value.is_null(),
    };
    members.retain(|name, value| name != "ResponseMetadata" && name != "ConsumedCapacity" && !is_empty(value));
    outcome
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a DynamoDB endpoint, and AWS_ENDPOINT_URL"]
async fn random_requests_have_the_results_of_the_plain_sdk() {
    let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let exchange = Exchange::default();
    let plain = aws_sdk_dynamodb::config::Builder::from(&config).interceptor(exchange.clone()).build();
    let plain = aws_sdk_dynamodb::Client::from_conf(plain);
    let credentials = config.credentials_provider().unwrap().provide_credentials().await.unwrap();
    let caller = Caller::new(credentials.secret_access_key());
    let callers = Callers::Listed(HashMap::from([(credentials.access_key_id().to_owned(), caller)]));
    // Neither results of queries nor items of transactions are cached, which would be stale.
    let ttl = Duration::from_nanos(1);
    let settings = Settings { record_ttl: ttl, query_ttl: ttl, ..Settings::new(callers) };
    let front = Front::new(aws_sdk_dynamodb::Client::new(&config), settings);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let endpoint = format!("dax://{}", listener.local_addr().unwrap());
    front.set_nodes(vec![listener.local_addr().unwrap()]);
    tokio::spawn(front.serve(listener));
    let region = config.region().unwrap().as_ref().to_owned();
    let core = Client::builder(&endpoint, region, credentials).build().unwrap();
    let drop_in = dynamodb_dax::dynamodb_client(&endpoint, &config).unwrap();
    let mut python = Python::start(&endpoint);

    let room = fastrand::u32(..);
    let tables = ["plain", "core-", "insdk", "pythn"].map(|name| format!("{name}-{room:08x}"));
    for table in &tables {
        create(&plain, table).await;
    }
    let count = std::env::var("DAX_REQUESTS").map_or(500, |count| count.parse().unwrap());
    let through = [Through::Sdk(plain), Through::Dax(core), Through::Sdk(drop_in)];
    let (mut some, mut refused) = (0, 0);
    for seed in 0..count {
        let mut outcomes = Vec::new();
        for (through, table) in through.iter().zip(&tables) {
            let random = &mut Rng::with_seed(seed);
            outcomes.push(Requests { random, table: table.clone() }.run(through).await);
        }
        assert_eq!(outcomes[1], outcomes[0], "request {seed} through the core");
        assert_eq!(outcomes[2], outcomes[0], "request {seed} through the SDK's client");
        if let Some(python) = &mut python {
            let (operation, request, response) = exchange.0.lock().unwrap().clone();
            let got = python.call(&operation, &request, &tables[0], &tables[3]);
            let (got, expected) = (comparable(&operation, got), comparable(&operation, response));
            assert_eq!(got, expected, "request {seed} through the official client: {request}");
        }
        some += usize::from(outcomes[0].contains("color"));
        refused += usize::from(outcomes[0].contains("Exception"));
    }
    assert!(
        some as u64 > count / 10 && refused as u64 > count / 100,
        "{some} results with items, {refused} errors of {count}"
    );
}
