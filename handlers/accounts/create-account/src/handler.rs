//! An account is two items, written in one transaction, and a user, created after them. A request that finds an account
//! whose user may be missing creates the user: docs/accounts/workflow.md lists each point where this can be interrupted.

use accounts::{Account, StudentItem, UNFINISHED, email_key, student_key};
use aws_sdk_cognitoidentityprovider::operation::admin_create_user::AdminCreateUserError;
use aws_sdk_cognitoidentityprovider::types::{AttributeType, MessageActionType, UserStatusType};
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{AttributeValue, Put, TransactWriteItem};
use aws_services::Unavailable;
use chrono::{DateTime, Utc};
use lambda_runtime::{Diagnostic, LambdaEvent};
use powertools::tracer;
use rand::distr::{Alphanumeric, SampleString};
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tracing::info;

const STUDENT_ID: &str = "custom:student_id";

/// The table of accounts and the user pool.
#[derive(Debug)]
pub struct School {
    pub cognito: aws_sdk_cognitoidentityprovider::Client,
    pub dynamodb: aws_sdk_dynamodb::Client,
    pub table: String,
    pub user_pool_id: String,
}

/// The account to create. `student_id` and `created_at` come from the workflow, so that a retry writes the same items.
#[derive(Debug, Deserialize)]
pub struct Creation {
    student_id: String,
    created_at: DateTime<Utc>,
    account: Account,
}

/// The student who has the address now.
#[derive(Debug, PartialEq, Serialize)]
pub struct Owner {
    pub student_id: String,
    /// Whether this request created the account; otherwise the address had one.
    pub created: bool,
}

#[derive(Debug, Error)]
pub enum CreateError {
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    #[error("the user pool has a user with this address who is not student {0}: delete that user or the account")]
    UserConflict(String),
    #[error("an item of the accounts table can't be read: {0}")]
    BadItem(#[from] serde_dynamo::Error),
}

/// Step Functions retries only `Unavailable`; the other errors need a correction by hand.
impl From<CreateError> for Diagnostic {
    fn from(error: CreateError) -> Self {
        let error_type = match error {
            CreateError::Unavailable(unavailable) => return unavailable.into(),
            CreateError::UserConflict(_) => "UserConflict",
            CreateError::BadItem(_) => "BadItem",
        };
        Diagnostic { error_type: error_type.into(), error_message: error.to_string() }
    }
}

/// Creates the account, or finishes the existing account of the address.
pub async fn handle(school: &School, event: LambdaEvent<Creation>) -> Result<Owner, CreateError> {
    let Creation { student_id, created_at, account } = event.payload;
    let student = school
        .create(StudentItem {
            account_key: student_key(&student_id),
            student_id: student_id.clone(),
            account,
            created_at,
            unfinished: Some(UNFINISHED.into()),
        })
        .await?;
    if student.unfinished.is_some() {
        school.ensure_user(&student).await?;
    }
    let created = student.student_id == student_id;
    let outcome = if created { "CREATED" } else { "EXISTS" };
    info!(student_id = student.student_id, outcome, "account created or found");
    tracer::annotate("student_id", student.student_id.clone());
    tracer::annotate("outcome", outcome);
    Ok(Owner { student_id: student.student_id, created })
}

impl School {
    /// Writes both items, or returns the student who has the address.
    async fn create(&self, student: StudentItem) -> Result<StudentItem, CreateError> {
        let email_key = email_key(&student.account.email);
        let put = |item| {
            let put = Put::builder()
                .table_name(&self.table)
                .condition_expression("attribute_not_exists(account_key)")
                .set_item(Some(item))
                .build()
                .expect("it has a table and an item");
            TransactWriteItem::builder().put(put).build()
        };
        let email_item = [("account_key", &email_key), ("student_id", &student.student_id)]
            .map(|(name, value)| (name.to_owned(), AttributeValue::S(value.clone())));
        let result = self
            .dynamodb
            .transact_write_items()
            .client_request_token(&student.student_id)
            .transact_items(put(serde_dynamo::to_item(&student)?))
            .transact_items(put(email_item.into()))
            .send()
            .await;
        let error = match result {
            Ok(_) => return Ok(student),
            Err(error) => error,
        };
        let unavailable = Unavailable::from_sdk("DynamoDB", &error);
        // A condition failed, or another transaction is writing the items; only after the first does the address have an owner.
        if !error.as_service_error().is_some_and(TransactWriteItemsError::is_transaction_canceled_exception) {
            return Err(unavailable.into());
        }
        let Some(EmailItem { student_id }) = self.get(email_key).await? else { return Err(unavailable.into()) };
        Ok(self.get(student_key(&student_id)).await?.ok_or(unavailable)?)
    }

    async fn get<T: DeserializeOwned>(&self, account_key: String) -> Result<Option<T>, CreateError> {
        let output = self
            .dynamodb
            .get_item()
            .table_name(&self.table)
            .key("account_key", AttributeValue::S(account_key))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| Unavailable::from_sdk("DynamoDB", &error))?;
        Ok(output.item.map(serde_dynamo::from_item).transpose()?)
    }

    /// Creates the user with a random password that is not kept: the student chooses one with a code sent to the address.
    async fn ensure_user(&self, student: &StudentItem) -> Result<(), CreateError> {
        let email = &student.account.email;
        let attribute =
            |name: &str, value: &str| AttributeType::builder().name(name).value(value).build().expect("it has a name");
        let result = self
            .cognito
            .admin_create_user()
            .user_pool_id(&self.user_pool_id)
            .username(email)
            .user_attributes(attribute("email", email))
            .user_attributes(attribute("email_verified", "true"))
            .user_attributes(attribute(STUDENT_ID, &student.student_id))
            .message_action(MessageActionType::Suppress)
            .send()
            .await;
        match result {
            Ok(_) => self.set_unknown_password(email).await,
            Err(error) if error.as_service_error().is_some_and(AdminCreateUserError::is_username_exists_exception) => {
                self.adopt_user(student).await
            }
            Err(error) => Err(Unavailable::from_sdk("Cognito", &error).into()),
        }
    }

    /// Continues with the user that an earlier attempt created. A password that the student has since chosen is kept.
    async fn adopt_user(&self, student: &StudentItem) -> Result<(), CreateError> {
        let email = &student.account.email;
        let user = self
            .cognito
            .admin_get_user()
            .user_pool_id(&self.user_pool_id)
            .username(email)
            .send()
            .await
            .map_err(|error| Unavailable::from_sdk("Cognito", &error))?;
        let student_id = user.user_attributes().iter().find(|attribute| attribute.name() == STUDENT_ID);
        if student_id.and_then(AttributeType::value) != Some(&student.student_id) {
            return Err(CreateError::UserConflict(student.student_id.clone()));
        }
        if user.user_status() == Some(&UserStatusType::ForceChangePassword) {
            self.set_unknown_password(email).await?;
        }
        Ok(())
    }

    /// Cognito sends a code for a new password only to a user with a permanent password.
    async fn set_unknown_password(&self, email: &str) -> Result<(), CreateError> {
        let random = Alphanumeric.sample_string(&mut UnwrapErr(SysRng), 40);
        self.cognito
            .admin_set_user_password()
            .user_pool_id(&self.user_pool_id)
            .username(email)
            .password(format!("aA1-{random}"))
            .permanent(true)
            .send()
            .await
            .map_err(|error| Unavailable::from_sdk("Cognito", &error))?;
        Ok(())
    }
}

/// The needed part of the item that makes an address unique.
#[derive(Deserialize)]
struct EmailItem {
    student_id: String,
}
