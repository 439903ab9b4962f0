use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Extension, Path, RawQuery, Request, State};
use axum::http::header::{ALLOW, CONTENT_TYPE, IF_MATCH, LOCATION};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::{get, post, put};
use serde_path_to_error::Error as PathError;
use tracing::{Instrument, info_span};

use crate::advisors::Advisor;
use crate::courses::Course;
use crate::departments::Department;
use crate::directory::{Directory, Operation, Read};
use crate::error::ApiError;
use crate::listing::Listing;
use crate::representation::Tags;
use crate::resource::{Input, Listed, Resource};
use crate::text::{check_id, is_id};

/// The Cognito group whose members may change the directory.
const STAFF: &str = "staff";

/// Bytes of a request's body; the largest course is a fraction of it.
const BODY_LIMIT: usize = 64 * 1024;

/// Whether a read was a hit, and whether a change reached the cache: <https://www.rfc-editor.org/rfc/rfc9211>
pub const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// [`CACHE_STATUS`] of a read that the cache answered.
pub const CACHE_HIT: HeaderValue = HeaderValue::from_static("directory; hit");

/// [`CACHE_STATUS`] of a read that the database answered.
pub const CACHE_MISS: HeaderValue = HeaderValue::from_static("directory; fwd=miss");

/// Who sends a request: an extension that each request must have.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Finds the request in the logs; each error's answer has it.
    pub request_id: String,
    /// The Cognito groups in the verified token; `None` without a token.
    pub groups: Option<Vec<String>>,
}

/// The routes that read.
pub fn reads() -> Router<Arc<Directory>> {
    Router::new()
        .route("/departments", get(list_departments))
        .route("/departments/{id}", get(show::<Department>))
        .route("/advisors", get(list::<Advisor>))
        .route("/advisors/{id}", get(show::<Advisor>))
        .route("/courses", get(list::<Course>))
        .route("/courses/{id}", get(show::<Course>))
}

/// The routes that change the directory, for staff.
pub fn writes() -> Router<Arc<Directory>> {
    Router::new()
        .route("/departments", post(create::<Department>))
        .route("/departments/{id}", put(replace::<Department>).delete(delete::<Department>))
        .route("/advisors", post(create::<Advisor>))
        .route("/advisors/{id}", put(replace::<Advisor>).delete(delete::<Advisor>))
        .route("/courses", post(create::<Course>))
        .route("/courses/{id}", put(replace::<Course>).delete(delete::<Course>))
}

/// A service of these routes. Each request must have a [`Caller`] as an extension.
pub fn service(routes: Router<Arc<Directory>>, directory: Arc<Directory>) -> Router {
    routes.layer(from_fn(answer_errors)).with_state(directory)
}

/// The answer to a request that could not reach the routes.
pub fn try_again(request_id: &str) -> Response {
    ApiError::try_again().response(HeaderMap::new(), request_id)
}

/// Gives each error its body, which has the id of the request, as all lines in the log about it have.
async fn answer_errors(Extension(caller): Extension<Caller>, request: Request, next: Next) -> Response {
    let span = info_span!("request", api_request_id = caller.request_id);
    let mut response = next.run(request).instrument(span).await;
    if response.status().is_client_error() || response.status().is_server_error() {
        let status = response.status();
        let error = response.extensions_mut().remove().unwrap_or_else(|| ApiError::of_status(status));
        let allow = response.headers_mut().remove(ALLOW);
        return error.response(allow.map(|value| (ALLOW, value)).into_iter().collect(), &caller.request_id);
    }
    response
}

async fn list_departments(State(directory): State<Arc<Directory>>, headers: HeaderMap) -> Result<Response, ApiError> {
    Ok(read_response(directory.list_departments().await?, &headers))
}

async fn list<T: Listed>(
    State(directory): State<Arc<Directory>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let listing = Listing::parse(&query.unwrap_or_default())?;
    Ok(read_response(directory.list::<T>(&listing).await?, &headers))
}

async fn show<T: Resource>(
    State(directory): State<Arc<Directory>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    if !is_id(&id) {
        return Err(ApiError::not_found(T::SINGULAR));
    }
    Ok(read_response(directory.show::<T>(&id).await?, &headers))
}

fn read_response(Read { representation, is_hit }: Read, headers: &HeaderMap) -> Response {
    let mut response = representation.read_response(headers);
    response.headers_mut().insert(CACHE_STATUS, if is_hit { CACHE_HIT } else { CACHE_MISS });
    response
}

async fn create<T: Resource>(
    State(directory): State<Arc<Directory>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, ApiError> {
    check_staff(&caller)?;
    let input = input::<T>(request).await?;
    let Some(id) = input.id().map(ToOwned::to_owned) else {
        return Err(ApiError::bad_request("The value of id is missing."));
    };
    check_id("id", &id)?;
    let mut response = change::<T>(&directory, &id, Operation::Create(input), StatusCode::CREATED).await?;
    // Relative to the collection, whatever prefix the API has.
    let location = HeaderValue::from_str(&format!("{}/{id}", T::PLURAL)).expect("an id is ASCII");
    response.headers_mut().insert(LOCATION, location);
    Ok(response)
}

async fn replace<T: Resource>(
    State(directory): State<Arc<Directory>>,
    Path(id): Path<String>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, ApiError> {
    check_staff(&caller)?;
    let tags = if_match(request.headers())?;
    let input = input::<T>(request).await?;
    if input.id().is_some_and(|other| other != id) {
        return Err(ApiError::bad_value("id", "has to be the one in the path: an id can't be changed"));
    }
    change::<T>(&directory, &id, Operation::Replace(input, tags), StatusCode::OK).await
}

async fn delete<T: Resource>(
    State(directory): State<Arc<Directory>>,
    Path(id): Path<String>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    check_staff(&caller)?;
    change::<T>(&directory, &id, Operation::Delete(if_match(&headers)?), StatusCode::NO_CONTENT).await
}

async fn change<T: Resource>(
    directory: &Directory,
    id: &str,
    operation: Operation<T::Input>,
    status: StatusCode,
) -> Result<Response, ApiError> {
    if !is_id(id) {
        return Err(ApiError::not_found(T::SINGULAR));
    }
    let written = directory.change::<T>(id, &operation).await?;
    let mut response = match written.output {
        Some(representation) => representation.response(status),
        None => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = status;
            response
        }
    };
    if !written.reached_cache {
        // Until cached answers expire, reads can be older than this change.
        let value = HeaderValue::from_static("directory; fwd=method; detail=unreached");
        response.headers_mut().insert(CACHE_STATUS, value);
    }
    Ok(response)
}

fn check_staff(caller: &Caller) -> Result<(), ApiError> {
    let Some(groups) = &caller.groups else {
        return Err(ApiError::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", "Sign in to change the directory."));
    };
    if !groups.iter().any(|group| group == STAFF) {
        return Err(ApiError::new(StatusCode::FORBIDDEN, "ACCESS_DENIED", "Only staff can change the directory."));
    }
    Ok(())
}

fn if_match(headers: &HeaderMap) -> Result<Tags, ApiError> {
    Tags::of(headers, &IF_MATCH).ok_or_else(|| {
        let message = "The header If-Match is missing: send the ETag of what you change.";
        ApiError::new(StatusCode::PRECONDITION_REQUIRED, "PRECONDITION_REQUIRED", message)
    })
}

/// The body, parsed and checked.
async fn input<T: Resource>(request: Request) -> Result<T::Input, ApiError> {
    let content_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !content_type.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json") {
        let message = "The body has to be application/json.";
        return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE", message));
    }
    let body = to_bytes(request.into_body(), BODY_LIMIT).await.map_err(|_| {
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "REQUEST_TOO_LARGE", "The body has to be at most 64 KB.")
    })?;
    let mut json = serde_json::Deserializer::from_slice(&body);
    let input: T::Input = serde_path_to_error::deserialize(&mut json).map_err(bad_body)?;
    json.end().map_err(|_| ApiError::bad_request("The body has to be one JSON object."))?;
    input.check()?;
    Ok(input)
}

fn bad_body(error: PathError<serde_json::Error>) -> ApiError {
    let path = error.path().to_string();
    let error = error.into_inner();
    match path.as_str() {
        // Not JSON, or a missing or unknown field, which the message names.
        "." => ApiError::bad_request(format!("The body is invalid: {error}.")),
        field if error.is_data() => ApiError::bad_request(format!("The value of {field} is invalid: {error}.")),
        _ => ApiError::bad_request(format!("The body is invalid: {error}.")),
    }
}
