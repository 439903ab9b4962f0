//! Each state of a record, with DynamoDB replaced at the SDK's HTTP edge.

use std::cell::Cell;
use std::collections::HashMap;
use std::error::Error as _;

use aws_sdk_dynamodb::operation::delete_item::{DeleteItemError, DeleteItemOutput};
use aws_sdk_dynamodb::operation::put_item::{PutItemError, PutItemOutput};
use aws_sdk_dynamodb::operation::update_item::UpdateItemOutput;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_dynamodb::types::error::{ConditionalCheckFailedException, ResourceNotFoundException};
use aws_smithy_mocks::{Rule, RuleMode, mock, mock_client};
use lambda_runtime::Diagnostic;
use serde_json::json;
use serde_json::value::RawValue;

use super::store::milliseconds_since_1970;
use super::*;

/// MD5 of `{"order": "ö"}`, as Python writes it.
const ID: &str = "shop#e6724b3eafbacd7a1595fcf9f8de59d8";

fn context() -> Context {
    let mut context = Context::default();
    context.deadline = milliseconds_since_1970() + 30_000;
    context
}

fn idempotency(rules: &[&Rule]) -> Idempotency {
    Idempotency::new(mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, rules), "idempotency").key_prefix("shop")
}

fn number(item: &HashMap<String, AttributeValue>, name: &str) -> u64 {
    item[name].as_n().expect("it is a number").parse().expect("it is an integer")
}

/// A table without the record, which expects one with these times in milliseconds from now.
fn vacant(expires_in: u64, in_progress_for: u64) -> Rule {
    let is_about = |actual: u64, expected: u64| expected.abs_diff(actual) < 5_000;
    mock!(aws_sdk_dynamodb::Client::put_item)
        .match_requests(move |request| {
            let item = request.item().expect("it has an item");
            let now = milliseconds_since_1970();
            is_about(number(item, "expiration") * 1000, now + expires_in)
                && is_about(number(item, "in_progress_expiration"), now + in_progress_for)
                && item["status"].as_s().is_ok_and(|status| status == "INPROGRESS")
                && item["id"].as_s().is_ok_and(|id| id == ID)
        })
        .then_output(|| PutItemOutput::builder().build())
}

fn any_put() -> Rule {
    mock!(aws_sdk_dynamodb::Client::put_item).then_output(|| PutItemOutput::builder().build())
}

/// A table with this record; times are in milliseconds from now.
fn occupied(status: &'static str, expires_in: i64, in_progress_for: Option<i64>, data: Option<&'static str>) -> Rule {
    mock!(aws_sdk_dynamodb::Client::put_item).then_error(move || {
        let from_now = |milliseconds: i64| milliseconds_since_1970() as i64 + milliseconds;
        let mut item = HashMap::from([
            ("id".into(), AttributeValue::S(ID.into())),
            ("status".into(), AttributeValue::S(status.into())),
            ("expiration".into(), AttributeValue::N((from_now(expires_in) / 1000).to_string())),
            ("validation".into(), AttributeValue::S("other".into())),
        ]);
        let in_progress = in_progress_for.map(|time| AttributeValue::N(from_now(time).to_string()));
        item.extend(in_progress.map(|value| ("in_progress_expiration".into(), value)));
        item.extend(data.map(|data| ("data".into(), AttributeValue::S(data.into()))));
        PutItemError::ConditionalCheckFailedException(
            ConditionalCheckFailedException::builder().set_item(Some(item)).build(),
        )
    })
}

fn completes(data: &'static str) -> Rule {
    mock!(aws_sdk_dynamodb::Client::update_item)
        .match_requests(move |request| {
            let values = request.expression_attribute_values().expect("it has values");
            values[":response_data"] == AttributeValue::S(data.into())
                && values[":status"] == AttributeValue::S("COMPLETED".into())
        })
        .then_output(|| UpdateItemOutput::builder().build())
}

fn deletes() -> Rule {
    mock!(aws_sdk_dynamodb::Client::delete_item)
        .match_requests(|request| request.condition_expression() == Some("#attempt = :attempt"))
        .then_output(|| DeleteItemOutput::builder().build())
}

async fn run(idempotency: &Idempotency) -> Result<i32, IdempotencyError<&'static str>> {
    idempotency.run(&json!({"order": "ö"}), &context(), async || Ok(7)).await
}

async fn fail(idempotency: &Idempotency) -> Result<i32, IdempotencyError<&'static str>> {
    idempotency.run(&json!({"order": "ö"}), &context(), async || Err("no")).await
}

async fn must_not_run() -> Result<i32, &'static str> {
    panic!("the body ran")
}

#[tokio::test]
async fn the_first_runs_and_its_response_is_saved() {
    let (put, update) = (vacant(3_600_000, 30_000), completes("7"));
    assert_eq!(run(&idempotency(&[&put, &update])).await.expect("it runs"), 7);
    assert_eq!((put.num_calls(), update.num_calls()), (1, 1));
}

#[tokio::test]
async fn a_response_is_given_again_byte_for_byte() {
    let put = occupied("COMPLETED", 60_000, Some(-1), Some(r#"{"b": 1e+16, "a": "\u00f6"}"#));
    let again: Result<Box<RawValue>, IdempotencyError> =
        idempotency(&[&put]).run(&json!({"order": "ö"}), &context(), async || unreachable!("it has been done")).await;
    assert_eq!(again.expect("it is replayed").get(), r#"{"b": 1e+16, "a": "\u00f6"}"#);

    let none: Option<u8> = idempotency(&[&occupied("COMPLETED", 60_000, None, None)])
        .run(&1, &context(), async || Err("it has been done"))
        .await
        .expect("it is replayed");
    assert_eq!(none, None);

    let another_type = idempotency(&[&put]).run(&1, &context(), must_not_run).await;
    assert!(matches!(another_type, Err(IdempotencyError::Serialization(_))), "{another_type:?}");
}

#[tokio::test]
async fn what_is_in_progress_is_an_error() {
    for in_progress_for in [Some(60_000), None] {
        let put = occupied("INPROGRESS", 60_000, in_progress_for, None);
        let result = run(&idempotency(&[&put])).await;
        assert!(matches!(result, Err(IdempotencyError::AlreadyInProgress)), "{result:?}");
    }
}

#[tokio::test]
async fn a_record_that_ends_while_it_is_looked_at_is_looked_at_again_three_times_in_all() {
    for put in [
        occupied("INPROGRESS", 60_000, Some(-1_000), None),
        occupied("COMPLETED", -2_000, None, Some("8")),
        mock!(aws_sdk_dynamodb::Client::put_item).then_error(|| {
            PutItemError::ConditionalCheckFailedException(ConditionalCheckFailedException::builder().build())
        }),
    ] {
        let result = run(&idempotency(&[&put])).await;
        assert!(matches!(result, Err(IdempotencyError::InconsistentState)), "{result:?}");
        assert_eq!(put.num_calls(), 3);
    }
}

/// A table with a record of another program, with these attributes.
fn foreign(attributes: &[(&str, AttributeValue)]) -> Rule {
    let mut item = HashMap::from([
        ("status".to_owned(), AttributeValue::S("COMPLETED".into())),
        ("expiration".to_owned(), AttributeValue::N("9999999999".into())),
    ]);
    item.extend(attributes.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    mock!(aws_sdk_dynamodb::Client::put_item).then_error(move || {
        let failed = ConditionalCheckFailedException::builder().set_item(Some(item.clone())).build();
        PutItemError::ConditionalCheckFailedException(failed)
    })
}

#[tokio::test]
async fn an_item_that_is_no_record_is_an_error_with_the_name_that_it_has_in_python() {
    for attribute in [
        ("status", AttributeValue::S("DONE".into())),
        ("expiration", AttributeValue::S("1".into())),
        ("data", AttributeValue::M(HashMap::from([("a".into(), AttributeValue::Bool(true))]))),
        ("data", AttributeValue::N("8".into())),
    ] {
        let error = run(&idempotency(&[&foreign(&[attribute])])).await.expect_err("it is no record");
        assert!(matches!(error, IdempotencyError::InvalidRecord(..)), "{error:?}");
        assert_eq!(Diagnostic::from(error).error_type, "IdempotencyPersistenceLayerError");
    }
}

#[tokio::test]
async fn a_time_of_another_program_may_have_a_fraction() {
    let data = ("data", AttributeValue::S("8".into()));
    let put = foreign(&[("expiration", AttributeValue::N("9999999999.5".into())), data]);
    assert_eq!(run(&idempotency(&[&put])).await.expect("it has been done"), 8);

    let in_progress = ("status", AttributeValue::S("INPROGRESS".into()));
    let until = |time: u64| ("in_progress_expiration", AttributeValue::N(format!("{time}.25")));
    let put = foreign(&[in_progress.clone(), until(milliseconds_since_1970() + 60_000)]);
    let result = run(&idempotency(&[&put])).await;
    assert!(matches!(result, Err(IdempotencyError::AlreadyInProgress)), "{result:?}");
    let put = foreign(&[in_progress, until(milliseconds_since_1970() - 1_000)]);
    let result = run(&idempotency(&[&put])).await;
    assert!(matches!(result, Err(IdempotencyError::InconsistentState)), "{result:?}");
}

#[tokio::test]
async fn what_is_kept_for_ever_does_not_expire() {
    let put = mock!(aws_sdk_dynamodb::Client::put_item)
        .match_requests(|request| {
            let item = request.item().expect("it has an item");
            number(item, "expiration") == u64::MAX && number(item, "in_progress_expiration") == u64::MAX
        })
        .then_output(|| PutItemOutput::builder().build());
    let update = mock!(aws_sdk_dynamodb::Client::update_item)
        .match_requests(|request| {
            let values = request.expression_attribute_values().expect("it has values");
            values[":expiry"] == AttributeValue::N(u64::MAX.to_string())
        })
        .then_output(|| UpdateItemOutput::builder().build());
    let idempotency = idempotency(&[&put, &update]).expires_after(Duration::MAX).in_progress_for(Duration::MAX);
    assert_eq!(run(&idempotency).await.expect("it runs"), 7);
}

#[tokio::test]
async fn the_payload_has_to_be_the_same() {
    let completed = occupied("COMPLETED", 60_000, None, Some("8"));
    let in_progress = occupied("INPROGRESS", 60_000, Some(60_000), None);
    for put in [completed, in_progress] {
        let result = idempotency(&[&put]).for_key(&1).validate(&2).run(&context(), must_not_run).await;
        assert!(matches!(result, Err(IdempotencyError::Validation)), "{result:?}");
    }

    // MD5 of `2`.
    const HASH: &str = "c81e728d9d4c2f636f067f89cc14862c";
    let put = mock!(aws_sdk_dynamodb::Client::put_item)
        .match_requests(|request| {
            request.item().expect("it has an item")["validation"] == AttributeValue::S(HASH.into())
        })
        .then_output(|| PutItemOutput::builder().build());
    let update = mock!(aws_sdk_dynamodb::Client::update_item)
        .match_requests(|request| {
            let values = request.expression_attribute_values().expect("it has values");
            values[":validation_key"] == AttributeValue::S(HASH.into())
                && request
                    .update_expression()
                    .is_some_and(|update| update.ends_with("#validation_key = :validation_key REMOVE #attempt"))
        })
        .then_output(|| UpdateItemOutput::builder().build());
    let result =
        idempotency(&[&put, &update]).for_key(&1).validate(&2).run(&context(), async || Ok::<_, &str>(3)).await;
    assert_eq!(result.expect("it runs"), 3);
}

/// The answer to the SDK's first attempt was lost: its second attempt finds the first one's record.
#[tokio::test]
async fn a_record_of_ones_own_is_no_obstacle() {
    let written: Arc<Mutex<HashMap<String, AttributeValue>>> = Arc::default();
    let seen = Arc::clone(&written);
    let put = mock!(aws_sdk_dynamodb::Client::put_item)
        .match_requests(move |request| {
            *seen.lock().expect("nobody panics with it") = request.item().expect("it has an item").clone();
            true
        })
        .then_error(move || {
            let item = written.lock().expect("nobody panics with it").clone();
            let failed = ConditionalCheckFailedException::builder().set_item(Some(item)).build();
            PutItemError::ConditionalCheckFailedException(failed)
        });
    assert_eq!(run(&idempotency(&[&put, &completes("7")])).await.expect("it runs"), 7);
}

#[tokio::test]
async fn an_error_deletes_the_record() {
    let (put, delete) = (vacant(3_600_000, 30_000), deletes());
    let result = fail(&idempotency(&[&put, &delete])).await;
    assert!(matches!(result, Err(IdempotencyError::Body("no"))), "{result:?}");
    assert_eq!(delete.num_calls(), 1);

    let taken = mock!(aws_sdk_dynamodb::Client::delete_item).then_error(|| {
        DeleteItemError::ConditionalCheckFailedException(ConditionalCheckFailedException::builder().build())
    });
    let unavailable = mock!(aws_sdk_dynamodb::Client::delete_item)
        .then_error(|| DeleteItemError::ResourceNotFoundException(ResourceNotFoundException::builder().build()));
    for delete in [taken, unavailable] {
        let result = fail(&idempotency(&[&vacant(3_600_000, 30_000), &delete])).await;
        assert!(matches!(result, Err(IdempotencyError::Body("no"))), "{result:?}");
    }
}

#[tokio::test]
async fn an_error_that_leaves_the_outcome_open_keeps_a_lease() {
    for (error, deleted) in [("no", 1), ("no answer", 0)] {
        let (put, delete) = (vacant(7_200_000, 7_200_000), deletes());
        let result: Result<(), _> = idempotency(&[&put, &delete])
            .in_progress_for(Duration::from_secs(7200))
            .for_key(&json!({"order": "ö"}))
            .keep_in_progress_if(|error| *error == "no answer")
            .run(&context(), async || Err(error))
            .await;
        assert!(matches!(result, Err(IdempotencyError::Body(_))), "{result:?}");
        assert_eq!(delete.num_calls(), deleted, "{error}");
    }
    // A lease shorter than the invocation would allow a second attempt while this one runs.
    let (put, update) = (vacant(3_600_000, 30_000), completes("7"));
    run(&idempotency(&[&put, &update]).in_progress_for(Duration::from_secs(1))).await.expect("it runs");
}

#[tokio::test]
async fn an_outcome_that_became_known_can_be_noted() {
    let update = completes(r#"{"sent":true}"#);
    idempotency(&[&update]).complete(&"s-1", &json!({"sent": true})).await.expect("it is noted");
    assert_eq!(update.num_calls(), 1);
    assert!(matches!(idempotency(&[]).complete(&"", &()).await, Err(IdempotencyError::Key)));
}

#[tokio::test]
async fn a_missing_key_means_no_record_or_an_error() {
    let result = idempotency(&[]).run(&json!([null]), &context(), async || Ok::<_, &str>(1)).await;
    assert_eq!(result.expect("it runs"), 1);
    let result = idempotency(&[]).raise_on_no_idempotency_key().run(&json!([null]), &context(), must_not_run).await;
    assert!(matches!(result, Err(IdempotencyError::Key)), "{result:?}");
}

#[tokio::test]
async fn a_table_that_can_not_be_used_is_an_error_before_and_after_the_body() {
    let missing = || ResourceNotFoundException::builder().message("id secret").build();
    let put = mock!(aws_sdk_dynamodb::Client::put_item)
        .then_error(move || PutItemError::ResourceNotFoundException(missing()));
    let error = idempotency(&[&put]).run(&1, &context(), must_not_run).await.expect_err("there is no table");
    let diagnostic = Diagnostic::from(error);
    assert_eq!(diagnostic.error_type, "IdempotencyPersistenceLayerError");
    assert!(!diagnostic.error_message.contains("secret"), "{}", diagnostic.error_message);

    let update = mock!(aws_sdk_dynamodb::Client::update_item).then_error(move || {
        aws_sdk_dynamodb::operation::update_item::UpdateItemError::ResourceNotFoundException(missing())
    });
    let runs = Cell::new(0);
    let body = async || {
        runs.set(runs.get() + 1);
        Ok::<_, &str>(1)
    };
    let result = idempotency(&[&any_put(), &update]).run(&1, &context(), body).await;
    assert!(matches!(result, Err(IdempotencyError::PersistenceLayer { action: "completed", .. })), "{result:?}");
    assert_eq!(runs.get(), 1);
}

#[tokio::test]
async fn the_local_cache_answers_for_what_was_used_last() {
    let (put, update) = (any_put(), completes("7"));
    let idempotency = idempotency(&[&put, &update]).local_cache(NonZeroUsize::MIN);
    for (key, puts) in [(1, 1), (1, 1), (2, 2), (2, 2), (1, 3)] {
        let result = idempotency.run(&key, &context(), async || Ok::<_, &str>(7)).await;
        assert_eq!(result.expect("it is done"), 7);
        assert_eq!(put.num_calls(), puts);
    }
    // The cached record has no payload hash.
    let result = idempotency.for_key(&1).validate(&1).run(&context(), must_not_run).await;
    assert!(matches!(result, Err(IdempotencyError::Validation)), "{result:?}");
}

#[tokio::test]
async fn the_local_cache_takes_what_others_have_done_but_nothing_in_progress_or_expired() {
    for (record, puts) in
        [(occupied("COMPLETED", 60_000, None, Some("8")), 1), (occupied("INPROGRESS", 60_000, Some(60_000), None), 2)]
    {
        let idempotency = idempotency(&[&record]).local_cache(NonZeroUsize::MIN);
        let (first, second) = (run(&idempotency).await, run(&idempotency).await);
        assert_eq!(first.ok(), second.ok());
        assert_eq!(record.num_calls(), puts);
    }
    let (put, update) = (any_put(), completes("7"));
    let idempotency = idempotency(&[&put, &update]).local_cache(NonZeroUsize::MIN);
    run(&idempotency).await.expect("it runs");
    idempotency.cached().expect("there is one").iter_mut().for_each(|(_, record)| record.expiration -= 3_602);
    run(&idempotency).await.expect("it runs");
    assert_eq!(put.num_calls(), 2);
}

#[tokio::test]
async fn a_table_with_a_sort_key_has_the_id_there() {
    let put = mock!(aws_sdk_dynamodb::Client::put_item)
        .match_requests(|request| {
            let item = request.item().expect("it has an item");
            item["id"] == AttributeValue::S("idempotency#shop".into()) && item["sort"] == AttributeValue::S(ID.into())
        })
        .then_output(|| PutItemOutput::builder().build());
    let update = completes("7");
    run(&idempotency(&[&put, &update]).composite_key("idempotency#shop", "sort")).await.expect("it runs");
}

#[test]
fn an_error_leads_to_its_cause() {
    #[derive(Debug, thiserror::Error)]
    #[error("no money")]
    struct Refused(#[source] std::num::ParseIntError);

    let cause = "x".parse::<u8>().expect_err("it is no number");
    let error = IdempotencyError::Body(lambda_runtime::Error::from(Refused(cause.clone())));
    assert_eq!(error.to_string(), "no money");
    assert_eq!(error.source().map(ToString::to_string), Some(cause.to_string()));
    assert!(IdempotencyError::Body("no").source().is_none());
}

#[tokio::test]
async fn the_error_of_the_body_keeps_its_name() {
    assert_eq!(Diagnostic::from(IdempotencyError::Body("no")), Diagnostic::from("no"));
    let error_type = Diagnostic::from(IdempotencyError::<&str>::AlreadyInProgress).error_type;
    assert_eq!(error_type, "IdempotencyAlreadyInProgressError");
}
