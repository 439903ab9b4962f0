//! What is asked of the table, and what is answered, with DynamoDB replaced at the SDK's HTTP edge.

use std::sync::{Arc, Mutex};

use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_dynamodb::{Client, Config};
use aws_smithy_http_client::test_util::infallible_client_fn;
use aws_smithy_types::body::SdkBody;
use chrono::Utc;
use lambda_http::http::header::{CACHE_CONTROL, RETRY_AFTER};
use lambda_http::http::{self, StatusCode};
use lambda_http::{Body, Response};
use serde_json::{Value, json};

use crate::handler::{ListAdvisorTimes, handle};

const EXAMPLE: &str = include_str!("../../../../events/cache/list-advisor-times.json");

/// The answer to the example with this path and query, and what DynamoDB was asked, which answers so.
async fn list(advisor_id: &str, query: Value, status: u16, body: Value) -> (Response<Body>, Option<Value>) {
    let asked = Arc::new(Mutex::new(None));
    let seen = Arc::clone(&asked);
    let http_client = infallible_client_fn(move |request: http::Request<SdkBody>| {
        assert_eq!(request.headers()["x-amz-target"], "DynamoDB_20120810.Query");
        let input = serde_json::from_slice(request.body().bytes().unwrap_or_default()).expect("it is JSON");
        *seen.lock().expect("no test panics here") = Some(input);
        http::Response::builder().status(status).body(SdkBody::from(body.to_string())).expect("it is a response")
    });
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .credentials_provider(Credentials::new("id", "key", None, None, "test"))
        .http_client(http_client)
        .region(Region::from_static("eu-central-1"))
        .retry_config(RetryConfig::disabled())
        .build();
    let mut event: Value = serde_json::from_str(EXAMPLE).expect("it is JSON");
    event["pathParameters"]["advisor_id"] = json!(advisor_id);
    event["queryStringParameters"] = query;
    let request = lambda_http::request::from_str(&event.to_string()).expect("it is an event of an HTTP API");
    let list_advisor_times = ListAdvisorTimes { dynamodb: Client::from_conf(config), table: "appointments".to_owned() };
    let response = handle(&list_advisor_times, request).await;
    let asked = asked.lock().expect("no test panics here").take();
    (response, asked)
}

fn json_of(response: &Response<Body>) -> Value {
    assert_eq!(response.headers()[CACHE_CONTROL], "no-store");
    let Body::Text(text) = response.body() else { panic!("it is no text") };
    serde_json::from_str(text).expect("it is JSON")
}

#[tokio::test]
async fn all_students_ask_for_the_same_and_get_times_only() {
    let item = |time: &str| json!({"starts_at": {"S": time}});
    let key = json!({"advisor_id": {"S": "ada"}, "starts_at": {"S": "2026-09-01T10:30:00Z"}});
    let page = json!({
        "Items": [item("2026-09-01T10:00:00Z"), item("2026-09-01T10:30:00Z")],
        "LastEvaluatedKey": key,
    });
    let (response, asked) = list("ada", json!({"from": "2026-09-01", "limit": "2"}), 200, page).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(
        json_of(&response),
        json!({"times": ["2026-09-01T10:00:00Z", "2026-09-01T10:30:00Z"], "next": "2026-09-01T10:30:00Z"})
    );
    let expected = json!({
        "TableName": "appointments",
        "KeyConditionExpression": "advisor_id = :advisor_id AND starts_at >= :position",
        "ProjectionExpression": "starts_at",
        "ExpressionAttributeValues": {":advisor_id": {"S": "ada"}, ":position": {"S": "2026-09-01"}},
        "Limit": 2,
    });
    assert_eq!(asked, Some(expected));
}

#[tokio::test]
async fn the_next_page_begins_after_the_one_before_and_the_last_has_no_next() {
    let query = json!({"after": "2026-09-01T10:30:00Z", "from": "2026-09-01"});
    let (response, asked) = list("ada", query, 200, json!({"Items": []})).await;
    assert_eq!(json_of(&response), json!({"times": []}));
    let asked = asked.unwrap_or_default();
    assert_eq!(asked["KeyConditionExpression"], "advisor_id = :advisor_id AND starts_at > :position");
    assert_eq!(asked["ExpressionAttributeValues"][":position"]["S"], "2026-09-01T10:30:00Z");
    assert_eq!(asked["Limit"], 25);
}

/// A time of day would make each request another for the cache.
#[tokio::test]
async fn without_from_the_list_begins_today() {
    let before = Utc::now().date_naive().to_string();
    let (_, asked) = list("ada", json!({}), 200, json!({"Items": []})).await;
    let after = Utc::now().date_naive().to_string();
    let position = asked.unwrap_or_default()["ExpressionAttributeValues"][":position"]["S"].clone();
    assert!(position == before.as_str() || position == after.as_str(), "{position}");
}

#[tokio::test]
async fn what_is_invalid_is_refused_before_the_table_is_asked() {
    let long = "a".repeat(65);
    let cases = [
        ("", json!({})),
        ("-ada", json!({})),
        ("a da", json!({})),
        (long.as_str(), json!({})),
        ("ada", json!({"limit": "0"})),
        ("ada", json!({"limit": "101"})),
        ("ada", json!({"limit": "ten"})),
        ("ada", json!({"from": "2026-9-1"})),
        ("ada", json!({"from": "2026-02-30"})),
        ("ada", json!({"from": "2026-09-01T10:00:00Z"})),
        ("ada", json!({"after": "2026-09-01"})),
        ("ada", json!({"after": "2026-09-01T10:00:00+02:00"})),
        ("ada", json!({"after": ""})),
    ];
    for (advisor_id, query) in cases {
        let (response, asked) = list(advisor_id, query.clone(), 200, json!({"Items": []})).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{advisor_id} {query}");
        let body = json_of(&response);
        assert_eq!((&body["code"], &body["request_id"]), (&json!("BAD_REQUEST"), &json!("UfYZxjGFliAEJ5Q=")));
        assert_eq!(asked, None, "{advisor_id} {query}");
    }
}

#[tokio::test]
async fn a_failure_of_the_table_is_one_to_try_again() {
    let throttled = json!({"__type": "com.amazonaws.dynamodb.v20120810#ThrottlingException", "message": "of ada"});
    let (response, _) = list("ada", json!({}), 400, throttled).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(response.headers()[RETRY_AFTER], "5");
    assert_eq!(json_of(&response)["code"], "TRY_AGAIN");
}
