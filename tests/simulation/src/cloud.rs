//! The services, as far as the handlers use them. What is not simulated ends the simulation.

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

use crate::archive;
use crate::time;

/// The archive's bucket, and where S3 has it.
pub const ARCHIVE_BUCKET: &str = "archive";
const ARCHIVE_URL: &str = "https://archive.s3.eu-central-1.amazonaws.com/";

pub const ACCOUNTS_TABLE: &str = "accounts";
pub const IDEMPOTENCY_TABLE: &str = "idempotency";

/// For how long DynamoDB knows a request token.
const TOKEN_LIFETIME: Duration = Duration::from_secs(10 * 60);

/// An item, as DynamoDB's JSON.
pub type Item = Map<String, Value>;

/// State of all services.
#[derive(Debug, Default)]
pub struct Cloud {
    pub objects: BTreeMap<String, Bytes>,
    /// By table and key.
    pub items: BTreeMap<(String, String), Item>,
    /// By name.
    pub users: BTreeMap<String, User>,
    /// The students to whom SES has accepted an e-mail, in that order, and who wants to be told.
    pub emails: Vec<String>,
    pub email_events: Option<UnboundedSender<String>>,
    /// Request tokens of transactions that were done, and when.
    tokens: BTreeMap<String, Duration>,
}

/// A user of the user pool.
#[derive(Clone, Debug)]
pub struct User {
    pub student_id: String,
    pub password: Password,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Password {
    /// To be changed before anything else: the user's status is `FORCE_CHANGE_PASSWORD`.
    Temporary,
    /// Permanent, known to nobody.
    Unknown,
    ChosenByStudent,
}

/// A call to a service.
#[derive(Clone, Debug)]
pub enum Call {
    PutObject { key: String, body: Bytes },
    Json { operation: String, body: Value },
    SendEmail { student_id: String },
}

/// Why a service does not act on a call.
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
            ("PUT", path) if path.starts_with(ARCHIVE_URL) => {
                let key = percent_decode_str(&path[ARCHIVE_URL.len()..]).decode_utf8().expect("keys are UTF-8");
                Self::PutObject { key: key.into_owned(), body }
            }
            ("POST", "https://email.eu-central-1.amazonaws.com/v2/email/outbound-emails") => {
                let email = json();
                assert_eq!(email["EmailTags"][0]["Name"], "student_id");
                Self::SendEmail { student_id: text(&email["EmailTags"][0]["Value"]) }
            }
            _ => panic!("{method} {uri} is not simulated"),
        }
    }

    /// The service's answer when it does not act.
    pub fn refuse(&self, problem: Problem) -> HttpResponse {
        match (self, problem) {
            (Self::PutObject { .. }, Problem::Throttled) => xml_error(503, "SlowDown"),
            (Self::PutObject { .. }, Problem::Failed) => xml_error(500, "InternalError"),
            (Self::PutObject { .. }, Problem::Denied) => xml_error(403, "AccessDenied"),
            (Self::SendEmail { .. }, Problem::Throttled) => json_error(429, "TooManyRequestsException"),
            (Self::SendEmail { .. }, Problem::Denied) => json_error(403, "AccessDeniedException"),
            (_, Problem::Throttled) => json_error(400, "ThrottlingException"),
            (_, Problem::Failed) => json_error(500, "InternalServerError"),
            (_, Problem::Denied) => json_error(400, "AccessDeniedException"),
        }
    }
}

impl Display for Call {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::PutObject { key, body } => write!(formatter, "PUT {key} with {}", archive::describe(key, body)),
            Self::Json { operation, body } => {
                let put = &body["TransactItems"][0]["Put"];
                let keys = [&body["Key"], &body["Item"], &put["Item"]];
                let mut names = keys.into_iter().flat_map(|key| [&key["account_key"]["S"], &key["id"]["S"]]);
                let name = names.find_map(Value::as_str).or(body["Username"].as_str());
                write!(formatter, "{operation} {}", name.unwrap_or_default())
            }
            Self::SendEmail { student_id } => write!(formatter, "SendEmail to {student_id}"),
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
            Call::SendEmail { student_id } => {
                self.emails.push(student_id.clone());
                if let Some(events) = &self.email_events {
                    events.send(student_id.clone()).expect("who wants events waits for them");
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

    fn get_item(&self, body: &Value) -> HttpResponse {
        assert_eq!(body["ConsistentRead"], true, "reads that may be stale are not simulated");
        match self.items.get(&place(body, &body["Key"])) {
            Some(item) => ok(json!({"Item": item})),
            None => ok(json!({})),
        }
    }

    fn put_item(&mut self, body: &Value) -> HttpResponse {
        let place = place(body, &body["Item"]);
        let existing = self.items.get(&place);
        if !is_met(body, existing) {
            return condition_failed(body, existing);
        }
        self.items.insert(place, object(&body["Item"]).clone());
        ok(json!({}))
    }

    fn update_item(&mut self, body: &Value) -> HttpResponse {
        let place = place(body, &body["Key"]);
        let existing = self.items.get(&place);
        if !is_met(body, existing) {
            return condition_failed(body, existing);
        }
        let values = &body["ExpressionAttributeValues"];
        let item = self.items.entry(place).or_insert_with(|| object(&body["Key"]).clone());
        match body["UpdateExpression"].as_str().expect("updates are expressions") {
            "SET notified_at = if_not_exists(notified_at, :now)" => {
                item.entry("notified_at").or_insert_with(|| values[":now"].clone());
            }
            "SET #response_data = :response_data, #expiry = :expiry, #status = :status REMOVE #attempt" => {
                item.remove("attempt");
                for name in ["response_data", "expiry", "status"] {
                    let attribute = text(&body["ExpressionAttributeNames"][format!("#{name}")]);
                    item.insert(attribute, values[format!(":{name}")].clone());
                }
            }
            expression => panic!("{expression} is not simulated"),
        }
        ok(json!({}))
    }

    fn delete_item(&mut self, body: &Value) -> HttpResponse {
        let place = place(body, &body["Key"]);
        let existing = self.items.get(&place);
        if !is_met(body, existing) {
            return condition_failed(body, existing);
        }
        self.items.remove(&place);
        ok(json!({}))
    }

    fn transact_write_items(&mut self, body: &Value) -> HttpResponse {
        let token = text(&body["ClientRequestToken"]);
        let now = time::elapsed();
        if self.tokens.get(&token).is_some_and(|done| now - *done < TOKEN_LIFETIME) {
            return ok(json!({}));
        }
        let items = body["TransactItems"].as_array().expect("a transaction has items");
        let puts: Vec<&Value> = items.iter().map(|item| &item["Put"]).collect();
        let are_met = puts.iter().map(|put| is_met(put, self.items.get(&place(put, &put["Item"]))));
        let reasons: Vec<Value> =
            are_met.map(|is_met| json!({"Code": if is_met { "None" } else { "ConditionalCheckFailed" }})).collect();
        if reasons.iter().any(|reason| reason["Code"] != "None") {
            let error = json!({"__type": "TransactionCanceledException", "CancellationReasons": reasons});
            return response(400, error.to_string());
        }
        for put in puts {
            self.items.insert(place(put, &put["Item"]), object(&put["Item"]).clone());
        }
        self.tokens.insert(token, now);
        ok(json!({}))
    }

    fn create_user(&mut self, body: &Value) -> HttpResponse {
        let name = text(&body["Username"]);
        if self.users.contains_key(&name) {
            return json_error(400, "UsernameExistsException");
        }
        let mut attributes = body["UserAttributes"].as_array().expect("a user has attributes").iter();
        let student_id = attributes.find(|attribute| attribute["Name"] == "custom:student_id");
        let student_id = text(&student_id.expect("a user is somebody's")["Value"]);
        self.users.insert(name, User { student_id, password: Password::Temporary });
        ok(json!({}))
    }

    fn get_user(&self, body: &Value) -> HttpResponse {
        let name = text(&body["Username"]);
        let Some(user) = self.users.get(&name) else { return json_error(400, "UserNotFoundException") };
        let status = if user.password == Password::Temporary { "FORCE_CHANGE_PASSWORD" } else { "CONFIRMED" };
        ok(json!({
            "Username": name,
            "UserAttributes": [{"Name": "custom:student_id", "Value": user.student_id}],
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

/// Whether a request's condition holds for an item.
fn is_met(request: &Value, item: Option<&Item>) -> bool {
    let Some(condition) = request.get("ConditionExpression") else { return true };
    let attribute = |name: &str| item?.get(request["ExpressionAttributeNames"][name].as_str()?);
    let value = |name: &str| &request["ExpressionAttributeValues"][name];
    let is_below =
        |name: &str, limit: &str| attribute(name).is_some_and(|attribute| number(attribute) < number(value(limit)));
    match condition.as_str().expect("conditions are expressions") {
        "attribute_not_exists(account_key)" => item.is_none(),
        "attribute_exists(account_key)" => item.is_some(),
        "attribute_not_exists(#id) OR #expiry < :now OR (#status = :inprogress AND \
         attribute_exists(#in_progress_expiry) AND #in_progress_expiry < :now_in_millis)" => {
            item.is_none()
                || is_below("#expiry", ":now")
                || (attribute("#status") == Some(value(":inprogress"))
                    && is_below("#in_progress_expiry", ":now_in_millis"))
        }
        "#attempt = :attempt" => attribute("#attempt") == Some(value(":attempt")),
        condition => panic!("{condition} is not simulated"),
    }
}

fn condition_failed(request: &Value, existing: Option<&Item>) -> HttpResponse {
    let mut error = json!({"__type": "ConditionalCheckFailedException"});
    if request["ReturnValuesOnConditionCheckFailure"] == "ALL_OLD" {
        error["Item"] = json!(existing);
    }
    response(400, error.to_string())
}

/// Table and key of an item, or of a key.
fn place(request: &Value, item: &Value) -> (String, String) {
    let table = text(&request["TableName"]);
    let key = match table.as_str() {
        ACCOUNTS_TABLE => &item["account_key"]["S"],
        IDEMPOTENCY_TABLE => &item["id"]["S"],
        _ => panic!("there is no table {table}"),
    };
    (table, text(key))
}

fn object(value: &Value) -> &Item {
    value.as_object().expect("items are objects")
}

fn text(value: &Value) -> String {
    value.as_str().expect("it is a text").to_owned()
}

fn number(attribute: &Value) -> u64 {
    text(&attribute["N"]).parse().expect("it is a whole number")
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
