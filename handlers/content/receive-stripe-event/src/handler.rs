//! Puts the payments that Stripe reports on the school's event bus.
//!
//! Stripe sends an event until it is answered with 2xx, for three days. It can send it more than once, and in another order:
//! what records the payments is prepared for both.

use std::time::Duration;

use aws_services::{EventBus, Unavailable};
use chrono::{DateTime, SecondsFormat, Utc};
use lambda_http::http::header::CONTENT_TYPE;
use lambda_http::http::{HeaderValue, StatusCode};
use lambda_http::request::RequestContext;
use lambda_http::{Body, Request, RequestExt, Response};
use powertools::metrics::{Metrics, Unit};
use powertools::parameters::{Parameters, ParametersError};
use serde::Deserialize;
use serde_json::{Value, json};
use thiserror::Error;
use tracing::{error, info, warn};

use crate::signature::{self, SignatureError};

/// The source of the events.
const SOURCE: &str = "registrar.payments";

/// Until when the last secret is used if it can't be read.
const STALE_SECRET: Duration = Duration::from_secs(3600);

/// What receives Stripe's events.
#[derive(Debug)]
pub struct StripeEvents {
    pub event_bus: EventBus,
    pub parameters: Parameters,
    /// The name or ARN of the secret with which Stripe signs: `whsec_…`.
    pub secret: String,
    pub metrics: Metrics,
}

/// Why an event was not accepted.
#[derive(Debug, Error)]
enum ReceiveError {
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// Without serde's message, which can quote the event.
    #[error("the body is not an event of Stripe (line {}, column {})", .0.line(), .0.column())]
    NotAnEvent(#[from] serde_json::Error),
    #[error(
        "the event {id} of the type {kind} has no {missing}: give the subscription this metadata, and record the payment \
         with `make pay`"
    )]
    Incomplete { id: String, kind: String, missing: &'static str },
    #[error(transparent)]
    Secret(#[from] ParametersError),
    #[error(transparent)]
    Bus(#[from] Unavailable),
}

/// The needed part of an event: <https://docs.stripe.com/api/events/object>.
#[derive(Deserialize)]
struct Event {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(with = "chrono::serde::ts_seconds")]
    created: DateTime<Utc>,
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    object: Value,
}

/// Answers a request of the HTTP API.
pub async fn handle(stripe_events: &StripeEvents, request: Request) -> Response<Body> {
    let error = match stripe_events.receive(&request).await {
        Ok(()) => return Response::new(Body::Empty),
        Err(error) => error,
    };
    let (status, code, message) = match &error {
        ReceiveError::Signature(_) => {
            warn!(%error, "answering 400");
            (StatusCode::BAD_REQUEST, "BAD_SIGNATURE", error.to_string())
        }
        ReceiveError::NotAnEvent(_) | ReceiveError::Incomplete { .. } => {
            // Nobody would know of the payment.
            error!(%error, "answering 422");
            stripe_events.metrics.add("UnusableStripeEvents", Unit::Count, 1.0);
            (StatusCode::UNPROCESSABLE_ENTITY, "UNUSABLE_EVENT", error.to_string())
        }
        ReceiveError::Secret(_) | ReceiveError::Bus(_) => {
            error!(%error, "answering 503");
            let message = "The request could not be handled. Try again in a few seconds.".to_owned();
            (StatusCode::SERVICE_UNAVAILABLE, "TRY_AGAIN", message)
        }
    };
    let request_id = match request.request_context_ref() {
        Some(RequestContext::ApiGatewayV2(context)) => context.request_id.as_deref().unwrap_or_default(),
        _ => "",
    };
    let body = json!({"code": code, "message": message, "request_id": request_id});
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

impl StripeEvents {
    async fn receive(&self, request: &Request) -> Result<(), ReceiveError> {
        let header = request.headers().get("stripe-signature").and_then(|header| header.to_str().ok());
        let secret = self.parameters.get_secret(&self.secret).stale_if_error(STALE_SECRET).await?;
        signature::verify(header.unwrap_or_default(), request.body(), &secret, Utc::now().timestamp())?;
        let event: Event = serde_json::from_slice(request.body())?;
        let Some((detail_type, detail)) = event.payment()? else {
            info!(event_id = event.id, event_type = event.kind, "event ignored");
            return Ok(());
        };
        let trace_header = request.lambda_context_ref().and_then(|context| context.xray_trace_id.clone());
        self.event_bus.put(SOURCE, detail_type, detail.to_string(), trace_header).await?;
        info!(event_id = event.id, event_type = event.kind, "payment announced");
        Ok(())
    }
}

impl Event {
    /// The type and the detail of the school's event; `None` if this is not about a payment.
    ///
    /// Stripe sends `invoice.paid` for each period that is paid, and `customer.subscription.deleted` when the subscription
    /// ends: <https://docs.stripe.com/billing/subscriptions/webhooks>. The subscription's metadata are in the invoice since
    /// version 2025-03-31 of Stripe's API:
    /// <https://docs.stripe.com/changelog/basil/2025-03-31/adds-new-parent-field-to-invoicing-objects>.
    fn payment(&self) -> Result<Option<(&'static str, Value)>, ReceiveError> {
        let occurred_at = self.created.to_rfc3339_opts(SecondsFormat::Secs, true);
        Ok(match self.kind.as_str() {
            "invoice.paid" => {
                let student_id = self.text("/parent/subscription_details/metadata/student_id")?;
                let paid_until = self.paid_until()?;
                let detail = json!({"student_id": student_id, "paid_until": paid_until, "occurred_at": occurred_at});
                Some(("PaymentRecorded", detail))
            }
            "customer.subscription.deleted" => {
                let student_id = self.text("/metadata/student_id")?;
                Some(("PaymentLapsed", json!({"student_id": student_id, "occurred_at": occurred_at})))
            }
            _ => None,
        })
    }

    fn text(&self, path: &'static str) -> Result<&str, ReceiveError> {
        let text = self.data.object.pointer(path).and_then(Value::as_str).filter(|text| !text.is_empty());
        text.ok_or_else(|| self.incomplete(path))
    }

    /// The latest end of the invoice's lines. Its own `period_end` is of the period before:
    /// <https://docs.stripe.com/api/invoices/object#invoice_object-period_end>.
    fn paid_until(&self) -> Result<String, ReceiveError> {
        let lines = self.data.object.pointer("/lines/data").and_then(Value::as_array).into_iter().flatten();
        let end = lines.filter_map(|line| line.pointer("/period/end")?.as_i64()).max();
        let end = end.and_then(|end| DateTime::<Utc>::from_timestamp(end, 0));
        let end = end.ok_or_else(|| self.incomplete("/lines/data/0/period/end"))?;
        Ok(end.to_rfc3339_opts(SecondsFormat::Secs, true))
    }

    fn incomplete(&self, missing: &'static str) -> ReceiveError {
        ReceiveError::Incomplete { id: self.id.clone(), kind: self.kind.clone(), missing }
    }
}
