use aws_sdk_dynamodb::operation::get_item::GetItemOutput;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_smithy_mocks::{RuleMode, mock, mock_client};

use crate::Entitlements;

async fn paid_until(paid_until: Option<AttributeValue>) -> Result<Option<i64>, String> {
    let get = mock!(aws_sdk_dynamodb::Client::get_item)
        .match_requests(|request| {
            let key = request.key().and_then(|key| key["student_id"].as_s().ok());
            request.consistent_read() == Some(true) && key.is_some_and(|key| key == "student-1")
        })
        .then_output(move || {
            let item = paid_until.clone().map(|value| [("paid_until".to_owned(), value)].into());
            GetItemOutput::builder().set_item(item).build()
        });
    let dynamodb = mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, [&get]);
    let entitlements = Entitlements { dynamodb, table: "entitlements".into() };
    entitlements.paid_until("student-1").await.map_err(|error| error.to_string())
}

#[tokio::test]
async fn the_recorded_time_is_read() {
    assert_eq!(paid_until(Some(AttributeValue::N("1795219199".into()))).await, Ok(Some(1_795_219_199)));
}

#[tokio::test]
async fn a_student_who_never_paid_has_no_time() {
    assert_eq!(paid_until(None).await, Ok(None));
}

#[tokio::test]
async fn an_item_that_cannot_be_read_is_an_error_and_not_a_student_who_never_paid() {
    for unreadable in [AttributeValue::S("2026-11-20T23:59:59Z".into()), AttributeValue::N("1.5".into())] {
        assert!(paid_until(Some(unreadable)).await.is_err());
    }
}
