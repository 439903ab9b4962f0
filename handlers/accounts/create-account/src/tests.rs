//! One account per address, whatever is interrupted, with DynamoDB and Cognito replaced at the SDK's HTTP edge.

use accounts::StudentItem;
use aws_sdk_cognitoidentityprovider::operation::admin_create_user::{AdminCreateUserError, AdminCreateUserOutput};
use aws_sdk_cognitoidentityprovider::operation::admin_get_user::AdminGetUserOutput;
use aws_sdk_cognitoidentityprovider::operation::admin_set_user_password::AdminSetUserPasswordOutput;
use aws_sdk_cognitoidentityprovider::types::error::UsernameExistsException;
use aws_sdk_cognitoidentityprovider::types::{AttributeType, UserStatusType};
use aws_sdk_dynamodb::operation::get_item::GetItemOutput;
use aws_sdk_dynamodb::operation::transact_write_items::{TransactWriteItemsError, TransactWriteItemsOutput};
use aws_sdk_dynamodb::types::error::TransactionCanceledException;
use aws_smithy_mocks::{Rule, RuleMode, mock, mock_client};
use lambda_runtime::{Context, Diagnostic, LambdaEvent};
use serde_json::{Value, json};

use crate::handler::{CreateError, Owner, School, handle};

const OURS: &str = "7d1f2a8e-5c1b-4f0e-9a64-2f3f4f1f6a10";
const EXAMPLE: &str = include_str!("../../../../events/accounts/create-account.json");

struct Mocks {
    transaction: Rule,
    get_item: Rule,
    create_user: Rule,
    get_user: Rule,
    set_password: Rule,
}

fn transaction(canceled: bool) -> Rule {
    let rule = mock!(aws_sdk_dynamodb::Client::transact_write_items).match_requests(|request| {
        let puts: Vec<_> = request.transact_items().iter().filter_map(|item| item.put()).collect();
        request.client_request_token() == Some(OURS)
            && puts.len() == 2
            && puts.iter().all(|put| put.condition_expression() == Some("attribute_not_exists(account_key)"))
    });
    match canceled {
        false => rule.then_output(|| TransactWriteItemsOutput::builder().build()),
        true => rule.then_error(|| {
            TransactWriteItemsError::TransactionCanceledException(TransactionCanceledException::builder().build())
        }),
    }
}

/// A table in which this student has the address.
fn owned_by(student_id: &'static str, unfinished: bool) -> Rule {
    mock!(aws_sdk_dynamodb::Client::get_item).match_requests(|request| request.consistent_read() == Some(true)).then_compute_output(
        move |request| {
            let key = request.key().and_then(|key| key["account_key"].as_s().ok().cloned()).expect("the key is a string");
            let item: Value = match key.as_str() {
                "EMAIL:ada@school.example" => json!({"account_key": key, "student_id": student_id}),
                _ => {
                    let mut item = json!({
                        "account_key": key, "student_id": student_id, "email": "ada@school.example", "given_name": "Ada",
                        "family_name": "Lovelace", "date_of_birth": "2005-12-10", "programme": "mathematics",
                        "created_at": "2026-11-20T10:30:00Z",
                    });
                    if unfinished {
                        item["unfinished"] = "yes".into();
                    }
                    item
                }
            };
            GetItemOutput::builder().set_item(Some(serde_dynamo::to_item(item).expect("it is an item"))).build()
        },
    )
}

fn no_item() -> Rule {
    mock!(aws_sdk_dynamodb::Client::get_item).then_output(|| GetItemOutput::builder().build())
}

fn create_user(exists: bool) -> Rule {
    match exists {
        false => mock!(aws_sdk_cognitoidentityprovider::Client::admin_create_user)
            .then_output(|| AdminCreateUserOutput::builder().build()),
        true => mock!(aws_sdk_cognitoidentityprovider::Client::admin_create_user)
            .then_error(|| AdminCreateUserError::UsernameExistsException(UsernameExistsException::builder().build())),
    }
}

fn user(student_id: &'static str, status: UserStatusType) -> Rule {
    mock!(aws_sdk_cognitoidentityprovider::Client::admin_get_user).then_output(move || {
        let attribute = AttributeType::builder().name("custom:student_id").value(student_id).build();
        AdminGetUserOutput::builder()
            .username("ada@school.example")
            .user_attributes(attribute.expect("it has a name"))
            .user_status(status.clone())
            .build()
            .expect("it has a name")
    })
}

impl Mocks {
    /// Every call succeeds; the user pool has no such user.
    fn new() -> Self {
        Self {
            transaction: transaction(false),
            get_item: no_item(),
            create_user: create_user(false),
            get_user: user(OURS, UserStatusType::ForceChangePassword),
            set_password: mock!(aws_sdk_cognitoidentityprovider::Client::admin_set_user_password)
                .match_requests(|request| {
                    request.permanent() == Some(true) && request.password().is_some_and(|p| p.len() > 40)
                })
                .then_output(|| AdminSetUserPasswordOutput::builder().build()),
        }
    }

    async fn create(&self) -> Result<Owner, CreateError> {
        let dynamodb = [&self.transaction, &self.get_item];
        let cognito = [&self.create_user, &self.get_user, &self.set_password];
        let school = School {
            cognito: mock_client!(aws_sdk_cognitoidentityprovider, RuleMode::MatchAny, &cognito),
            dynamodb: mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, &dynamodb),
            table: "accounts".into(),
            user_pool_id: "pool".into(),
        };
        let creation = serde_json::from_str(EXAMPLE).expect("the example is a creation");
        handle(&school, LambdaEvent::new(creation, Context::default())).await
    }
}

fn owner(student_id: &str, created: bool) -> Owner {
    Owner { student_id: student_id.into(), created }
}

#[tokio::test]
async fn a_new_account_gets_a_user_with_an_unknown_password() {
    let mocks = Mocks::new();
    assert_eq!(mocks.create().await.expect("nothing is in the way"), owner(OURS, true));
    assert_eq!((mocks.create_user.num_calls(), mocks.set_password.num_calls()), (1, 1));
}

#[tokio::test]
async fn the_address_of_a_finished_account_is_taken() {
    let mocks = Mocks { transaction: transaction(true), get_item: owned_by("other", false), ..Mocks::new() };
    assert_eq!(mocks.create().await.expect("it is an answer"), owner("other", false));
    assert_eq!(mocks.create_user.num_calls(), 0);
}

#[tokio::test]
async fn an_unfinished_account_of_another_attempt_gets_its_user() {
    let create_user = mock!(aws_sdk_cognitoidentityprovider::Client::admin_create_user)
        .match_requests(|request| request.user_attributes().iter().any(|attribute| attribute.value() == Some("other")))
        .then_output(|| AdminCreateUserOutput::builder().build());
    let mocks =
        Mocks { transaction: transaction(true), get_item: owned_by("other", true), create_user, ..Mocks::new() };
    assert_eq!(mocks.create().await.expect("it is finished"), owner("other", false));
    assert_eq!(mocks.create_user.num_calls(), 1);
}

#[tokio::test]
async fn a_retry_after_the_transactions_token_has_expired_finds_its_own_account() {
    let mocks = Mocks { transaction: transaction(true), get_item: owned_by(OURS, true), ..Mocks::new() };
    assert_eq!(mocks.create().await.expect("it goes on"), owner(OURS, true));
}

#[tokio::test]
async fn a_transaction_that_conflicts_with_another_is_retried() {
    let mocks = Mocks { transaction: transaction(true), ..Mocks::new() };
    let diagnostic = Diagnostic::from(mocks.create().await.expect_err("the address has no owner yet"));
    assert_eq!(diagnostic.error_type, "Unavailable");
}

#[tokio::test]
async fn a_user_that_an_earlier_attempt_made_is_kept_and_so_is_a_chosen_password() {
    for (status, passwords) in [(UserStatusType::ForceChangePassword, 1), (UserStatusType::Confirmed, 0)] {
        let mocks = Mocks { create_user: create_user(true), get_user: user(OURS, status), ..Mocks::new() };
        assert_eq!(mocks.create().await.expect("the user is adopted"), owner(OURS, true));
        assert_eq!(mocks.set_password.num_calls(), passwords);
    }
}

#[tokio::test]
async fn a_user_of_another_student_is_not_changed_and_not_retried() {
    let get_user = user("stranger", UserStatusType::ForceChangePassword);
    let mocks = Mocks { create_user: create_user(true), get_user, ..Mocks::new() };
    let diagnostic = Diagnostic::from(mocks.create().await.expect_err("the user is another student's"));
    assert_eq!(diagnostic.error_type, "UserConflict");
    assert!(!diagnostic.error_message.contains('@'), "{}", diagnostic.error_message);
    assert_eq!(mocks.set_password.num_calls(), 0);
}

#[test]
fn a_student_item_is_read_as_it_was_written() {
    let mut event: Value = serde_json::from_str(EXAMPLE).expect("the example is JSON");
    let student: StudentItem = serde_json::from_value(json!({
        "account_key": "STUDENT:s-1", "student_id": "s-1", "created_at": event["created_at"].take(), "unfinished": "yes",
        "email": "ada@school.example", "given_name": "Ada", "family_name": "Lovelace", "date_of_birth": "2005-12-10",
        "programme": "mathematics",
    }))
    .expect("it is a student");
    let item: serde_dynamo::Item = serde_dynamo::to_item(&student).expect("it is an item");
    assert_eq!(serde_dynamo::from_item::<_, StudentItem>(item).expect("it is a student"), student);
}
