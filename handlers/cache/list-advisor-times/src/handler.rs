//! Lists the times of an advisor that are taken. It does not know whether a cache is between it and the table.

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_services::Unavailable;
use chrono::{DateTime, NaiveDate, Utc};
use lambda_http::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use lambda_http::http::{HeaderValue, StatusCode};
use lambda_http::request::RequestContext;
use lambda_http::{Body, Request, RequestExt, Response};
use serde_json::{Value, json};
use thiserror::Error;
use tracing::error;

const MAX_ADVISOR_ID: usize = 64;
const DEFAULT_LIMIT: i32 = 25;
const MAX_LIMIT: i32 = 100;
/// As `starts_at` in the table.
const TIME: &str = "%Y-%m-%dT%H:%M:00Z";

/// What lists times.
#[derive(Debug)]
pub struct ListAdvisorTimes {
    pub dynamodb: Client,
    pub table: String,
}

/// Why there is no list.
#[derive(Debug, Error)]
enum ListError {
    #[error("{0}")]
    BadRequest(&'static str),
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// What is asked for. It has nothing of the caller and no time of day, so that all students ask the cache for the same.
struct Wanted {
    advisor_id: String,
    /// The condition on `starts_at`, and its value.
    condition: &'static str,
    position: String,
    limit: i32,
}

/// Answers a request of the HTTP API.
pub async fn handle(list_advisor_times: &ListAdvisorTimes, request: Request) -> Response<Body> {
    let page = match wanted(&request) {
        Ok(wanted) => list_advisor_times.page(wanted).await,
        Err(error) => Err(error),
    };
    match page {
        Ok(page) => answer(StatusCode::OK, &page),
        Err(error) => refusal(&error, &request),
    }
}

impl ListAdvisorTimes {
    async fn page(&self, wanted: Wanted) -> Result<Value, ListError> {
        let output = self
            .dynamodb
            .query()
            .table_name(&self.table)
            .key_condition_expression(format!("advisor_id = :advisor_id AND {}", wanted.condition))
            // Nothing of a student: the cache and this function get the times only.
            .projection_expression("starts_at")
            .expression_attribute_values(":advisor_id", AttributeValue::S(wanted.advisor_id))
            .expression_attribute_values(":position", AttributeValue::S(wanted.position))
            .limit(wanted.limit)
            .send()
            .await
            .map_err(|error| Unavailable::from_sdk("DynamoDB", &error))?;
        let times: Vec<&str> = output.items().iter().filter_map(starts_at).collect();
        let mut page = json!({ "times": times });
        if let Some(next) = output.last_evaluated_key().and_then(starts_at) {
            page["next"] = json!(next);
        }
        Ok(page)
    }
}

fn starts_at(item: &HashMap<String, AttributeValue>) -> Option<&str> {
    Some(item.get("starts_at")?.as_s().ok()?)
}

fn wanted(request: &Request) -> Result<Wanted, ListError> {
    let path = request.path_parameters_ref();
    let advisor_id = path.and_then(|path| path.first("advisor_id")).unwrap_or_default();
    if !is_advisor_id(advisor_id) {
        return Err(ListError::BadRequest(
            "The id of an advisor has at most 64 letters, digits, hyphens and underscores.",
        ));
    }
    let query = request.query_string_parameters_ref();
    let parameter = |name| query.and_then(|query| query.first(name));
    let limit = match parameter("limit") {
        None => DEFAULT_LIMIT,
        Some(limit) => limit
            .parse()
            .ok()
            .filter(|number| (1..=MAX_LIMIT).contains(number))
            .ok_or(ListError::BadRequest("The value of limit has to be from 1 to 100."))?,
    };
    let from = match parameter("from") {
        None => Utc::now().date_naive().to_string(),
        Some(from) => NaiveDate::parse_from_str(from, "%Y-%m-%d")
            .ok()
            .map(|date| date.to_string())
            .filter(|date| date == from)
            .ok_or(ListError::BadRequest("The value of from has to be a date, such as 2026-09-01."))?,
    };
    let (condition, position) = match parameter("after") {
        None => ("starts_at >= :position", from),
        Some(after) if is_time(after) => ("starts_at > :position", after.to_owned()),
        Some(_) => return Err(ListError::BadRequest("The value of after has to be the next of a page.")),
    };
    Ok(Wanted { advisor_id: advisor_id.to_owned(), condition, position, limit })
}

/// As the API on appointments has it.
fn is_advisor_id(id: &str) -> bool {
    let is_first = |byte: &u8| byte.is_ascii_alphanumeric();
    id.len() <= MAX_ADVISOR_ID
        && id.as_bytes().first().is_some_and(is_first)
        && id.bytes().all(|byte| is_first(&byte) || byte == b'-' || byte == b'_')
}

fn is_time(text: &str) -> bool {
    let time = text.parse::<DateTime<Utc>>();
    time.is_ok_and(|time| time.format(TIME).to_string() == text)
}

fn refusal(error: &ListError, request: &Request) -> Response<Body> {
    let (status, code, message) = match error {
        ListError::BadRequest(message) => (StatusCode::BAD_REQUEST, "BAD_REQUEST", *message),
        ListError::Unavailable(_) => {
            error!(%error, "answering 503");
            let message = "The request could not be handled. Try again in a few seconds.";
            (StatusCode::SERVICE_UNAVAILABLE, "TRY_AGAIN", message)
        }
    };
    let mut response = answer(status, &json!({"code": code, "message": message, "request_id": request_id(request)}));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
    }
    response
}

fn answer(status: StatusCode, body: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn request_id(request: &Request) -> &str {
    match request.request_context_ref() {
        Some(RequestContext::ApiGatewayV2(context)) => context.request_id.as_deref().unwrap_or_default(),
        _ => "",
    }
}
