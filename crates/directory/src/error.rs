use std::borrow::Cow;

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tracing::{error, warn};

use crate::database::DatabaseError;

/// What a client is told: the status, and the code and message of the core's APIs. The middleware adds the request's id.
#[derive(Clone, Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: Cow<'static, str>,
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    code: &'a str,
    message: &'a str,
    request_id: &'a str,
}

impl ApiError {
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status, code, message: message.into() }
    }

    /// `rule` continues "The value of <field>".
    pub fn bad_value(field: &str, rule: &str) -> Self {
        Self::bad_request(format!("The value of {field} {rule}."))
    }

    pub fn bad_request(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BAD_REQUEST", message)
    }

    pub fn not_found(kind: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "NOT_FOUND", format!("There is no such {kind}."))
    }

    pub fn try_again() -> Self {
        let message = "The request could not be handled. Try again in a few seconds.";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "TRY_AGAIN", message)
    }

    pub fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL_ERROR", "The request could not be handled.")
    }

    /// For a response of the router itself: the route or the method is unknown, or the path is not UTF-8.
    pub fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND | StatusCode::BAD_REQUEST => Self::not_found("route"),
            StatusCode::METHOD_NOT_ALLOWED => {
                Self::new(status, "METHOD_NOT_ALLOWED", "The route does not support this method.")
            }
            _ => Self { status, ..Self::internal() },
        }
    }

    pub fn response(&self, headers: HeaderMap, request_id: &str) -> Response {
        let body = ErrorBody { code: self.code, message: &self.message, request_id };
        let body = serde_json::to_vec(&body).expect("texts can be serialised");
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status;
        *response.headers_mut() = headers;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        match self.status {
            StatusCode::SERVICE_UNAVAILABLE => headers.insert(RETRY_AFTER, HeaderValue::from_static("5")),
            StatusCode::UNAUTHORIZED => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"registrar\""))
            }
            _ => None,
        };
        response
    }
}

/// Only carries the error to the middleware.
impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<DatabaseError> for ApiError {
    fn from(error: DatabaseError) -> Self {
        match error {
            DatabaseError::Unavailable(_) | DatabaseError::Lost(_) | DatabaseError::Overloaded(_) => {
                warn!(%error, "answering 503");
                Self::try_again()
            }
            DatabaseError::NotUnique(_) | DatabaseError::Reference(_) | DatabaseError::Refused(_) => {
                error!(%error, "answering 500");
                Self::internal()
            }
        }
    }
}
