//! Which events of Stripe are announced, with AWS replaced at the SDK's HTTP edge.

use std::sync::{Arc, Mutex};

use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_lc_rs::hmac::{self, HMAC_SHA256, Key};
use aws_sdk_eventbridge::config::{Credentials, SharedCredentialsProvider};
use aws_services::EventBus;
use aws_smithy_http_client::test_util::infallible_client_fn;
use aws_smithy_types::body::SdkBody;
use chrono::Utc;
use lambda_http::http::{self, StatusCode};
use lambda_http::{Body, Request, RequestExt, Response};
use powertools::metrics::Metrics;
use powertools::parameters::Parameters;
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};

use crate::handler::{StripeEvents, handle};
use crate::signature::{SignatureError, TOLERANCE_SECONDS, verify};

const EXAMPLE: &str = include_str!("../../../../events/content/receive-stripe-event.json");
const SECRET: &str = "whsec_example";
/// When the example was signed.
const SIGNED_AT: i64 = 1_795_170_600;

/// Secrets Manager and EventBridge.
#[derive(Clone)]
struct Cloud {
    /// The operation that fails, if any.
    failing: &'static str,
    entries: Arc<Mutex<Vec<Value>>>,
    metrics: Metrics,
}

impl Cloud {
    fn new(failing: &'static str) -> Self {
        Self { failing, entries: Arc::default(), metrics: Metrics::new("Registrar") }
    }

    fn answer(&self, operation: &str, input: Value) -> (u16, Value) {
        match operation {
            _ if operation == self.failing => (400, json!({"__type": "InternalServerError"})),
            "secretsmanager.GetSecretValue" => (200, json!({"Name": input["SecretId"], "SecretString": SECRET})),
            "AWSEvents.PutEvents" => {
                let entries = input["Entries"].as_array().expect("there are entries");
                self.entries.lock().expect("no test panics here").extend_from_slice(entries);
                (200, json!({"FailedEntryCount": 0, "Entries": [{"EventId": "1"}]}))
            }
            other => panic!("{other} is not expected"),
        }
    }

    fn config(&self) -> SdkConfig {
        let cloud = self.clone();
        let http_client = infallible_client_fn(move |request: http::Request<SdkBody>| {
            let operation = request.headers()["x-amz-target"].to_str().expect("it is text");
            let input = serde_json::from_slice(request.body().bytes().unwrap_or_default()).expect("it is JSON");
            let (status, body) = cloud.answer(operation, input);
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

    async fn receive(&self, request: Request) -> Response<Body> {
        let config = self.config();
        let stripe_events = StripeEvents {
            event_bus: EventBus { client: aws_sdk_eventbridge::Client::new(&config), name: "school".into() },
            parameters: Parameters::new(&config),
            secret: "stripe".into(),
            metrics: self.metrics.clone(),
        };
        handle(&stripe_events, request).await
    }

    /// The events on the bus: source, type and detail.
    fn events(&self) -> Vec<(Value, Value, Value)> {
        let entries = self.entries.lock().expect("no test panics here");
        let read = |entry: &Value| {
            assert_eq!(entry["EventBusName"], "school");
            let detail = entry["Detail"].as_str().and_then(|detail| serde_json::from_str(detail).ok());
            (entry["Source"].clone(), entry["DetailType"].clone(), detail.expect("the detail is JSON"))
        };
        entries.iter().map(read).collect()
    }
}

fn example() -> Request {
    lambda_http::request::from_str(EXAMPLE).expect("it is a request")
}

/// Stripe's event in the example.
fn invoice_paid() -> Value {
    serde_json::from_slice(example().body()).expect("it is JSON")
}

fn subscription_deleted() -> Value {
    json!({
        "id": "evt_2",
        "object": "event",
        "created": SIGNED_AT,
        "type": "customer.subscription.deleted",
        "data": {"object": {
            "id": "sub_1",
            "object": "subscription",
            "ended_at": SIGNED_AT,
            "metadata": {"student_id": "7c9e6679-7425-40de-944b-e07fc1f90ae7"},
            "status": "canceled",
        }},
    })
}

fn signature(time: i64, body: &[u8], secret: &str) -> String {
    let signed = [format!("{time}.").as_bytes(), body].concat();
    hex::encode(hmac::sign(&Key::new(HMAC_SHA256, secret.as_bytes()), &signed))
}

fn signed_at(time: i64, body: &str) -> Request {
    let mut request = example();
    let header = format!("t={time},v1={}", signature(time, body.as_bytes(), SECRET));
    request.headers_mut().insert("stripe-signature", header.parse().expect("it is ASCII"));
    *request.body_mut() = body.into();
    request
}

fn signed(body: &str) -> Request {
    signed_at(Utc::now().timestamp(), body)
}

#[tokio::test]
async fn a_paid_invoice_is_announced_with_the_end_of_its_latest_period() {
    let mut event = invoice_paid();
    let lines = event["data"]["object"]["lines"]["data"].as_array_mut().expect("there are lines");
    // What a change of the price adds: a credit for the rest of the period before.
    lines.push(json!({"amount": -1000, "period": {"start": 1_795_000_000, "end": 1_795_132_800}}));
    let cloud = Cloud::new("");
    let mut context = lambda_runtime::Context::default();
    context.xray_trace_id = Some("Root=1-2-3".into());
    let response = cloud.receive(signed(&event.to_string()).with_lambda_context(context)).await;
    assert_eq!(response.status(), StatusCode::OK);
    let detail = json!({
        "student_id": "7c9e6679-7425-40de-944b-e07fc1f90ae7",
        "paid_until": "2027-02-20T00:00:00Z",
        "occurred_at": "2026-11-20T10:29:55Z",
    });
    assert_eq!(cloud.events(), [(json!("registrar.payments"), json!("PaymentRecorded"), detail)]);
    assert_eq!(cloud.entries.lock().expect("no test panics here")[0]["TraceHeader"], "Root=1-2-3");
}

#[tokio::test]
async fn the_end_of_a_subscription_is_announced() {
    let cloud = Cloud::new("");
    let response = cloud.receive(signed(&subscription_deleted().to_string())).await;
    assert_eq!(response.status(), StatusCode::OK);
    let detail = json!({"student_id": "7c9e6679-7425-40de-944b-e07fc1f90ae7", "occurred_at": "2026-11-20T10:30:00Z"});
    assert_eq!(cloud.events(), [(json!("registrar.payments"), json!("PaymentLapsed"), detail)]);
}

#[tokio::test]
async fn other_events_are_accepted_and_ignored() {
    for kind in ["invoice.payment_failed", "customer.subscription.updated", "ping", ""] {
        let mut event = invoice_paid();
        event["type"] = json!(kind);
        let cloud = Cloud::new("");
        assert_eq!(cloud.receive(signed(&event.to_string())).await.status(), StatusCode::OK);
        assert_eq!(cloud.events(), []);
    }
}

#[tokio::test]
async fn an_event_that_stripe_did_not_sign_just_now_announces_nothing() {
    let body = invoice_paid().to_string();
    let old = signed_at(Utc::now().timestamp() - TOLERANCE_SECONDS - 1, &body);
    let mut unsigned = signed(&body);
    unsigned.headers_mut().remove("stripe-signature");
    let mut changed = signed(&body);
    *changed.body_mut() = body.replace("7c9e6679", "00000000").into();
    for request in [old, unsigned, changed, example()] {
        let cloud = Cloud::new("");
        let response = cloud.receive(request).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        let answer: Value = serde_json::from_slice(response.body()).expect("the body is JSON");
        assert_eq!((&answer["code"], &answer["request_id"]), (&json!("BAD_SIGNATURE"), &json!("UfYZyhHGliAEJ6R=")));
        assert_eq!(cloud.events(), []);
    }
}

#[tokio::test]
async fn a_payment_that_cannot_be_given_to_a_student_is_refused_and_counted() {
    let without = |mut event: Value, pointer: &str| {
        *event.pointer_mut(pointer).expect("the event has it") = Value::Null;
        event.to_string()
    };
    for body in [
        without(invoice_paid(), "/data/object/parent/subscription_details/metadata/student_id"),
        without(invoice_paid(), "/data/object/parent"),
        without(invoice_paid(), "/data/object/lines/data"),
        without(subscription_deleted(), "/data/object/metadata"),
        without(invoice_paid(), "/data"),
        "not JSON".into(),
    ] {
        let cloud = Cloud::new("");
        assert_eq!(cloud.receive(signed(&body)).await.status(), StatusCode::UNPROCESSABLE_ENTITY, "{body}");
        assert_eq!(cloud.events(), []);
        assert_eq!(cloud.metrics.take().expect("it is counted")["UnusableStripeEvents"], json!([1.0]));
    }
}

#[tokio::test]
async fn stripe_is_told_to_send_an_event_again_that_could_not_be_announced() {
    for failing in ["secretsmanager.GetSecretValue", "AWSEvents.PutEvents"] {
        let response = Cloud::new(failing).receive(signed(&invoice_paid().to_string())).await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE, "{failing}");
    }
}

/// The example was signed by another implementation of HMAC.
#[test]
fn a_signature_is_valid_for_five_minutes() {
    let request = example();
    let header = request.headers()["stripe-signature"].to_str().expect("it is text");
    let verified = |now| verify(header, request.body(), SECRET, now);
    assert_eq!(verified(SIGNED_AT), Ok(()));
    assert_eq!(verified(SIGNED_AT + TOLERANCE_SECONDS), Ok(()));
    assert_eq!(verified(SIGNED_AT + TOLERANCE_SECONDS + 1), Err(SignatureError::TooOld));
    assert_eq!(verify(header, request.body(), "whsec_other", SIGNED_AT), Err(SignatureError::NoMatch));
}

#[test]
fn a_signature_of_another_scheme_does_not_count() {
    let signature = signature(SIGNED_AT, b"{}", SECRET);
    for scheme in ["v0", "v2", "V1", "v1 "] {
        let header = format!("t={SIGNED_AT},{scheme}={signature}");
        assert_eq!(verify(&header, b"{}", SECRET, SIGNED_AT), Err(SignatureError::NoMatch), "{header}");
    }
}

proptest! {
    #[test]
    fn one_of_several_signatures_is_enough_and_a_changed_body_has_none(
        mut body in prop::collection::vec(any::<u8>(), 1..200),
        secret in "[!-~]{1,40}",
        other in "[!-~]{41}",
        now in 0..i64::MAX,
        changed: Index,
        bit in 0..8,
    ) {
        let [old, new] = [&other, &secret].map(|secret| signature(now, &body, secret));
        for header in [format!("t={now},v1={old},v1={new},v0=00"), format!("v1={new},v1={old},t={now}")] {
            prop_assert_eq!(verify(&header, &body, &secret, now), Ok(()));
        }
        let header = format!("t={now},v1={new}");
        let earlier = format!("t={},v1={new}", now - 1);
        prop_assert_eq!(verify(&earlier, &body, &secret, now), Err(SignatureError::NoMatch));
        let place = changed.index(body.len());
        body[place] ^= 1_u8 << bit;
        prop_assert_eq!(verify(&header, &body, &secret, now), Err(SignatureError::NoMatch));
    }

    #[test]
    fn no_header_that_was_made_without_the_secret_is_accepted(
        header in r"((t|v1|v0|[a-z]{0,3})(=|==|)(-?[0-9]{0,20}|[0-9a-f]{0,64}|\PC{0,8})(,| ,|)){0,8}",
        body: Vec<u8>,
        now: i64,
    ) {
        prop_assert!(verify(&header, &body, SECRET, now).is_err());
    }
}
