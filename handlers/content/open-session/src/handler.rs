//! Opens and closes a reader's session: cookies that open the course material for a student who has paid.

use std::collections::HashMap;

use aws_services::Unavailable;
use chrono::{DateTime, SecondsFormat, Utc};
use entitlements::Entitlements;
use lambda_http::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, InvalidHeaderValue, SET_COOKIE, WWW_AUTHENTICATE,
};
use lambda_http::http::{HeaderValue, Method, StatusCode};
use lambda_http::request::RequestContext;
use lambda_http::{Body, Request, RequestExt, Response};
use powertools::metrics::{Metrics, Unit};
use serde_json::{Value, json};
use thiserror::Error;
use tracing::{error, info};

use crate::signer::{CookieSigner, SIGNED_COOKIES, SigningError};

/// How long signed cookies are valid, in seconds, if the fee is paid for longer. So long can a student read who has
/// cancelled.
const SESSION_SECONDS: i64 = 15 * 60;

/// The cookie that the function at the edge reads.
const TOKEN_COOKIE: &str = "id_token";

/// What opens sessions.
#[derive(Debug)]
pub struct OpenSession {
    pub entitlements: Entitlements,
    /// Signs cookies that CloudFront verifies. Without it, the cookie is the student's ID token, which the function at the edge
    /// verifies.
    pub signer: Option<CookieSigner>,
    pub metrics: Metrics,
}

/// Why no session was opened.
#[derive(Debug, Error)]
enum OpenError {
    #[error("the token is not a student's ID token")]
    NotAStudent,
    #[error("the token is from before the payment")]
    BeforePayment,
    #[error("the course fee is not paid")]
    NotPaid { paid_until: Option<i64> },
    #[error(transparent)]
    Entitlement(#[from] Unavailable),
    #[error(transparent)]
    Signing(#[from] SigningError),
    #[error("the settings or the token have a character that a cookie can't have")]
    NotACookie(#[from] InvalidHeaderValue),
}

/// Times are Unix times in seconds.
struct Session {
    cookies: Vec<HeaderValue>,
    expires_at: i64,
    paid_until: i64,
}

/// Answers a request of the HTTP API: `POST` opens a session, `DELETE` closes it.
pub async fn handle(open_session: &OpenSession, request: Request) -> Response<Body> {
    if request.method() == Method::DELETE {
        return closed();
    }
    match open_session.open(&request).await {
        Ok(Session { cookies, expires_at, paid_until }) => {
            open_session.metrics.add("SessionsOpened", Unit::Count, 1.0);
            let body = json!({"expires_at": rfc_3339(expires_at), "paid_until": rfc_3339(paid_until)});
            let mut response = answer(StatusCode::OK, &body);
            response.headers_mut().extend(cookies.into_iter().map(|cookie| (SET_COOKIE, cookie)));
            response
        }
        Err(error) => open_session.refuse(&error, &request),
    }
}

impl OpenSession {
    async fn open(&self, request: &Request) -> Result<Session, OpenError> {
        let claims = claims(request).ok_or(OpenError::NotAStudent)?;
        let student_id = match claims.get("custom:student_id") {
            Some(student_id) if claims.get("token_use").is_some_and(|token_use| token_use == "id") => student_id,
            _ => return Err(OpenError::NotAStudent),
        };
        let now = Utc::now().timestamp();
        let paid_until = match self.entitlements.paid_until(student_id).await? {
            Some(paid_until) if paid_until > now => paid_until,
            paid_until => return Err(OpenError::NotPaid { paid_until }),
        };
        let (expires_at, cookies) = match &self.signer {
            Some(signer) => {
                let expires_at = paid_until.min(now + SESSION_SECONDS);
                let values = signer.sign(expires_at).await?;
                (expires_at, SIGNED_COOKIES.into_iter().zip(values).collect())
            }
            None => {
                let time = |name| claims.get(name).and_then(|time| time.parse::<i64>().ok());
                let expires_at = time("exp").ok_or(OpenError::NotAStudent)?.min(paid_until);
                // The function at the edge knows what the token says, not what the table says.
                let claimed = time("paid_until").filter(|paid_until| *paid_until > now);
                let expires_at = expires_at.min(claimed.ok_or(OpenError::BeforePayment)?);
                (expires_at, vec![(TOKEN_COOKIE, token(request).ok_or(OpenError::NotAStudent)?)])
            }
        };
        let cookies = cookies.iter().map(|(name, value)| cookie(name, value, expires_at - now));
        let cookies = cookies.collect::<Result<Vec<_>, _>>()?;
        info!(student_id, expires_at, "session opened");
        Ok(Session { cookies, expires_at, paid_until })
    }

    fn refuse(&self, error: &OpenError, request: &Request) -> Response<Body> {
        let (status, code, message) = match error {
            OpenError::NotAStudent => (StatusCode::UNAUTHORIZED, "UNAUTHORIZED", "Sign in as a student."),
            OpenError::BeforePayment => {
                (StatusCode::UNAUTHORIZED, "UNAUTHORIZED", "Your payment has arrived. Sign in again.")
            }
            OpenError::NotPaid { .. } => (StatusCode::PAYMENT_REQUIRED, "NOT_PAID", "The course fee is not paid."),
            OpenError::Entitlement(_) | OpenError::Signing(_) | OpenError::NotACookie(_) => {
                error!(%error, "answering 503");
                let message = "The request could not be handled. Try again in a few seconds.";
                (StatusCode::SERVICE_UNAVAILABLE, "TRY_AGAIN", message)
            }
        };
        let mut body = json!({"code": code, "message": message, "request_id": request_id(request)});
        if let OpenError::NotPaid { paid_until } = error {
            self.metrics.add("SessionsRefused", Unit::Count, 1.0);
            body["paid_until"] = json!(paid_until.and_then(rfc_3339));
        }
        let mut response = answer(status, &body);
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// Removes the cookies of both kinds of access: the stack may have changed from one to the other.
fn closed() -> Response<Body> {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    for name in SIGNED_COOKIES.into_iter().chain([TOKEN_COOKIE]) {
        headers.append(SET_COOKIE, cookie(name, "", 0).expect("the names are ASCII"));
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

/// A cookie for the material only; a `max_age` of 0 seconds removes it.
fn cookie(name: &str, value: &str, max_age: i64) -> Result<HeaderValue, InvalidHeaderValue> {
    format!("{name}={value}; Path=/members/; Secure; HttpOnly; SameSite=Lax; Max-Age={max_age}").try_into()
}

/// `None` for a year that RFC 3339 can't write.
fn rfc_3339(unix_seconds: i64) -> Option<String> {
    Some(DateTime::<Utc>::from_timestamp(unix_seconds, 0)?.to_rfc3339_opts(SecondsFormat::Secs, true))
}

/// What API Gateway verified. It writes numbers as text.
fn claims(request: &Request) -> Option<&HashMap<String, String>> {
    let Some(RequestContext::ApiGatewayV2(context)) = request.request_context_ref() else { return None };
    Some(&context.authorizer.as_ref()?.jwt.as_ref()?.claims)
}

/// The token that API Gateway verified: it may follow the word `Bearer`.
fn token(request: &Request) -> Option<String> {
    let header = request.headers().get(AUTHORIZATION)?.to_str().ok()?;
    Some(header.split_ascii_whitespace().next_back()?.to_owned())
}

fn request_id(request: &Request) -> &str {
    match request.request_context_ref() {
        Some(RequestContext::ApiGatewayV2(context)) => context.request_id.as_deref().unwrap_or_default(),
        _ => "",
    }
}
