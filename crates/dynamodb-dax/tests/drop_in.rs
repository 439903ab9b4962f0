//! The SDK's own client through DAX Local. Its HTTP client notes what goes past DAX.

#![allow(clippy::unwrap_used)]

mod support;

use std::collections::{HashMap, HashSet};
use std::error::Error as _;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_dynamodb::config::interceptors::{
    BeforeDeserializationInterceptorContextRef, BeforeSerializationInterceptorContextRef,
};
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::{BoxError, ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::RequestId;
use aws_sdk_dynamodb::operation::get_item::GetItemError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    AttributeValue, Get, KeysAndAttributes, Put, PutRequest, ReturnValuesOnConditionCheckFailure, TransactGetItem,
    TransactWriteItem, WriteRequest,
};
use dax_front::{Caller, Callers, Fault, Settings};
use dynamodb_dax::wire::method;
use dynamodb_dax::{Client, Error};
use support::{Cluster, Log, REGION, SECRET, config, count, credentials};
use tokio::net::TcpListener;

fn s(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

fn quick() -> RetryConfig {
    RetryConfig::standard().with_initial_backoff(Duration::from_millis(1))
}

struct DropIn {
    cluster: Cluster,
    client: aws_sdk_dynamodb::Client,
    /// What went past DAX.
    past: Log,
}

impl DropIn {
    async fn start(set: impl FnOnce(&mut aws_sdk_dynamodb::config::Builder)) -> Self {
        let cluster = Cluster::start(1, None).await;
        let past = Log::default();
        let mut config = config(&past).retry_config(quick());
        set(&mut config);
        let client = cluster.client().build().unwrap().dynamodb_client(&config.build());
        Self { cluster, client, past }
    }

    fn get(&self, id: &str) -> aws_sdk_dynamodb::operation::get_item::builders::GetItemFluentBuilder {
        self.client.get_item().table_name("table").key("id", s(id))
    }

    fn put(&self, id: &str) -> aws_sdk_dynamodb::operation::put_item::builders::PutItemFluentBuilder {
        self.client.put_item().table_name("table").item("id", s(id))
    }
}

fn put(id: &str) -> TransactWriteItem {
    let put = Put::builder().table_name("table").item("id", s(id));
    let on_failure = ReturnValuesOnConditionCheckFailure::AllOld;
    let put = put.condition_expression("attribute_not_exists(id)").return_values_on_condition_check_failure(on_failure);
    TransactWriteItem::builder().put(put.build().unwrap()).build()
}

#[tokio::test]
async fn ten_operations_go_through_dax_and_all_others_past_it() {
    let DropIn { cluster, client, past } = DropIn::start(|_| {}).await;
    let table = "table";
    let item = client.get_item().table_name(table).key("id", s("one")).send().await.unwrap().item.unwrap();
    assert_eq!(item["same"], s("one"));
    let projected = client.get_item().table_name(table).key("id", s("one")).projection_expression("same, id");
    assert_eq!(projected.send().await.unwrap().item.unwrap()["id"], s("one"));
    client.put_item().table_name(table).item("id", s("one")).send().await.unwrap();
    client.delete_item().table_name(table).key("id", s("one")).send().await.unwrap();
    client.update_item().table_name(table).key("id", s("one")).update_expression("REMOVE a").send().await.unwrap();
    let query = client.query().table_name(table).key_condition_expression("id = :id");
    let query = query.expression_attribute_values(":id", s("one")).send().await.unwrap();
    assert_eq!(query.items()[0]["same"], s("first"));
    assert_eq!(client.scan().table_name(table).send().await.unwrap().count, 1);
    let of = KeysAndAttributes::builder().keys([("id".to_owned(), s("two"))].into()).build().unwrap();
    let batch = client.batch_get_item().request_items(table, of).send().await.unwrap();
    assert_eq!(batch.responses.unwrap()[table][0]["same"], s("two"));
    let write = PutRequest::builder().item("id", s("one")).build().unwrap();
    let write = WriteRequest::builder().put_request(write).build();
    client.batch_write_item().request_items(table, vec![write]).send().await.unwrap();
    let get = Get::builder().table_name(table).key("id", s("one")).build().unwrap();
    let get = TransactGetItem::builder().get(get).build();
    let gets = client.transact_get_items().transact_items(get).send().await.unwrap();
    assert_eq!(gets.responses()[0].item().unwrap()["same"], s("one"));
    client.transact_write_items().transact_items(put("one")).send().await.unwrap();
    assert_eq!(*past.lock().unwrap(), Vec::<String>::new());
    let asked: HashSet<_> = cluster.asked.lock().unwrap().drain(..).collect();
    assert_eq!(asked.len(), 1 + 10, "{asked:?}");

    macro_rules! send {
        ($($operation:ident($($required:ident)?);)*) => {
            [$(
                async {
                    let _ = client.$operation()$(.$required("name"))?.send().await;
                    stringify!($operation)
                }.await,
            )*]
        };
    }
    let others = send! {
        batch_execute_statement(); create_backup(table_name); create_global_table(global_table_name);
        create_table(table_name); delete_backup(backup_arn); delete_resource_policy(resource_arn);
        delete_table(table_name); describe_backup(backup_arn); describe_continuous_backups(table_name);
        describe_contributor_insights(table_name); describe_endpoints(); describe_export(export_arn);
        describe_global_table(global_table_name); describe_global_table_settings(global_table_name);
        describe_import(import_arn); describe_kinesis_streaming_destination(table_name); describe_limits();
        describe_table(table_name); describe_table_replica_auto_scaling(table_name); describe_time_to_live(table_name);
        disable_kinesis_streaming_destination(table_name); enable_kinesis_streaming_destination(table_name);
        execute_statement(); execute_transaction(); export_table_to_point_in_time(table_arn);
        get_resource_policy(resource_arn); import_table(); list_backups(); list_contributor_insights(); list_exports();
        list_global_tables(); list_imports(); list_tables(); list_tags_of_resource(resource_arn);
        put_resource_policy(resource_arn); restore_table_from_backup(target_table_name);
        restore_table_to_point_in_time(target_table_name); tag_resource(resource_arn); untag_resource(resource_arn);
        update_continuous_backups(table_name); update_contributor_insights(table_name);
        update_global_table(global_table_name); update_global_table_settings(global_table_name);
        update_kinesis_streaming_destination(table_name); update_table(table_name);
        update_table_replica_auto_scaling(table_name); update_time_to_live(table_name);
    };
    let found: HashSet<_> = past.lock().unwrap().drain(..).collect();
    assert_eq!(found.len(), others.len(), "{found:?}");
    assert_eq!(*cluster.asked.lock().unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn what_dax_has_no_field_for_goes_to_dynamodb() {
    let to = DropIn::start(|_| {}).await;
    let on_failure = ReturnValuesOnConditionCheckFailure::AllOld;
    to.put("one").return_values_on_condition_check_failure(on_failure).send().await.unwrap();
    to.get("one").attributes_to_get("same").send().await.unwrap();
    assert_eq!(*to.past.lock().unwrap(), ["PutItem", "GetItem"]);
    assert_eq!(*to.cluster.asked.lock().unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn errors_are_those_of_the_sdk() {
    let to = DropIn::start(|_| {}).await;
    let failed = to.put("taken").condition_expression("attribute_not_exists(id)").send().await.unwrap_err();
    assert_eq!(failed.message(), Some("It is \"so\"."));
    assert!(matches!(failed.as_service_error(), Some(PutItemError::ConditionalCheckFailedException(_))), "{failed:?}");

    let failed = to.client.transact_write_items().transact_items(put("taken")).transact_items(put("other"));
    let failed = failed.send().await.unwrap_err();
    assert_eq!(failed.code(), Some("TransactionCanceledException"));
    let Some(TransactWriteItemsError::TransactionCanceledException(canceled)) = failed.as_service_error() else {
        panic!("{failed:?}")
    };
    let codes = canceled.cancellation_reasons().iter().map(|reason| reason.code().unwrap());
    assert_eq!(codes.collect::<Vec<_>>(), ["ConditionalCheckFailed", "None"]);
    assert_eq!(canceled.cancellation_reasons()[0].item().unwrap()["same"], s("taken"));

    let failed = to.client.get_item().table_name("absent").key("id", s("one")).send().await.unwrap_err();
    assert!(matches!(failed.as_service_error(), Some(GetItemError::ResourceNotFoundException(_))), "{failed:?}");

    // DynamoDB does not see this expression.
    let failed = to.get("one").projection_expression("a[").send().await.unwrap_err();
    assert_eq!(failed.code(), Some("ValidationException"));
    assert_eq!(failed.request_id(), None);
}

#[tokio::test]
async fn missing_permissions_are_said() {
    let mut caller = Caller::new(SECRET);
    caller.actions = HashSet::from(["dax:Query".to_owned()]);
    let callers = Callers::Listed(HashMap::from([("key".to_owned(), caller)]));
    let cluster = Cluster::with(1, &Log::default(), Settings::new(callers)).await;
    let client = cluster.client().build().unwrap().dynamodb_client(&config(&Log::default()).build());
    let failed = client.get_item().table_name("table").key("id", s("one")).send().await.unwrap_err();
    assert_eq!(failed.code(), Some("AccessDeniedException"));
    assert!(failed.message().unwrap().contains("dax:GetItem"), "{failed:?}");
}

#[tokio::test]
async fn a_retry_has_the_whole_request() {
    let to = DropIn::start(|_| {}).await;
    to.cluster.front.fail(method::PUT_ITEM, Fault::Throttled);
    to.put("one").send().await.unwrap();
    assert_eq!(count(&to.cluster.asked, "PutItem"), 1);
    (0..2).for_each(|_| to.cluster.front.fail(method::GET_ITEM, Fault::Throttled));
    assert_eq!(to.get("two").send().await.unwrap().item.unwrap()["same"], s("two"));
    assert_eq!(*to.past.lock().unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn a_write_whose_connection_broke_is_not_retried() {
    let to = DropIn::start(|_| {}).await;
    for fault in [Fault::Reset, Fault::Half] {
        to.cluster.asked.lock().unwrap().clear();
        to.cluster.front.fail(method::PUT_ITEM, fault);
        let failed = to.put("one").send().await.unwrap_err();
        assert!(matches!(failed, SdkError::DispatchFailure(_)), "{failed:?}");
        assert_eq!(count(&to.cluster.asked, "PutItem"), 1);
    }
}

#[tokio::test]
async fn a_write_that_took_longer_than_an_attempt_may_is_not_sent_again() {
    let limit = TimeoutConfig::builder().operation_attempt_timeout(Duration::from_millis(300)).build();
    let to = DropIn::start(|config| {
        config.set_timeout_config(Some(limit));
    })
    .await;
    to.put("one").send().await.unwrap();
    to.cluster.asked.lock().unwrap().clear();
    to.cluster.front.fail(method::PUT_ITEM, Fault::Slow(Duration::from_secs(60)));
    let failed = to.put("one").send().await.unwrap_err();
    let cause = failed.source().and_then(|error| error.source()).and_then(|error| error.downcast_ref());
    assert!(matches!(cause, Some(Error::Unanswered)), "{failed:?}");
    assert_eq!(count(&to.cluster.asked, "PutItem"), 1);
}

#[tokio::test]
async fn paginators_work() {
    let to = DropIn::start(|_| {}).await;
    let items = to.client.scan().table_name("table").into_paginator().items().send().collect::<Result<Vec<_>, _>>();
    let ids: Vec<_> = items.await.unwrap().into_iter().map(|item| item["id"].clone()).collect();
    assert_eq!(ids, [s("first"), s("second")]);
}

#[tokio::test]
async fn time_outs_of_the_sdk_work() {
    let limit = TimeoutConfig::builder().operation_timeout(Duration::from_millis(300)).build();
    let to = DropIn::start(|config| {
        config.set_timeout_config(Some(limit));
    })
    .await;
    to.cluster.front.fail(method::GET_ITEM, Fault::Slow(Duration::from_secs(60)));
    let failed = to.get("one").send().await.unwrap_err();
    assert!(matches!(failed, SdkError::TimeoutError(_)), "{failed:?}");
}

/// Counts executions and responses.
#[derive(Clone, Debug, Default)]
struct Counting(Arc<[AtomicUsize; 2]>);

impl Intercept for Counting {
    fn name(&self) -> &'static str {
        "Counting"
    }

    fn read_before_execution(
        &self,
        _: &BeforeSerializationInterceptorContextRef<'_>,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.0[0].fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn read_after_transmit(
        &self,
        _: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.0[1].fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

#[tokio::test]
async fn interceptors_see_each_attempt() {
    let counting = Counting::default();
    let to = DropIn::start(|config| {
        config.push_interceptor(aws_sdk_dynamodb::config::SharedInterceptor::new(counting.clone()));
    })
    .await;
    to.cluster.front.fail(method::PUT_ITEM, Fault::Throttled);
    to.put("one").send().await.unwrap();
    assert_eq!([0, 1].map(|at| counting.0[at].load(Ordering::SeqCst)), [1, 2]);
}

#[tokio::test]
async fn reads_fall_back_to_dynamodb_and_writes_do_not() {
    let (past, fallen) = (Log::default(), Log::default());
    let cluster = Cluster::start(1, None).await;
    let fallback = aws_sdk_dynamodb::Client::from_conf(config(&fallen).build());
    let dax = cluster.client().fallback(fallback).build().unwrap();
    let client = dax.dynamodb_client(&config(&past).retry_config(quick()).build());
    let read = async || {
        let found = client.get_item().table_name("table").key("id", s("one")).send().await;
        assert_eq!(found.unwrap().item.unwrap()["same"], s("one"));
    };
    read().await;
    assert_eq!(*fallen.lock().unwrap(), Vec::<String>::new());
    let (_, node) = cluster.nodes.into_iter().next().unwrap();
    node.abort();
    let _ = node.await;
    read().await;
    let get = Get::builder().table_name("table").key("id", s("one")).build().unwrap();
    let get = TransactGetItem::builder().get(get).build();
    client.transact_get_items().transact_items(get).send().await.unwrap();
    let of = KeysAndAttributes::builder().keys([("id".to_owned(), s("one"))].into()).build().unwrap();
    client.batch_get_item().request_items("table", of).send().await.unwrap();
    client.scan().table_name("table").send().await.unwrap();
    let query = client.query().table_name("table").key_condition_expression("id = :id");
    query.expression_attribute_values(":id", s("one")).send().await.unwrap();
    let failed = client.put_item().table_name("table").item("id", s("one")).send().await.unwrap_err();
    let cause = failed.source().and_then(|error| error.source()).and_then(|error| error.downcast_ref());
    assert!(matches!(cause, Some(Error::Unreachable { .. })), "{failed:?}");
    assert_eq!(*fallen.lock().unwrap(), ["GetItem", "TransactGetItems", "BatchGetItem", "Scan", "Query"]);
    assert_eq!(*past.lock().unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn reads_wait_once_for_a_cluster_that_is_out() {
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let fallen = Log::default();
    let dax = Client::builder(format!("dax://{}", silent.local_addr().unwrap()), REGION, credentials());
    let dax = dax.fallback(aws_sdk_dynamodb::Client::from_conf(config(&fallen).build()));
    let client = dax.timeout(Duration::from_secs(2)).build().unwrap().dynamodb_client(&config(&Log::default()).build());
    let accepted = tokio::spawn(async move {
        let _open = silent.accept().await;
        silent.accept().await.map(drop)
    });
    for _ in 0..3 {
        client.get_item().table_name("table").key("id", s("one")).send().await.unwrap();
    }
    assert_eq!(count(&fallen, "GetItem"), 3);
    assert!(!accepted.is_finished());
}

#[tokio::test]
async fn a_client_is_made_of_the_settings_that_aws_config_loads() {
    let cluster = Cluster::start(1, None).await;
    let endpoint = format!("dax://{}", cluster.nodes[0].0);
    let loaded = || aws_config::SdkConfig::builder().behavior_version(aws_config::BehaviorVersion::latest());
    let failed = dynamodb_dax::dynamodb_client(&endpoint, &loaded().build());
    assert!(matches!(failed, Err(Error::Configuration(_))));
    let loaded = loaded().region(aws_config::Region::new(REGION));
    let loaded = loaded.credentials_provider(SharedCredentialsProvider::new(credentials()));
    let client = dynamodb_dax::dynamodb_client(&endpoint, &loaded.build()).unwrap();
    client.get_item().table_name("table").key("id", s("one")).send().await.unwrap();
}

#[tokio::test]
async fn the_cause_is_in_the_error() {
    let dax = Client::builder("dax://name.invalid", REGION, credentials()).build().unwrap();
    let client = dax.dynamodb_client(&config(&Log::default()).retry_config(quick()).build());
    let failed = client.get_item().table_name("table").key("id", s("one")).send().await.unwrap_err();
    let text = aws_sdk_dynamodb::error::DisplayErrorContext(&failed).to_string();
    assert!(text.contains("name.invalid cannot be resolved"), "{text}");
}
