//! Events of the workflow, and items of the accounts table that something else has changed. The result is an answer, or
//! an error that the workflow knows.

use std::sync::{LazyLock, Mutex};

use arbitrary::Arbitrary;
use aws_services::EventBus;
use aws_types::SdkConfig;
use fuzzing::{event, services, wait};
use lambda_runtime::Diagnostic;
use serde_json::{Value, json};

#[derive(Arbitrary, Debug)]
struct Input {
    payload: String,
    student_id: String,
    item: Item,
    user: Item,
}

#[derive(Arbitrary, Debug)]
struct Item {
    is_cancelled: bool,
    attributes: Vec<(Attribute, Kind, String)>,
}

#[derive(Arbitrary, Debug)]
enum Attribute {
    AccountKey,
    StudentId,
    Email,
    GivenName,
    FamilyName,
    DateOfBirth,
    Programme,
    CreatedAt,
    Unfinished,
    Other(String),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Kind {
    S,
    N,
    M,
    Null,
    Good,
}

/// The answers of GetItem, of TransactWriteItems and of Cognito.
static ANSWERS: Mutex<[(u16, String); 3]> = Mutex::new([const { (200, String::new()) }; 3]);

static SERVICES: LazyLock<SdkConfig> = LazyLock::new(|| {
    services(|_, _, body| {
        let answers = ANSWERS.lock().expect("nobody panics with it");
        let request: Value = serde_json::from_slice(body).unwrap_or_default();
        let place = match (request.get("TransactItems"), request.get("UserPoolId")) {
            (Some(_), _) => 1,
            (_, Some(_)) => 2,
            _ => 0,
        };
        (answers[place].0, answers[place].1.clone().into())
    })
});

fn attribute((name, kind, value): (Attribute, Kind, String)) -> (String, Value) {
    let (name, good) = match name {
        Attribute::AccountKey => ("account_key", "STUDENT:s"),
        Attribute::StudentId => ("student_id", "s"),
        Attribute::Email => ("email", "ada@school.example"),
        Attribute::GivenName => ("given_name", "Ada"),
        Attribute::FamilyName => ("family_name", "Lovelace"),
        Attribute::DateOfBirth => ("date_of_birth", "2005-12-10"),
        Attribute::Programme => ("programme", "mathematics"),
        Attribute::CreatedAt => ("created_at", "2026-11-20T10:30:00Z"),
        Attribute::Unfinished => ("unfinished", "yes"),
        Attribute::Other(name) => return (name, json!({ "S": value })),
    };
    let value = match kind {
        Kind::S => json!({ "S": value }),
        Kind::N => json!({ "N": value }),
        Kind::M => json!({ "M": { "x": { "S": value } } }),
        Kind::Null => json!({ "NULL": true }),
        Kind::Good => json!({ "S": good }),
    };
    (name.to_owned(), value)
}

/// Checks that an error has a name that a `Retry` or a `Catch` can use, and quotes no address.
fn check_error(error: impl Into<Diagnostic>) {
    let Diagnostic { error_type, .. } = error.into();
    assert!(["Unavailable", "UserConflict", "BadItem"].contains(&error_type.as_str()), "{error_type}");
}

/// Checks the promise above.
pub fn check(data: &[u8]) {
    let Some(input) = fuzzing::input::<Input>(data) else { return };
    let is_cancelled = input.item.is_cancelled;
    let item: serde_json::Map<_, _> = input.item.attributes.into_iter().map(attribute).collect();
    let cancelled = json!({"__type": "TransactionCanceledException", "CancellationReasons": [{"Code": "x"}]});
    let exists = json!({"__type": "UsernameExistsException"});
    let user: Vec<_> = input
        .user
        .attributes
        .into_iter()
        .map(|(_, _, value)| json!({"Name": "custom:student_id", "Value": value}))
        .collect();
    let user = json!({"Username": "u", "UserAttributes": user, "UserStatus": "FORCE_CHANGE_PASSWORD"});
    *ANSWERS.lock().expect("nobody panics with it") = [
        (200, json!({ "Item": item }).to_string()),
        if is_cancelled { (400, cancelled.to_string()) } else { (200, "{}".into()) },
        if input.user.is_cancelled { (400, exists.to_string()) } else { (200, user.to_string()) },
    ];
    let dynamodb = aws_sdk_dynamodb::Client::new(&SERVICES);
    let table = "accounts".to_owned();

    let accounts = check_account::handler::Accounts { dynamodb: dynamodb.clone(), table: table.clone() };
    let good = json!({"email": input.payload}).to_string();
    for payload in [&input.payload, &good] {
        if let Ok(address) = serde_json::from_str(payload)
            && let Err(error) = wait(check_account::handler::handle(&accounts, event(address)))
        {
            check_error(error);
        }
    }

    let school = create_account::handler::School {
        cognito: aws_sdk_cognitoidentityprovider::Client::new(&SERVICES),
        dynamodb: dynamodb.clone(),
        table: table.clone(),
        user_pool_id: "pool".into(),
    };
    let account = json!({
        "email": "ada@school.example", "given_name": input.payload, "family_name": "Lovelace",
        "date_of_birth": "2005-12-10", "programme": "mathematics",
    });
    let good = json!({"student_id": input.student_id, "created_at": "2026-11-20T10:30:00Z", "account": account});
    for payload in [&input.payload, &good.to_string()] {
        if let Ok(creation) = serde_json::from_str(payload)
            && let Err(error) = wait(create_account::handler::handle(&school, event(creation)))
        {
            check_error(error);
        }
    }

    let announcer = notify_student::handler::Announcer {
        dynamodb,
        event_bus: EventBus { client: aws_sdk_eventbridge::Client::new(&SERVICES), name: "school".into() },
        table,
    };
    let good = json!({"student_id": input.student_id}).to_string();
    for payload in [&input.payload, &good] {
        if let Ok(student) = serde_json::from_str(payload)
            && let Err(error) = wait(notify_student::handler::handle(&announcer, event(student)))
        {
            check_error(error);
        }
    }
}
