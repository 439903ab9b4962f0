//! Answers early if an address has an account. The transaction in create-account is what keeps addresses unique.

use std::collections::HashMap;

use accounts::{email_key, student_key};
use aws_sdk_dynamodb::types::AttributeValue;
use aws_services::Unavailable;
use lambda_runtime::LambdaEvent;
use powertools::tracer;
use serde::{Deserialize, Serialize};
use tracing::info;

/// The table of accounts.
#[derive(Debug)]
pub struct Accounts {
    pub dynamodb: aws_sdk_dynamodb::Client,
    pub table: String,
}

/// The address to look for.
#[derive(Debug, Deserialize)]
pub struct Address {
    email: String,
}

/// Whether an address has an account.
#[derive(Debug, PartialEq, Serialize)]
#[serde(tag = "outcome", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Existing {
    /// It has none.
    None,
    /// It has an account whose workflow did not finish: create-account finishes the account.
    Unfinished,
    /// It has an account.
    Account,
}

pub async fn handle(accounts: &Accounts, event: LambdaEvent<Address>) -> Result<Existing, Unavailable> {
    let (existing, outcome) = match accounts.get(email_key(&event.payload.email)).await? {
        None => (Existing::None, "NONE"),
        Some(email_item) => match accounts.get(student_key(&student_id(&email_item)?)).await? {
            Some(student) if !student.contains_key("unfinished") => (Existing::Account, "ACCOUNT"),
            _ => (Existing::Unfinished, "UNFINISHED"),
        },
    };
    info!(outcome, "address looked up");
    tracer::annotate("outcome", outcome);
    Ok(existing)
}

type Item = HashMap<String, AttributeValue>;

fn student_id(email_item: &Item) -> Result<String, Unavailable> {
    match email_item.get("student_id").map(AttributeValue::as_s) {
        Some(Ok(student_id)) => Ok(student_id.clone()),
        _ => Err(Unavailable::new("DynamoDB", "the item of an address has no student_id")),
    }
}

impl Accounts {
    async fn get(&self, account_key: String) -> Result<Option<Item>, Unavailable> {
        self.dynamodb
            .get_item()
            .table_name(&self.table)
            .key("account_key", AttributeValue::S(account_key))
            .projection_expression("student_id, unfinished")
            .consistent_read(true)
            .send()
            .await
            .map(|output| output.item)
            .map_err(|error| Unavailable::from_sdk("DynamoDB", &error))
    }
}
