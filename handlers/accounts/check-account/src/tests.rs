//! The answers of check-account, with DynamoDB replaced at the SDK's HTTP edge.

use aws_sdk_dynamodb::operation::get_item::{GetItemError, GetItemOutput};
use aws_sdk_dynamodb::types::AttributeValue;
use aws_services::Unavailable;
use aws_smithy_mocks::{Rule, RuleMode, mock, mock_client};
use lambda_runtime::{Context, Diagnostic, LambdaEvent};

use crate::handler::{Accounts, Existing, handle};

/// A table with the items of these keys; all belong to the student `s-1`.
fn table(items: &'static [(&str, bool)]) -> Rule {
    mock!(aws_sdk_dynamodb::Client::get_item)
        .match_requests(|request| request.consistent_read() == Some(true))
        .then_compute_output(move |request| {
            let key =
                request.key().and_then(|key| key["account_key"].as_s().ok().cloned()).expect("the key is a string");
            let mut output = GetItemOutput::builder();
            if let Some((_, unfinished)) = items.iter().find(|(name, _)| *name == key) {
                output = output.item("student_id", AttributeValue::S("s-1".into()));
                if *unfinished {
                    output = output.item("unfinished", AttributeValue::S("yes".into()));
                }
            }
            output.build()
        })
}

async fn check(rule: Rule) -> Result<Existing, Unavailable> {
    let dynamodb = mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, [&rule]);
    let address =
        serde_json::from_str(include_str!("../../../../events/accounts/check-account.json")).expect("it is an address");
    handle(&Accounts { dynamodb, table: "accounts".into() }, LambdaEvent::new(address, Context::default())).await
}

#[tokio::test]
async fn an_address_has_an_account_or_an_unfinished_one_or_none() {
    for (items, existing) in [
        (&[][..], Existing::None),
        (&[("EMAIL:ada@school.example", false), ("STUDENT:s-1", false)][..], Existing::Account),
        (&[("EMAIL:ada@school.example", false), ("STUDENT:s-1", true)][..], Existing::Unfinished),
    ] {
        assert_eq!(check(table(items)).await.expect("the table answers"), existing);
    }
}

#[tokio::test]
async fn a_table_that_does_not_answer_is_unavailable() {
    let rule = mock!(aws_sdk_dynamodb::Client::get_item).then_error(|| {
        GetItemError::generic(aws_sdk_dynamodb::error::ErrorMetadata::builder().code("InternalServerError").build())
    });
    let diagnostic = Diagnostic::from(check(rule).await.expect_err("it fails"));
    assert_eq!(diagnostic.error_type, "Unavailable");
    assert_eq!(diagnostic.error_message, "DynamoDB: InternalServerError");
}
