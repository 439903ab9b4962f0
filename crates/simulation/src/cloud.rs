//! The services, as far as the handlers use them. An unknown call ends the simulation.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use bytes::Bytes;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};
use tokio::sync::mpsc::UnboundedSender;

use crate::condition::is_met;
use crate::time;
use crate::update::update;
use crate::world::cloud;

/// The part of a URL between the bucket and the key.
const S3: &str = ".s3.eu-central-1.amazonaws.com/";

/// The time for which DynamoDB remembers a request token.
const TOKEN_LIFETIME: Duration = Duration::from_secs(10 * 60);

/// An item in DynamoDB JSON.
pub type Item = Map<String, Value>;

/// The state of all services.
#[derive(Debug, Default)]
pub struct Cloud {
    /// Objects by key; there is one bucket.
    pub objects: BTreeMap<String, Bytes>,
    /// Describes an object for the log, from its key and its body.
    pub describe_object: Option<fn(&str, &Bytes) -> String>,
    /// The key attributes of each table, separated by spaces.
    pub keys: BTreeMap<&'static str, &'static str>,
    /// Items by table and key.
    pub items: BTreeMap<(String, String), Item>,
    /// Users by name.
    pub users: BTreeMap<String, User>,
    /// The accepted requests to send an e-mail, in order.
    pub emails: Vec<Value>,
    /// Receives each accepted e-mail.
    pub email_events: Option<UnboundedSender<Value>>,
    /// Request tokens of completed transactions, with their times.
    tokens: BTreeMap<String, Duration>,
}

/// A user of the user pool.
#[derive(Clone, Debug)]
pub struct User {
    /// In Cognito's form: objects with `Name` and `Value`.
    pub attributes: Value,
    /// The state of the password.
    pub password: Password,
}

/// The state of a password.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Password {
    /// The user has to change it first: the user's status is `FORCE_CHANGE_PASSWORD`.
    Temporary,
    /// Permanent, and unknown to everybody.
    Unknown,
    /// Permanent, and known to the user.
    ChosenByUser,
}

/// A call to a service.
#[derive(Clone, Debug)]
pub enum Call {
    PutObject { key: String, body: Bytes },
    Json { operation: String, body: Value },
    SendEmail(Value),
}

/// The reason why a service does not act on a call.
#[derive(Clone, Copy, Debug)]
pub enum Problem {
    Throttled,
    Failed,
    Denied,
}

impl Call {
    pub async fn read(request: HttpRequest) -> Self {
        let (method, uri) = (request.method().to_owned(), request.uri().to_owned());
        let operation = request.headers().get("x-amz-target").map(str::to_owned);
        let body = ByteStream::new(request.into_body()).collect().await.expect("bodies are in memory").into_bytes();
        let json = || serde_json::from_slice(&body).expect("bodies of this protocol are JSON");
        if let Some(operation) = operation {
            let operation = operation.split_once('.').expect("the service stands before it").1.to_owned();
            return Self::Json { operation, body: json() };
        }
        let path = uri.split_once('?').map_or(uri.as_str(), |(path, _)| path);
        match (method.as_str(), path) {
            ("PUT", path) if path.contains(S3) => {
                let key = path.split_once(S3).expect("that has been checked").1;
                let key = percent_decode_str(key).decode_utf8().expect("keys are UTF-8");
                Self::PutObject { key: key.into_owned(), body }
            }
            ("POST", "https://email.eu-central-1.amazonaws.com/v2/email/outbound-emails") => Self::SendEmail(json()),
            _ => panic!("{method} {uri} is not simulated"),
        }
    }

    /// The service's answer if it does not act.
    pub fn refuse(&self, problem: Problem) -> HttpResponse {
        match (self, problem) {
            (Self::PutObject { .. }, Problem::Throttled) => xml_error(503, "SlowDown"),
            (Self::PutObject { .. }, Problem::Failed) => xml_error(500, "InternalError"),
            (Self::PutObject { .. }, Problem::Denied) => xml_error(403, "AccessDenied"),
            (Self::SendEmail(_), Problem::Throttled) => json_error(429, "TooManyRequestsException"),
            (Self::SendEmail(_), Problem::Denied) => json_error(403, "AccessDeniedException"),
            (_, Problem::Throttled) => json_error(400, "ThrottlingException"),
            (_, Problem::Failed) => json_error(500, "InternalServerError"),
            (_, Problem::Denied) => json_error(400, "AccessDeniedException"),
        }
    }
}

impl Display for Call {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::PutObject { key, body } => {
                let describe = cloud(|cloud| cloud.describe_object);
                write!(
                    formatter,
                    "PUT {key} with {}",
                    describe.map_or_else(String::new, |describe| describe(key, body))
                )
            }
            Self::Json { operation, body } => {
                let first = body["TransactItems"][0].as_object().and_then(|item| item.values().next()).unwrap_or(body);
                let keys = [&first["Key"], &first["Item"]];
                let key_names: Vec<_> = cloud(|cloud| cloud.keys.values().flat_map(|key| key.split(' ')).collect());
                let mut names = keys.into_iter().flat_map(|key| key_names.iter().map(move |name| &key[name]["S"]));
                let name = names.find_map(Value::as_str).or(body["Username"].as_str());
                write!(formatter, "{operation} {}", name.unwrap_or_default())
            }
            Self::SendEmail(email) => write!(formatter, "SendEmail to {}", email["Destination"]["ToAddresses"][0]),
        }
    }
}

impl Cloud {
    /// Acts on a call.
    pub fn act(&mut self, call: &Call) -> HttpResponse {
        match call {
            Call::PutObject { key, body } => {
                self.objects.insert(key.clone(), body.clone());
                response(200, String::new())
            }
            Call::SendEmail(email) => {
                self.emails.push(email.clone());
                if let Some(events) = &self.email_events {
                    events.send(email.clone()).expect("who wants events waits for them");
                }
                ok(json!({"MessageId": "m-1"}))
            }
            Call::Json { operation, body } => match operation.as_str() {
                "GetItem" => self.get_item(body),
                "PutItem" => self.put_item(body),
                "UpdateItem" => self.update_item(body),
                "DeleteItem" => self.delete_item(body),
                "TransactWriteItems" => self.transact_write_items(body),
                "AdminCreateUser" => self.create_user(body),
                "AdminGetUser" => self.get_user(body),
                "AdminSetUserPassword" => self.set_user_password(body),
                _ => panic!("{operation} is not simulated"),
            },
        }
    }

    /// Table and key of an item, or of a key.
    fn place(&self, request: &Value, item: &Value) -> (String, String) {
        let table = text(&request["TableName"]);
        let Some(key) = self.keys.get(table.as_str()) else { panic!("there is no table {table}") };
        let values: Vec<_> = key.split(' ').map(|name| text(&item[name]["S"])).collect();
        (table, values.join(" "))
    }

    fn get_item(&self, body: &Value) -> HttpResponse {
        assert_eq!(body["ConsistentRead"], true, "reads that may be stale are not simulated");
        match self.items.get(&self.place(body, &body["Key"])) {
            Some(item) => ok(json!({"Item": item})),
            None => ok(json!({})),
        }
    }

    fn put_item(&mut self, body: &Value) -> HttpResponse {
        self.write("Put", body)
    }

    fn update_item(&mut self, body: &Value) -> HttpResponse {
        self.write("Update", body)
    }

    fn delete_item(&mut self, body: &Value) -> HttpResponse {
        self.write("Delete", body)
    }

    /// A write of one item. `action` is its name in a transaction.
    fn write(&mut self, action: &str, body: &Value) -> HttpResponse {
        if let Some(mut reason) = self.refusal(body) {
            reason["__type"] = json!("ConditionalCheckFailedException");
            return response(400, reason.to_string());
        }
        self.apply(action, body);
        ok(json!({}))
    }

    fn transact_write_items(&mut self, body: &Value) -> HttpResponse {
        let token = body["ClientRequestToken"].as_str();
        let now = time::elapsed();
        if token.and_then(|token| self.tokens.get(token)).is_some_and(|done| now - *done < TOKEN_LIFETIME) {
            return ok(json!({}));
        }
        let items = body["TransactItems"].as_array().expect("a transaction has items");
        let actions: Vec<(&String, &Value)> = items.iter().flat_map(object).collect();
        let reasons: Vec<_> = actions.iter().map(|(_, write)| self.refusal(write)).collect();
        if reasons.iter().any(Option::is_some) {
            let reasons: Vec<_> =
                reasons.into_iter().map(|reason| reason.unwrap_or_else(|| json!({"Code": "None"}))).collect();
            let error = json!({"__type": "TransactionCanceledException", "CancellationReasons": reasons});
            return response(400, error.to_string());
        }
        for (action, write) in actions {
            self.apply(action, write);
        }
        if let Some(token) = token {
            self.tokens.insert(token.to_owned(), now);
        }
        ok(json!({}))
    }

    /// The reason not to make a write: its condition is not met.
    fn refusal(&self, write: &Value) -> Option<Value> {
        let key = write.get("Key").unwrap_or(&write["Item"]);
        let existing = self.items.get(&self.place(write, key));
        if is_met(write, existing) {
            return None;
        }
        let mut reason = json!({"Code": "ConditionalCheckFailed"});
        if write["ReturnValuesOnConditionCheckFailure"] == "ALL_OLD" {
            reason["Item"] = json!(existing);
        }
        Some(reason)
    }

    fn apply(&mut self, action: &str, write: &Value) {
        match action {
            "Put" => {
                self.items.insert(self.place(write, &write["Item"]), object(&write["Item"]).clone());
            }
            "Update" => {
                let place = self.place(write, &write["Key"]);
                update(self.items.entry(place).or_insert_with(|| object(&write["Key"]).clone()), write);
            }
            "Delete" => {
                self.items.remove(&self.place(write, &write["Key"]));
            }
            _ => panic!("{action} is not simulated"),
        }
    }

    fn create_user(&mut self, body: &Value) -> HttpResponse {
        let name = text(&body["Username"]);
        if self.users.contains_key(&name) {
            return json_error(400, "UsernameExistsException");
        }
        let attributes = body["UserAttributes"].clone();
        self.users.insert(name, User { attributes, password: Password::Temporary });
        ok(json!({}))
    }

    fn get_user(&self, body: &Value) -> HttpResponse {
        let name = text(&body["Username"]);
        let Some(user) = self.users.get(&name) else { return json_error(400, "UserNotFoundException") };
        let status = if user.password == Password::Temporary { "FORCE_CHANGE_PASSWORD" } else { "CONFIRMED" };
        ok(json!({
            "Username": name,
            "UserAttributes": user.attributes,
            "UserStatus": status,
        }))
    }

    fn set_user_password(&mut self, body: &Value) -> HttpResponse {
        assert_eq!(body["Permanent"], true, "temporary passwords are not simulated");
        let Some(user) = self.users.get_mut(&text(&body["Username"])) else {
            return json_error(400, "UserNotFoundException");
        };
        user.password = Password::Unknown;
        ok(json!({}))
    }
}

fn object(value: &Value) -> &Item {
    value.as_object().expect("items are objects")
}

fn text(value: &Value) -> String {
    value.as_str().expect("it is a text").to_owned()
}

fn ok(body: Value) -> HttpResponse {
    response(200, body.to_string())
}

fn json_error(status: u16, code: &str) -> HttpResponse {
    response(status, json!({ "__type": code }).to_string())
}

fn xml_error(status: u16, code: &str) -> HttpResponse {
    response(status, format!("<Error><Code>{code}</Code></Error>"))
}

fn response(status: u16, body: String) -> HttpResponse {
    HttpResponse::new(status.try_into().expect("it is a status code"), SdkBody::from(body))
}
