//! Who gets which cookies, with AWS replaced at the SDK's HTTP edge.

use std::sync::{Arc, Mutex};

use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_kms::config::{Credentials, SharedCredentialsProvider};
use aws_smithy_http_client::test_util::infallible_client_fn;
use aws_smithy_types::body::SdkBody;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use chrono::{SecondsFormat, TimeDelta, Utc};
use entitlements::Entitlements;
use lambda_http::http::header::{CACHE_CONTROL, SET_COOKIE};
use lambda_http::http::{self, Method, StatusCode};
use lambda_http::{Body, Request, Response};
use powertools::metrics::Metrics;
use powertools::parameters::Parameters;
use serde_json::{Value, json};

use crate::handler::{OpenSession, handle};
use crate::signer::CookieSigner;

const EXAMPLE: &str = include_str!("../../../../events/content/open-session.json");
const ATTRIBUTES: &str = "Path=/members/; Secure; HttpOnly; SameSite=Lax";
/// In the example's header.
const TOKEN: &str = "header.claims.signature";

/// DynamoDB, Parameter Store and KMS.
#[derive(Clone)]
struct Cloud {
    paid_until: Option<i64>,
    /// The operation that fails, if any.
    failing: &'static str,
    /// What KMS was asked to sign.
    signed: Arc<Mutex<Vec<Value>>>,
    metrics: Metrics,
}

impl Cloud {
    fn new(paid_until: Option<i64>) -> Self {
        Self { paid_until, failing: "", signed: Arc::default(), metrics: Metrics::new("Registrar") }
    }

    fn answer(&self, operation: &str, input: Value) -> Value {
        match operation {
            "DynamoDB_20120810.GetItem" => {
                assert_eq!(input["Key"], json!({"student_id": {"S": "7c9e6679-7425-40de-944b-e07fc1f90ae7"}}));
                self.paid_until.map_or(json!({}), |time| json!({"Item": {"paid_until": {"N": time.to_string()}}}))
            }
            "AmazonSSM.GetParameter" => {
                let created_at = Utc::now() - TimeDelta::days(30);
                let settings = json!({
                    "resource": "https://d111111abcdef8.cloudfront.net/members/*",
                    "public_key_id": "K2JCJMDEHXQW5F",
                    "signing_key": "arn:aws:kms:eu-central-1:123456789012:key/example",
                    "signing_algorithm": "RSASSA_PKCS1_V1_5_SHA_256",
                    "signing_key_created_at": created_at.to_rfc3339_opts(SecondsFormat::Secs, true),
                });
                json!({"Parameter": {"Name": input["Name"], "Type": "String", "Value": settings.to_string()}})
            }
            "TrentService.Sign" => {
                self.signed.lock().expect("no test panics here").push(input);
                json!({"Signature": "+//+/w=="})
            }
            other => panic!("{other} is not expected"),
        }
    }

    fn config(&self) -> SdkConfig {
        let cloud = self.clone();
        let http_client = infallible_client_fn(move |request: http::Request<SdkBody>| {
            let operation = request.headers()["x-amz-target"].to_str().expect("it is text");
            let input = serde_json::from_slice(request.body().bytes().unwrap_or_default()).expect("it is JSON");
            let (status, body) = match operation == cloud.failing {
                false => (200, cloud.answer(operation, input)),
                true => (400, json!({"__type": "InternalServerError"})),
            };
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

    fn signer(&self) -> Option<CookieSigner> {
        let config = self.config();
        Some(CookieSigner {
            kms: aws_sdk_kms::Client::new(&config),
            parameters: Parameters::new(&config),
            settings_parameter: "/registrar-dev/content/settings".into(),
            metrics: self.metrics.clone(),
        })
    }

    async fn open(&self, signer: Option<CookieSigner>, request: Request) -> Response<Body> {
        let dynamodb = aws_sdk_dynamodb::Client::new(&self.config());
        let entitlements = Entitlements { dynamodb, table: "entitlements".into() };
        handle(&OpenSession { entitlements, signer, metrics: self.metrics.clone() }, request).await
    }

    /// The sum of a metric.
    fn counted(&self, name: &str) -> f64 {
        let counted = self.metrics.take().unwrap_or_default();
        counted[name].as_array().into_iter().flatten().filter_map(Value::as_f64).sum()
    }
}

/// The example, with these claims changed; a claim that is null is left out.
fn request(claims: Value) -> Request {
    let mut event: Value = serde_json::from_str(EXAMPLE).expect("it is JSON");
    let known = event["requestContext"]["authorizer"]["jwt"]["claims"].as_object_mut().expect("it has claims");
    for (name, value) in claims.as_object().expect("they have names") {
        known.insert(name.clone(), value.clone());
    }
    known.retain(|_, value| !value.is_null());
    lambda_http::request::from_str(&event.to_string()).expect("it is a request")
}

fn body(response: &Response<Body>) -> Value {
    assert_eq!(response.headers()[CACHE_CONTROL], "no-store");
    serde_json::from_slice(response.body()).expect("the body is JSON")
}

/// The cookies' values and lives in seconds, by name.
fn cookies(response: &Response<Body>) -> Vec<(String, String, i64)> {
    let read = |cookie: &str| {
        let (pair, attributes) = cookie.split_once("; ")?;
        let (name, value) = pair.split_once('=')?;
        let (attributes, max_age) = attributes.rsplit_once("; Max-Age=")?;
        assert_eq!(attributes, ATTRIBUTES);
        Some((name.to_owned(), value.to_owned(), max_age.parse().ok()?))
    };
    let cookies = response.headers().get_all(SET_COOKIE).iter();
    cookies.map(|cookie| read(cookie.to_str().expect("it is text")).expect("it is a cookie")).collect()
}

fn rfc_3339(unix_seconds: i64) -> Value {
    let time = chrono::DateTime::from_timestamp(unix_seconds, 0).expect("the year can be written");
    json!(time.to_rfc3339_opts(SecondsFormat::Secs, true))
}

#[tokio::test]
async fn a_student_who_has_paid_gets_the_cookies_of_a_custom_policy_for_a_quarter_of_an_hour() {
    let paid_until = Utc::now().timestamp() + 86_400;
    let cloud = Cloud::new(Some(paid_until));
    let before = Utc::now().timestamp();
    let response = cloud.open(cloud.signer(), request(json!({}))).await;
    assert_eq!(response.status(), StatusCode::OK);
    let [policy, signature, key_pair_id, hash_algorithm] = &cookies(&response)[..] else { panic!("{response:?}") };

    let [sign] = &std::mem::take(&mut *cloud.signed.lock().expect("no test panics here"))[..] else { panic!() };
    let signed = BASE64_STANDARD.decode(sign["Message"].as_str().expect("it is text")).expect("it is base64");
    let signed = String::from_utf8(signed).expect("a policy is text");
    let (start, end) = signed.split_once(r#""AWS:EpochTime":"#).expect("the policy has a time");
    assert_eq!(
        start,
        r#"{"Statement":[{"Resource":"https://d111111abcdef8.cloudfront.net/members/*","Condition":{"DateLessThan":{"#
    );
    let expires_at: i64 = end.strip_suffix("}}}]}").and_then(|time| time.parse().ok()).expect("it ends so");
    assert!((before..=Utc::now().timestamp()).contains(&(expires_at - 900)), "{signed}");
    assert_eq!(sign["MessageType"], "RAW");
    assert_eq!(sign["SigningAlgorithm"], "RSASSA_PKCS1_V1_5_SHA_256");
    assert_eq!(sign["KeyId"], "arn:aws:kms:eu-central-1:123456789012:key/example");

    let in_the_cookie = policy.1.replace('-', "+").replace('_', "=").replace('~', "/");
    assert_eq!(BASE64_STANDARD.decode(in_the_cookie).as_deref(), Ok(signed.as_bytes()));
    assert_eq!((policy.0.as_str(), policy.2), ("CloudFront-Policy", 900));
    assert_eq!(*signature, ("CloudFront-Signature".into(), "-~~-~w__".into(), 900));
    assert_eq!(*key_pair_id, ("CloudFront-Key-Pair-Id".into(), "K2JCJMDEHXQW5F".into(), 900));
    assert_eq!(*hash_algorithm, ("CloudFront-Hash-Algorithm".into(), "SHA256".into(), 900));
    assert_eq!(body(&response), json!({"expires_at": rfc_3339(expires_at), "paid_until": rfc_3339(paid_until)}));

    let counted = cloud.metrics.take().expect("it is counted");
    assert_eq!(counted["SessionsOpened"], json!([1.0]));
    assert_eq!(counted["SigningKeyAge"][0].as_f64().map(f64::floor), Some(30.0));
}

#[tokio::test]
async fn a_session_ends_when_the_paid_time_does() {
    let paid_until = Utc::now().timestamp() + 600;
    let cloud = Cloud::new(Some(paid_until));
    let response = cloud.open(cloud.signer(), request(json!({}))).await;
    assert_eq!(body(&response)["expires_at"], rfc_3339(paid_until));
    assert!(cookies(&response).iter().all(|(_, _, max_age)| *max_age <= 600), "{response:?}");
}

#[tokio::test]
async fn a_student_who_has_not_paid_gets_402_and_no_cookie() {
    let lapsed = Utc::now().timestamp();
    for (cloud, paid_until) in [
        (Cloud::new(None), Value::Null),
        (Cloud::new(Some(lapsed)), rfc_3339(lapsed)),
        (Cloud::new(Some(0)), rfc_3339(0)),
    ] {
        for signer in [cloud.signer(), None] {
            let response = cloud.open(signer, request(json!({}))).await;
            assert_eq!(response.status(), StatusCode::PAYMENT_REQUIRED);
            let message = "The course fee is not paid.";
            assert_eq!(
                body(&response),
                json!({"code": "NOT_PAID", "message": message, "request_id": "UfYZxjGFliAEJ5Q=", "paid_until": paid_until})
            );
            assert_eq!(cookies(&response), []);
            assert_eq!(cloud.counted("SessionsRefused"), 1.0);
        }
        assert!(cloud.signed.lock().expect("no test panics here").is_empty());
    }
}

#[tokio::test]
async fn only_a_students_id_token_opens_a_session() {
    let cloud = Cloud::new(Some(i64::MAX));
    for claims in [json!({"token_use": "access"}), json!({"token_use": null}), json!({"custom:student_id": null})] {
        let response = cloud.open(cloud.signer(), request(claims)).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(body(&response)["code"], "UNAUTHORIZED");
        assert_eq!(cookies(&response), []);
    }
}

#[tokio::test]
async fn a_failure_of_aws_is_answered_with_503_and_one_to_sign_is_counted() {
    for (failing, counted) in
        [("DynamoDB_20120810.GetItem", 0.0), ("AmazonSSM.GetParameter", 1.0), ("TrentService.Sign", 1.0)]
    {
        let cloud = Cloud { failing, ..Cloud::new(Some(i64::MAX)) };
        let response = cloud.open(cloud.signer(), request(json!({}))).await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE, "{failing}");
        assert_eq!(body(&response)["code"], "TRY_AGAIN");
        assert_eq!(cookies(&response), []);
        assert_eq!(cloud.counted("SigningFailures"), counted, "{failing}");
    }
}

#[tokio::test]
async fn for_the_function_at_the_edge_the_cookie_is_the_token_until_it_expires_or_the_paid_time_ends() {
    let now = Utc::now().timestamp();
    let (soon, later) = (now + 600, now + 3600);
    for (paid_until, exp, claimed) in [(later, soon, later), (soon, later, later), (later, later, soon)] {
        let claims = json!({"exp": exp.to_string(), "paid_until": claimed.to_string()});
        let response = Cloud::new(Some(paid_until)).open(None, request(claims)).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(body(&response), json!({"expires_at": rfc_3339(soon), "paid_until": rfc_3339(paid_until)}));
        let [(name, value, max_age)] = &cookies(&response)[..] else { panic!("{response:?}") };
        assert_eq!((name.as_str(), value.as_str()), ("id_token", TOKEN));
        assert!(*max_age <= 600, "{max_age}");
    }
}

#[tokio::test]
async fn for_the_function_at_the_edge_a_token_from_before_the_payment_must_be_renewed() {
    let later = Utc::now().timestamp() + 3600;
    for claimed in [Value::Null, json!("0"), json!((later - 3600).to_string())] {
        let claims = json!({"exp": later.to_string(), "paid_until": claimed});
        let response = Cloud::new(Some(later)).open(None, request(claims)).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(cookies(&response), []);
    }
}

#[tokio::test]
async fn closing_a_session_removes_the_cookies_of_both_kinds_without_a_token() {
    let mut request = Request::default();
    *request.method_mut() = Method::DELETE;
    let cloud = Cloud::new(None);
    let response = cloud.open(cloud.signer(), request).await;
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
    assert_eq!(response.headers()[CACHE_CONTROL], "no-store");
    let names = [
        "CloudFront-Policy",
        "CloudFront-Signature",
        "CloudFront-Key-Pair-Id",
        "CloudFront-Hash-Algorithm",
        "id_token",
    ];
    assert_eq!(cookies(&response), names.map(|name| (name.to_owned(), String::new(), 0)));
}
