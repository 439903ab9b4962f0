//! What a registrar finds beside the file, with S3 replaced at the SDK's HTTP edge.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use aws_sdk_s3::operation::put_object::PutObjectOutput;
use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use aws_sdk_s3::types::Object;
use aws_smithy_mocks::{RuleMode, mock, mock_client};
use lambda_runtime::{Context, Diagnostic, LambdaEvent};
use serde_json::{Value, json};

use crate::handler::{Imports, ReportError, handle};

const PREFIX: &str = "work/imports/2026-autumn.csv/00617F08299329D189";

type Objects = BTreeMap<String, String>;

fn key(name: &str) -> String {
    format!("{PREFIX}/{name}")
}

fn row(line: u64, email: &str) -> String {
    json!({ "line": line, "account": { "email": email, "given_name": "Ada" } }).to_string()
}

fn rejected(line: u64, reason: &str) -> String {
    json!({ "line": line, "account": { "email": "" }, "reason": reason }).to_string()
}

/// An execution as Step Functions exports it.
fn execution(line: u64, status_code: u16, body: &Value) -> Value {
    json!({
        "ExecutionArn": "arn:aws:states:eu-central-1:123456789012:express:import/ImportRows:1:2",
        "Input": row(line, "someone@school.example"),
        "InputDetails": { "Included": true },
        "Name": "1",
        "Output": json!({ "line": line, "statusCode": status_code, "body": body.to_string() }).to_string(),
        "OutputDetails": { "Included": true },
        "Status": "SUCCEEDED",
    })
}

fn created(line: u64) -> Value {
    execution(line, 201, &json!({ "student_id": "s-1" }))
}

/// Reports on what the import wrote; gives the report, when there is one.
async fn report(event: Value, objects: Objects) -> (Result<(), ReportError>, Option<String>) {
    let (listed, served, report) = (objects.clone(), objects, Arc::new(Mutex::new(None)));
    let list = mock!(aws_sdk_s3::Client::list_objects_v2).then_compute_output(move |request| {
        let prefix = request.prefix().expect("there is a prefix");
        // A page for each object.
        let after = request.continuation_token().unwrap_or_default();
        let mut keys = listed.keys().filter(|key| key.starts_with(prefix) && key.as_str() > after);
        let page = ListObjectsV2Output::builder();
        match keys.next() {
            Some(key) => page
                .contents(Object::builder().key(key).build())
                .set_next_continuation_token(keys.next().map(|_| key.clone()))
                .build(),
            None => page.build(),
        }
    });
    let get = mock!(aws_sdk_s3::Client::get_object)
        .match_requests({
            let served = served.clone();
            move |request| request.key().is_some_and(|key| served.contains_key(key))
        })
        .then_compute_output(move |request| {
            let body = &served[request.key().expect("there is a key")];
            GetObjectOutput::builder().body(ByteStream::from(body.clone().into_bytes())).build()
        });
    let missing = mock!(aws_sdk_s3::Client::get_object).then_http_response(|| {
        let status = 403.try_into().expect("it is a status");
        HttpResponse::new(status, SdkBody::from("<Error><Code>AccessDenied</Code></Error>"))
    });
    let put = mock!(aws_sdk_s3::Client::put_object)
        .match_requests(|request| request.key() == Some("imports/2026-autumn.results.csv"))
        .then_compute_output({
            let report = report.clone();
            move |request| {
                let body = request.body().bytes().expect("the body is in memory").to_vec();
                *report.lock().expect("no test panics") = Some(String::from_utf8(body).expect("it is text"));
                PutObjectOutput::builder().build()
            }
        });
    let s3 = mock_client!(aws_sdk_s3, RuleMode::MatchAny, [&list, &get, &missing, &put]);
    let imports = Imports { s3, bucket: "imports".into() };
    let mut import: Value =
        serde_json::from_str(include_str!("../../../events/report-import.json")).expect("the example is JSON");
    for (name, value) in event.as_object().expect("it is an object") {
        import[name] = value.clone();
    }
    let import = serde_json::from_value(import).expect("it is an import");
    let result = handle(&imports, LambdaEvent::new(import, Context::default())).await;
    let report = report.lock().expect("no test panics").clone();
    (result, report)
}

fn import(rows: &[String], rejected: &[String], executions: &[(&str, &[Value])]) -> Objects {
    let mut objects = Objects::from([
        (key("rows.jsonl"), rows.join("\n")),
        (key("rejected.jsonl"), rejected.join("\n")),
        (key("results/1/manifest.json"), "{}".into()),
        (key("results/1/FAILED_0.json"), "[]".into()),
    ]);
    for (name, executions) in executions {
        objects.insert(key(&format!("results/1/{name}")), json!(executions).to_string());
    }
    objects
}

fn lines(report: Option<String>) -> Vec<String> {
    report.expect("there is a report").lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn each_row_has_its_result_in_the_order_of_the_file() {
    let problems = json!({
        "code": "INVALID_ACCOUNT",
        "message": "Some fields are not valid.",
        "problems": [
            { "field": "email", "code": "INVALID_EMAIL", "message": "This is no e-mail address." },
            { "field": "programme", "code": "REQUIRED", "message": "This can't be empty." },
        ],
    });
    let exists = json!({ "code": "ACCOUNT_EXISTS", "message": "There is an account." });
    let objects = import(
        &[
            row(2, "ada@school.example"),
            row(4, "grace@school.example"),
            row(5, "not, an address"),
            row(6, "alan@school.example"),
        ],
        &[rejected(3, "A quotation mark has no partner.")],
        &[
            ("SUCCEEDED_0.json", &[execution(5, 422, &problems), created(2)]),
            ("SUCCEEDED_1.json", &[execution(4, 409, &exists)]),
        ],
    );
    let (result, report) = report(json!({}), objects).await;
    result.expect("it is reported");
    assert_eq!(
        lines(report),
        [
            "line,email,result,reason",
            "2,ada@school.example,created,",
            "3,,rejected,A quotation mark has no partner.",
            "4,grace@school.example,existing,",
            "5,\"not, an address\",rejected,email: This is no e-mail address. programme: This can't be empty.",
            "6,alan@school.example,failed,The account could not be created. Put this row in a file here again later.",
        ]
    );
}

#[tokio::test]
async fn an_import_that_was_stopped_says_so_at_each_row_without_an_answer() {
    let rows = [row(2, "ada@school.example"), row(3, "grace@school.example")];
    let objects = import(&rows, &[], &[("SUCCEEDED_0.json", &[created(2)])]);
    let (result, report) = report(json!({ "outcome": "STOPPED" }), objects).await;
    result.expect("it is reported");
    let lines = lines(report);
    assert_eq!(lines[1], "2,ada@school.example,created,");
    assert!(lines[2].starts_with("3,grace@school.example,failed,\"The import was stopped"), "{}", lines[2]);
}

#[tokio::test]
async fn a_refused_file_and_a_failed_import_have_one_row_that_says_why() {
    for (event, row) in [
        (
            json!({ "outcome": "REFUSED", "reason": "Save it as \"CSV UTF-8\"." }),
            "1,,rejected,\"Save it as \"\"CSV UTF-8\"\".\"",
        ),
        (
            json!({ "outcome": "FAILED" }),
            "1,,failed,Something is wrong at our end. Put the file here again later: accounts that exist stay as they are.",
        ),
    ] {
        let (result, report) = report(event, Objects::new()).await;
        result.expect("it is reported");
        assert_eq!(lines(report), ["line,email,result,reason", row]);
    }
}

#[tokio::test]
async fn what_was_typed_never_becomes_a_formula() {
    let typed = ["=1+1", "+1@school.example", "-1@school.example", "@SUM(A1)", "\t=1", "ada@school.example"];
    let rows: Vec<_> = typed.iter().zip(2..).map(|(email, line)| row(line, email)).collect();
    let (result, report) = report(json!({}), import(&rows, &[], &[])).await;
    result.expect("it is reported");
    let report = report.expect("there is a report");
    let mut reader = csv::Reader::from_reader(report.as_bytes());
    let emails: Vec<_> = reader.records().map(|record| record.expect("it is CSV")[1].to_owned()).collect();
    assert_eq!(
        emails,
        ["'=1+1", "'+1@school.example", "'-1@school.example", "'@SUM(A1)", "'\t=1", "ada@school.example"]
    );
}

#[tokio::test]
async fn an_outage_of_s3_is_retried_by_its_name() {
    let (result, report) = report(json!({}), Objects::new()).await;
    let diagnostic = Diagnostic::from(result.expect_err("there is nothing to read"));
    assert_eq!(diagnostic.error_type, "Unavailable");
    assert_eq!(diagnostic.error_message, "S3: AccessDenied");
    assert_eq!(report, None);
}

#[tokio::test]
async fn results_of_another_form_are_an_error_that_quotes_nothing() {
    let mut objects = import(&[row(2, "ada@school.example")], &[], &[]);
    objects.insert(key("results/1/SUCCEEDED_0.json"), r#"[{"Input": "ada@school.example", "Output": 7}]"#.into());
    let (result, report) = report(json!({}), objects).await;
    let diagnostic = Diagnostic::from(result.expect_err("the output is no text"));
    assert_eq!(diagnostic.error_type, "ReportFailed");
    assert!(diagnostic.error_message.contains("SUCCEEDED_0.json"), "{}", diagnostic.error_message);
    assert!(!diagnostic.error_message.contains("ada@"), "{}", diagnostic.error_message);
    assert_eq!(report, None);
}
