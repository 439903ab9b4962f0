//! Cognito's trigger before it generates tokens, event version 1: it can change the claims of the ID token.
//! <https://docs.aws.amazon.com/cognito/latest/developerguide/user-pool-lambda-pre-token-generation.html>

use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use entitlements::Entitlements;
use lambda_runtime::LambdaEvent;
use powertools::metrics::{Metrics, Unit};
use serde_json::{Map, Value, json};
use tracing::error;

/// The time for the lookup with its retries. Cognito waits 5 s for the whole function, and a failure would keep the
/// student from signing in:
/// <https://docs.aws.amazon.com/cognito/latest/developerguide/cognito-user-pools-working-with-lambda-triggers.html#important-lambda-considerations>
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(2);

/// The time for one attempt, so that there is time for a second one.
const ATTEMPT_TIMEOUT: Duration = Duration::from_millis(900);

/// The timeouts of the client of DynamoDB.
pub fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder().operation_timeout(LOOKUP_TIMEOUT).operation_attempt_timeout(ATTEMPT_TIMEOUT).build()
}

/// Returns the event with the claim `paid_until`, the Unix time in seconds, if the student has ever paid.
///
/// If the table can't be read, the student signs in without the claim. Groups stay as they are, because the response
/// has no `groupOverrideDetails`.
pub async fn handle(
    entitlements: &Entitlements,
    metrics: &Metrics,
    event: LambdaEvent<Map<String, Value>>,
) -> Map<String, Value> {
    let mut event = event.payload;
    // Staff have no student id.
    let Some(student_id) =
        event.get("request").and_then(|request| request["userAttributes"]["custom:student_id"].as_str())
    else {
        return event;
    };
    match entitlements.paid_until(student_id).await {
        Ok(Some(paid_until)) => {
            let claims = json!({"paid_until": paid_until.to_string()});
            let response = json!({"claimsOverrideDetails": {"claimsToAddOrOverride": claims}});
            event.insert("response".into(), response);
        }
        Ok(None) => {}
        Err(error) => {
            error!(%error, student_id, "entitlement not read: the student signs in without the claim");
            metrics.add("EntitlementLookupFailures", Unit::Count, 1.0);
        }
    }
    event
}
