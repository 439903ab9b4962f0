//! Results of a map, as another version of Step Functions or a mistake could write them. They become a report or an
//! error.

use std::sync::{LazyLock, Mutex};

use arbitrary::Arbitrary;
use fuzzing::{event, services, wait};
use report_import::handler::{Imports, handle};
use serde_json::json;

#[derive(Arbitrary, Debug)]
enum Results {
    Text(String),
    Executions(Vec<Execution>),
}

#[derive(Arbitrary, Debug)]
struct Execution {
    line: u64,
    status_code: u16,
    body: Body,
}

#[derive(Arbitrary, Debug)]
enum Body {
    Text(String),
    Problems(Vec<(String, String)>),
}

static RESULTS: Mutex<String> = Mutex::new(String::new());

const LISTING: &str =
    "<ListBucketResult><Contents><Key>work/a/results/1/SUCCEEDED_0.json</Key></Contents></ListBucketResult>";

static IMPORTS: LazyLock<Imports> = LazyLock::new(|| {
    let services = services(|method, path, _| match (method, path) {
        ("PUT", _) => (200, Vec::new()),
        (_, "/") => (200, LISTING.into()),
        (_, "/work/a/report.jsonl") => (
            200,
            br#"{"line": 2, "email": "a"}
                {"line": 3, "email": "=b", "result": "rejected", "reason": "r"}"#
                .to_vec(),
        ),
        _ => (200, RESULTS.lock().expect("nobody panics with it").clone().into()),
    });
    Imports { s3: aws_sdk_s3::Client::new(&services), bucket: "imports".into() }
});

fn execution(Execution { line, status_code, body }: Execution) -> serde_json::Value {
    let body = match body {
        Body::Text(text) => text,
        Body::Problems(problems) => {
            let problem = |(field, message)| json!({ "field": field, "message": message });
            json!({ "problems": problems.into_iter().map(problem).collect::<Vec<_>>() }).to_string()
        }
    };
    json!({ "Output": json!({ "line": line, "statusCode": status_code, "body": body }).to_string() })
}

/// Checks the promise above.
pub fn check(data: &[u8]) {
    let Some(results) = fuzzing::input::<Results>(data) else { return };
    *RESULTS.lock().expect("nobody panics with it") = match results {
        Results::Text(text) => text,
        Results::Executions(executions) => {
            executions.into_iter().map(execution).collect::<serde_json::Value>().to_string()
        }
    };
    let import = json!({
        "outcome": "IMPORTED",
        "results_key": "results/a.csv",
        "work_prefix": "work/a",
        "form": { "separator": ";", "is_utf_16": true },
    });
    // Unexpected results may cause an error.
    let _ = wait(handle(&IMPORTS, event(serde_json::from_value(import).expect("it is an import"))));
}
