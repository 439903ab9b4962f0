//! Accounts: requests for one address, as the workflow sends them to create-account, with its retries.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use create_account::handler::{CreateError, Creation, Owner, School, handle};
use futures_util::future::join_all;
use lambda_runtime::LambdaEvent;
use serde_json::{Value, json};
use simulation::{
    End, Password, Simulation, Violation, choose, client, cloud, invoke, invoke_undisturbed, log, settle, sleep, spawn,
    timeout,
};
use tokio::sync::oneshot;

fn main() -> ExitCode {
    simulation::main(Simulation { name: "accounts", schedules: 3_000, run: || Box::pin(simulate()) })
}

const TABLE: &str = "accounts";

/// `Timeout` of the function in stacks/accounts/template.yaml, and of the state in statemachines/accounts/school-account.asl.yaml.
const TIMEOUT: Duration = Duration::from_secs(10);
const STATE_TIMEOUT: Duration = Duration::from_secs(8);
/// The retries of the state.
const ATTEMPTS: usize = 4;
const RETRY_AFTER: Duration = Duration::from_secs(1);

const EMAIL: &str = "ada@school.example";

/// The delay of each request after the first.
const DELAYS: [Duration; 4] =
    [Duration::ZERO, Duration::from_millis(15), Duration::from_millis(1_030), Duration::from_secs(300)];

/// The handler's state, made once for each thread.
fn school() -> Arc<School> {
    thread_local! {
        static SCHOOL: Arc<School> = {
            Arc::new(School {
                cognito: client!(aws_sdk_cognitoidentityprovider),
                dynamodb: client!(aws_sdk_dynamodb),
                table: TABLE.into(),
                user_pool_id: "pool".into(),
            })
        };
    }
    SCHOOL.with(Arc::clone)
}

/// Some requests for accounts with one address, with any faults, and then another request without faults.
async fn simulate() -> Result<(), Violation> {
    cloud(|cloud| cloud.keys.insert(TABLE, "account_key"));
    let count = [2, 1, 3][choose(3)];
    let requests: Vec<_> = (1..=count).map(|student| request(student, DELAYS[choose(DELAYS.len())])).collect();
    let mut answers = Vec::new();
    for answer in join_all(requests).await {
        answers.extend(answer?);
    }
    settle().await;
    log(|| "nothing goes wrong any more".into());
    answers.push(undisturbed_request(count + 1).await?);
    let owner = check(&answers)?;
    // The student chooses a password. A repeated or late request changes nothing.
    cloud(|cloud| cloud.users.get_mut(EMAIL).expect("it has been checked").password = Password::ChosenByUser);
    for student in [1, count + 2] {
        answers.push(undisturbed_request(student).await?);
    }
    if check(&answers)? != owner {
        return Err("the account has another owner than before".into());
    }
    match cloud(|cloud| cloud.users[EMAIL].password) {
        Password::ChosenByUser => Ok(()),
        password => Err(format!("the password that the student chose is {password:?} now")),
    }
}

/// The workflow's state `CreateAccount`; `None` if its retries were exhausted.
async fn request(student: usize, delay: Duration) -> Result<Option<Owner>, Violation> {
    sleep(delay).await;
    for attempt in 1..=ATTEMPTS {
        log(|| format!("student-{student} asks for an account, attempt {attempt}"));
        // After its state has ended, a function goes on until it times out.
        let (sender, receiver) = oneshot::channel();
        spawn(async move {
            let result = invoke(TIMEOUT, |context| create(student, context)).await;
            // Possibly, the workflow no longer waits for it.
            let _ = sender.send(result);
        });
        match timeout(STATE_TIMEOUT, receiver).await {
            Some(result) => {
                if let Some(owner) = owner(result.expect("an invocation has an end"))? {
                    log(|| format!("student-{student} is answered {owner:?}"));
                    return Ok(Some(owner));
                }
            }
            None => log(|| format!("student-{student} waits no longer for this attempt")),
        }
        sleep(RETRY_AFTER).await;
    }
    Ok(None)
}

async fn undisturbed_request(student: usize) -> Result<Owner, Violation> {
    log(|| format!("student-{student} asks for an account, undisturbed"));
    let result = invoke_undisturbed(TIMEOUT, |context| create(student, context)).await;
    owner(result)?.ok_or_else(|| format!("student-{student} gets no answer although nothing is wrong"))
}

async fn create(student: usize, context: lambda_runtime::Context) -> Result<Owner, CreateError> {
    let creation: Creation = serde_json::from_value(json!({
        "student_id": format!("student-{student}"),
        "created_at": "2026-11-20T23:50:00Z",
        "account": {
            "email": EMAIL,
            "given_name": "Ada",
            "family_name": "Lovelace",
            "date_of_birth": "2005-12-10",
            "programme": "mathematics",
        },
    }))
    .expect("it is a creation");
    handle(&school(), LambdaEvent::new(creation, context)).await
}

/// The answer, if there is one. Other errors than those that the workflow retries are violations.
fn owner(result: Result<Result<Owner, CreateError>, End>) -> Result<Option<Owner>, Violation> {
    match result {
        Ok(Ok(owner)) => Ok(Some(owner)),
        Ok(Err(CreateError::Unavailable(unavailable))) => {
            log(|| unavailable.to_string());
            Ok(None)
        }
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Ok(None),
    }
}

/// Checks that there is one complete account and one user, and that all answers named the same owner; returns the
/// owner.
fn check(answers: &[Owner]) -> Result<String, Violation> {
    let (items, users) = cloud(|cloud| (cloud.items.clone(), cloud.users.clone()));
    let keys: Vec<&str> = items.keys().map(|(_, key)| key.as_str()).collect();
    let email_key = (TABLE.to_owned(), format!("EMAIL:{EMAIL}"));
    let owner = items.get(&email_key).and_then(|item| item["student_id"]["S"].as_str());
    let owner = owner.ok_or("the address has no account")?.to_owned();
    if keys != [email_key.1, format!("STUDENT:{owner}")] {
        return Err(format!("the account is {owner}'s, and the items are {keys:?}"));
    }
    let user = users.get(EMAIL).ok_or("there is no user")?;
    let is_owner = |attribute: &Value| *attribute == json!({"Name": "custom:student_id", "Value": owner});
    let is_owners = user.attributes.as_array().is_some_and(|attributes| attributes.iter().any(is_owner));
    if !is_owners || user.password == Password::Temporary {
        return Err(format!("the account is {owner}'s, and the user is {user:?}"));
    }
    match answers.iter().find(|answer| answer.student_id != owner) {
        Some(answer) => Err(format!("the account is {owner}'s, and an answer was {answer:?}")),
        None => Ok(owner),
    }
}
