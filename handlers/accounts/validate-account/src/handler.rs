//! Turns a request into an account, or into the list of its problems.

use std::convert::Infallible;
use std::time::SystemTime;

use accounts::{Account, AccountRequest, Problem};
use chrono::{DateTime, Utc};
use lambda_runtime::LambdaEvent;
use powertools::tracer;
use serde::Serialize;
use tracing::info;

/// The result for a request. An invalid request is a result, not an error of the function.
#[derive(Debug, PartialEq, Serialize)]
#[serde(tag = "outcome", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Validation {
    Valid { account: Account },
    Invalid { problems: Vec<Problem> },
}

pub async fn handle(event: LambdaEvent<AccountRequest>) -> Result<Validation, Infallible> {
    let today = DateTime::<Utc>::from(SystemTime::now()).date_naive();
    let (validation, outcome) = match accounts::validate(&event.payload, today) {
        Ok(account) => {
            info!("request accepted");
            (Validation::Valid { account }, "VALID")
        }
        Err(problems) => {
            // The fields and their problems' codes, not their values.
            let codes: Vec<_> = problems.iter().map(|p| format!("{}: {}", p.field, p.code)).collect();
            info!(problems = codes.join(", "), "request refused");
            (Validation::Invalid { problems }, "INVALID")
        }
    };
    tracer::annotate("outcome", outcome);
    Ok(validation)
}

#[cfg(test)]
mod tests {
    use lambda_runtime::Context;
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn the_example_event_is_valid() {
        let request = serde_json::from_str(include_str!("../../../../events/accounts/validate-account.json"))
            .expect("the example is a request");
        let validation = handle(LambdaEvent::new(request, Context::default())).await.expect("it can't fail");
        let account = json!({
            "email": "ada@school.example", "given_name": "Ada", "family_name": "Lovelace",
            "date_of_birth": "2005-12-10", "programme": "mathematics",
        });
        assert_eq!(
            serde_json::to_value(validation).expect("it is JSON"),
            json!({"outcome": "VALID", "account": account})
        );
    }
}
