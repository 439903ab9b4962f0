//! The example event, with S3 replaced at the SDK's HTTP edge.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use appointments::TABLE;
use archive::Archive;
use archive::stream::handle;
use aws_sdk_s3::operation::put_object::PutObjectOutput;
use aws_smithy_mocks::{RuleMode, mock, mock_client};
use lambda_runtime::{Context, LambdaEvent};
use powertools::batch::UnparsedEvent;
use powertools::metrics::Metrics;

#[tokio::test]
async fn the_example_event_is_archived() {
    let put = mock!(aws_sdk_s3::Client::put_object)
        .match_requests(|request| {
            let object = "dt=2026-11-20/100000000000000000001-c4ca4238a0b923820dcc509a6f75849b.parquet";
            request.key() == Some(&format!("{}{object}", TABLE.prefix()))
        })
        .then_output(|| PutObjectOutput::builder().build());
    let s3 = mock_client!(aws_sdk_s3, RuleMode::MatchAny, [&put]);
    let archive = Archive { table: &TABLE, s3, bucket: "archive".into() };
    let batch = UnparsedEvent(include_str!("../../../../events/appointments/archive-appointments.json").into());
    let deadline = SystemTime::now() + Duration::from_secs(60);
    let mut context = Context::default();
    context.deadline = deadline.duration_since(UNIX_EPOCH).expect("now is after 1970").as_millis() as u64;
    let response = handle(&archive, &Metrics::new("Registrar"), LambdaEvent::new(batch, context)).await;
    assert!(response.expect("failures are reported, not returned").batch_item_failures.is_empty());
    assert_eq!(put.num_calls(), 1);
}
