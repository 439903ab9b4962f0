//! Who may call, and what.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use dynamodb_dax::wire::cbor::{Decoder, Malformed};
use dynamodb_dax::wire::{authorization, method, operation};
use http::{Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use serde_json::json;

use crate::failure::Failure;

/// The actions of an operation on items. Discovery needs none:
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/DAX.access-control.html>
const ACTIONS: [&str; 9] = [
    "dax:BatchGetItem",
    "dax:BatchWriteItem",
    "dax:ConditionCheckItem",
    "dax:DeleteItem",
    "dax:GetItem",
    "dax:PutItem",
    "dax:Query",
    "dax:Scan",
    "dax:UpdateItem",
];
/// Bytes of an endpoint's answer.
const MAX_ANSWER: usize = 64 << 10;
const ASKING: Duration = Duration::from_secs(10);

/// A key, and what it may do.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Caller {
    /// What the caller signs with.
    pub secret_access_key: String,
    /// The session token of temporary credentials.
    pub session_token: Option<String>,
    /// The caller's ARN, for errors.
    pub principal: String,
    /// The cluster's ARN, for errors.
    pub resource: String,
    /// The actions that are allowed: `dax:GetItem`, …
    pub actions: HashSet<String>,
}

impl Caller {
    /// A caller without a session token that may do everything.
    pub fn new(secret_access_key: impl Into<String>) -> Self {
        Self {
            secret_access_key: secret_access_key.into(),
            session_token: None,
            principal: "arn:aws:iam::000000000000:root".to_owned(),
            resource: "arn:aws:dax:us-east-1:000000000000:cache/local".to_owned(),
            actions: ACTIONS.map(str::to_owned).into(),
        }
    }

    /// Refuses a request whose arguments are in `decoder`, unless all its actions are allowed.
    pub(crate) fn check(&self, number: i64, decoder: &Decoder) -> Result<(), Failure> {
        match actions(number, decoder.clone())?.into_iter().find(|action| !self.actions.contains(*action)) {
            None => Ok(()),
            Some(action) => {
                let (principal, resource) = (&self.principal, &self.resource);
                let problem =
                    format!("User: {principal} is not authorized to perform: {action} on resource: {resource}");
                Err(Failure::forbidden(problem))
            }
        }
    }
}

/// The actions that a request needs. Transactions have those of their parts, as in DynamoDB.
fn actions(number: i64, mut decoder: Decoder) -> Result<Vec<&'static str>, Malformed> {
    Ok(match number {
        method::BATCH_GET_ITEM => vec!["dax:BatchGetItem"],
        method::BATCH_WRITE_ITEM => vec!["dax:BatchWriteItem"],
        method::DELETE_ITEM => vec!["dax:DeleteItem"],
        method::GET_ITEM | method::TRANSACT_GET_ITEMS => vec!["dax:GetItem"],
        method::PUT_ITEM => vec!["dax:PutItem"],
        method::QUERY => vec!["dax:Query"],
        method::SCAN => vec!["dax:Scan"],
        method::UPDATE_ITEM => vec!["dax:UpdateItem"],
        method::TRANSACT_WRITE_ITEMS => {
            let mut actions = Vec::new();
            decoder.each(|decoder| {
                actions.push(match decoder.int()? {
                    operation::PUT => "dax:PutItem",
                    operation::DELETE => "dax:DeleteItem",
                    operation::UPDATE => "dax:UpdateItem",
                    operation::CONDITION_CHECK => "dax:ConditionCheckItem",
                    _ => return Err(Malformed("an unknown operation")),
                });
                Ok(())
            })?;
            actions
        }
        _ => Vec::new(),
    })
}

/// Who may call.
pub enum Callers {
    /// These callers, by access key id.
    Listed(HashMap<String, Caller>),
    /// Those that an HTTP endpoint knows.
    Asked(Box<CallerEndpoint>),
}

/// An HTTP endpoint that is asked once for each authorisation of a connection. It gets `{"accessKeyId": "…", "sessionToken": "…"}`, the latter null
/// if there is none, and answers with a [`Caller`] as JSON (`secretAccessKey`, `sessionToken`, …), or with 404.
pub struct CallerEndpoint {
    url: Uri,
    http: Client<HttpConnector, Full<Bytes>>,
}

impl CallerEndpoint {
    /// The endpoint at a URL, which is not asked yet.
    pub fn new(url: Uri) -> Self {
        Self { url, http: Client::builder(TokioExecutor::new()).build_http() }
    }

    async fn ask(
        &self,
        key: &str,
        token: Option<&str>,
    ) -> Result<Option<Caller>, Box<dyn std::error::Error + Send + Sync>> {
        let question = json!({ "accessKeyId": key, "sessionToken": token }).to_string();
        let request = Request::builder().method(Method::POST).uri(self.url.clone());
        let request = request.header(header::CONTENT_TYPE, "application/json").body(Full::from(question))?;
        let response = self.http.request(request).await?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(None),
            status => return Err(format!("status {status}").into()),
        }
        let answer = Limited::new(response.into_body(), MAX_ANSWER).collect().await?.to_bytes();
        Ok(Some(serde_json::from_slice(&answer)?))
    }
}

impl Callers {
    async fn find(&self, key: &str, token: Option<&str>) -> Result<Option<Caller>, Failure> {
        match self {
            Self::Listed(callers) => Ok(callers.get(key).cloned()),
            Self::Asked(endpoint) => match tokio::time::timeout(ASKING, endpoint.ask(key, token)).await {
                Ok(Ok(caller)) => Ok(caller),
                Ok(Err(error)) => {
                    Err(Failure::internal(format!("The endpoint that knows the callers failed: {error}")))
                }
                Err(_) => Err(Failure::internal("The endpoint that knows the callers did not answer")),
            },
        }
    }

    /// Checks the arguments of an authorisation.
    pub(crate) async fn authorize(&self, mut decoder: Decoder<'_>) -> Result<Authorization, Failure> {
        let key = decoder.text()?;
        let signature = decoder.text()?;
        let string = String::from_utf8_lossy(&decoder.bytes()?).into_owned();
        let token = if decoder.null()? { None } else { Some(decoder.text()?) };
        let refused = || Failure::wrong_signature("The security token included in the request is invalid");
        let (at, region) = authorization::read_string(&string).ok_or_else(refused)?;
        let caller = self.find(&key, token.as_deref()).await?.ok_or_else(refused)?;
        let expected = authorization::signature(&caller.secret_access_key, at, region, &string);
        if signature != expected || token.as_deref() != caller.session_token.as_deref() {
            return Err(refused());
        }
        let now = SystemTime::now();
        let apart = now.duration_since(at).unwrap_or_else(|error| error.duration());
        if apart > authorization::VALIDITY {
            return Err(Failure::unauthorized("The signature is too old, or of the future"));
        }
        Ok(Authorization { caller, until: at + authorization::VALIDITY })
    }
}

/// A connection's right to send requests.
pub(crate) struct Authorization {
    pub(crate) caller: Caller,
    pub(crate) until: SystemTime,
}
