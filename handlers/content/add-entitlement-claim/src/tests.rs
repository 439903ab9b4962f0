//! What Cognito gets back, with DynamoDB replaced at the SDK's HTTP edge.

use std::net::TcpListener;
use std::time::Duration;

use aws_sdk_dynamodb::error::ErrorMetadata;
use aws_sdk_dynamodb::operation::get_item::{GetItemError, GetItemOutput};
use aws_sdk_dynamodb::types::AttributeValue;
use aws_smithy_mocks::{Rule, RuleMode, mock, mock_client};
use entitlements::Entitlements;
use lambda_runtime::{Context, LambdaEvent};
use powertools::metrics::Metrics;
use serde_json::{Map, Value, json};

use crate::handler::{handle, timeouts};

/// The time that Cognito waits for the function.
const COGNITO_WAITS: Duration = Duration::from_secs(5);

fn example() -> Value {
    serde_json::from_str(include_str!("../../../../events/content/add-entitlement-claim.json")).expect("it is JSON")
}

/// The event that Cognito gets back, and the number of failures that were counted.
async fn answer(dynamodb: aws_sdk_dynamodb::Client, event: Value) -> (Value, Value) {
    let entitlements = Entitlements { dynamodb, table: "entitlements".into() };
    let metrics = Metrics::new("Registrar");
    let event: Map<String, Value> = serde_json::from_value(event).expect("it is an object");
    let answer = handle(&entitlements, &metrics, LambdaEvent::new(event, Context::default())).await;
    let failures = metrics.take().map(|metrics| metrics["EntitlementLookupFailures"][0].clone());
    (answer.into(), failures.unwrap_or_default())
}

fn table(get_item: &Rule) -> aws_sdk_dynamodb::Client {
    mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, [get_item])
}

fn found(item: Option<(&'static str, &'static str)>) -> Rule {
    mock!(aws_sdk_dynamodb::Client::get_item)
        .match_requests(|request| {
            let student_id = AttributeValue::S("7d1f2a8e-5c1b-4f0e-9a64-2f3f4f1f6a10".into());
            request.key().is_some_and(|key| key["student_id"] == student_id)
        })
        .then_output(move || {
            let item = item.map(|(name, number)| [(name.to_owned(), AttributeValue::N(number.into()))].into());
            GetItemOutput::builder().set_item(item).build()
        })
}

#[tokio::test]
async fn a_student_who_has_paid_gets_the_claim_and_nothing_else_changes() {
    let paid = found(Some(("paid_until", "1806530400")));
    let mut expected = example();
    let claims = json!({"paid_until": "1806530400"});
    expected["response"] = json!({"claimsOverrideDetails": {"claimsToAddOrOverride": claims}});
    assert_eq!(answer(table(&paid), example()).await, (expected, Value::Null));
}

#[tokio::test]
async fn who_never_paid_gets_no_claim() {
    assert_eq!(answer(table(&found(None)), example()).await, (example(), Value::Null));
}

#[tokio::test]
async fn who_is_no_student_is_not_looked_up() {
    let never = mock!(aws_sdk_dynamodb::Client::get_item).then_output(|| panic!("there is no student"));
    let mut staff = example();
    staff["request"]["userAttributes"] = json!({"email": "staff@school.example"});
    assert_eq!(answer(table(&never), staff.clone()).await, (staff, Value::Null));
}

#[tokio::test]
async fn without_the_table_the_student_still_signs_in_and_it_is_counted() {
    let denied = mock!(aws_sdk_dynamodb::Client::get_item)
        .then_error(|| GetItemError::generic(ErrorMetadata::builder().code("AccessDeniedException").build()));
    assert_eq!(answer(table(&denied), example()).await, (example(), json!(1.0)));
}

#[tokio::test(start_paused = true)]
async fn a_table_that_does_not_answer_keeps_no_student_from_signing_in() {
    let deaf = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let config = aws_sdk_dynamodb::Config::builder()
        .with_test_defaults_v2()
        .endpoint_url(format!("http://{}", deaf.local_addr().expect("it is bound")))
        .timeout_config(timeouts())
        .build();
    let answer = answer(aws_sdk_dynamodb::Client::from_conf(config), example());
    let answer = tokio::time::timeout(COGNITO_WAITS, answer).await.expect("it answers while Cognito waits");
    assert_eq!(answer, (example(), json!(1.0)));
}
