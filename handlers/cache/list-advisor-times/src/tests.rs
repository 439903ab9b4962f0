//! What is asked of the table, and what is answered, with DynamoDB replaced at the SDK's HTTP edge.

use std::sync::{Arc, Mutex};

use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{Credentials, SharedCredentialsProvider};
use aws_smithy_http_client::test_util::infallible_client_fn;
use aws_smithy_types::body::SdkBody;
use chrono::Utc;
use lambda_http::http::header::{CACHE_CONTROL, RETRY_AFTER};
use lambda_http::http::{self, StatusCode};
use lambda_http::{Body, Response};
use powertools::metrics::Metrics;
use serde_json::{Value, json};

use crate::cluster;
use crate::handler::{ListAdvisorTimes, handle};

const EXAMPLE: &str = include_str!("../../../../events/cache/list-advisor-times.json");

/// What DynamoDB was asked last.
type Asked = Arc<Mutex<Option<Value>>>;

/// The settings of clients of a DynamoDB that answers so.
fn config(asked: &Asked, status: u16, body: Value) -> SdkConfig {
    let asked = Arc::clone(asked);
    let http_client = infallible_client_fn(move |request: http::Request<SdkBody>| {
        assert_eq!(request.headers()["x-amz-target"], "DynamoDB_20120810.Query");
        let input = serde_json::from_slice(request.body().bytes().unwrap_or_default()).expect("it is JSON");
        *asked.lock().expect("no test panics here") = Some(input);
        http::Response::builder().status(status).body(SdkBody::from(body.to_string())).expect("it is a response")
    });
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .credentials_provider(SharedCredentialsProvider::new(Credentials::new("id", "key", None, None, "test")))
        .http_client(http_client)
        .region(Region::from_static("eu-central-1"))
        .retry_config(RetryConfig::disabled())
        .build()
}

async fn list_with(dynamodb: Client, advisor_id: &str, query: &str) -> Response<Body> {
    let mut event: Value = serde_json::from_str(EXAMPLE).expect("it is JSON");
    event["pathParameters"]["advisor_id"] = json!(advisor_id);
    event["rawQueryString"] = json!(query);
    let request = lambda_http::request::from_str(&event.to_string()).expect("it is an event of an HTTP API");
    handle(&ListAdvisorTimes { dynamodb, table: "appointments".to_owned() }, request).await
}

/// The answer to the example with this path and query, and what DynamoDB was asked, which answers so.
async fn list(advisor_id: &str, query: &str, status: u16, body: Value) -> (Response<Body>, Option<Value>) {
    let asked = Asked::default();
    let response = list_with(Client::new(&config(&asked, status, body)), advisor_id, query).await;
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
    let (response, asked) = list("ada", "from=2026-09-01&limit=2", 200, page).await;
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
    let query = "after=2026-09-01T10:30:00Z&from=2026-09-01";
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
    let (_, asked) = list("ada", "", 200, json!({"Items": []})).await;
    let after = Utc::now().date_naive().to_string();
    let position = asked.unwrap_or_default()["ExpressionAttributeValues"][":position"]["S"].clone();
    assert!(position == before.as_str() || position == after.as_str(), "{position}");
}

#[tokio::test]
async fn what_is_invalid_is_refused_before_the_table_is_asked() {
    let long = "a".repeat(65);
    let cases = [
        ("", ""),
        ("-ada", ""),
        ("a da", ""),
        (long.as_str(), ""),
        ("ada", "limit=0"),
        ("ada", "limit=101"),
        ("ada", "limit=ten"),
        ("ada", "from=2026-9-1"),
        ("ada", "from=2026-02-30"),
        ("ada", "from=2026-09-01T10:00:00Z"),
        ("ada", "after=2026-09-01"),
        ("ada", "after=2026-09-01T10:00:00%2B02:00"),
        ("ada", "after="),
    ];
    for (advisor_id, query) in cases {
        let (response, asked) = list(advisor_id, query, 200, json!({"Items": []})).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{advisor_id} {query}");
        let body = json_of(&response);
        assert_eq!((&body["code"], &body["request_id"]), (&json!("BAD_REQUEST"), &json!("UfYZxjGFliAEJ5Q=")));
        assert_eq!(asked, None, "{advisor_id} {query}");
    }
}

#[tokio::test]
async fn a_failure_of_the_table_is_one_to_try_again() {
    let throttled = json!({"__type": "com.amazonaws.dynamodb.v20120810#ThrottlingException", "message": "of ada"});
    let (response, _) = list("ada", "", 400, throttled).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(response.headers()[RETRY_AFTER], "5");
    assert_eq!(json_of(&response)["code"], "TRY_AGAIN");
}

#[tokio::test]
async fn a_list_that_no_node_answers_is_the_tables_and_is_counted() {
    let (asked, metrics) = (Asked::default(), Metrics::new("Registrar"));
    let config = config(&asked, 200, json!({"Items": [{"starts_at": {"S": "2026-09-01T10:00:00Z"}}]}));
    // Nothing listens there.
    let dynamodb = cluster::client("dax://127.0.0.1:1", &config, metrics.clone()).expect("the endpoint is one");
    let response = list_with(dynamodb, "ada", "from=2026-09-01").await;
    assert_eq!(json_of(&response), json!({"times": ["2026-09-01T10:00:00Z"]}));
    assert_eq!(metrics.take().unwrap_or_default()["ReadsWithoutCluster"], json!([1.0]));
}

#[tokio::test]
async fn an_endpoint_of_another_form_is_refused_at_the_start() {
    let config = config(&Asked::default(), 200, json!({}));
    let error = cluster::client("cluster.example:8111", &config, Metrics::new("Registrar")).err();
    assert!(error.is_some_and(|error| error.to_string().contains("dax://")));
}
