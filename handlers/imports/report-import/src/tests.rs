//! The file of results, with S3 replaced at the SDK's HTTP edge.

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
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::handler::{Imports, ReportError, handle};

const PREFIX: &str = "work/imports/2026-autumn.csv/IYV3p45BT0ac8hjHg1houSdS1a.Mro8e";

const RESULTS: &str = "results/2026-autumn.csv.2026-11-29T201937Z.IYV3p45BT0ac8hjHg1houSdS1a.Mro8e.csv";

type Objects = BTreeMap<String, String>;

fn key(name: &str) -> String {
    format!("{PREFIX}/{name}")
}

fn row(line: u64, email: &str) -> String {
    json!({ "line": line, "email": email }).to_string()
}

fn rejected(line: u64, result: &str, reason: &str) -> String {
    json!({ "line": line, "email": "", "result": result, "reason": reason }).to_string()
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

/// Reports on an import with these objects; returns the file of results, if it was written.
async fn report(event: Value, objects: Objects) -> (Result<(), ReportError>, Option<Vec<u8>>) {
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
        .match_requests(|request| request.key() == Some(RESULTS))
        .then_compute_output({
            let report = report.clone();
            move |request| {
                let body = request.body().bytes().expect("the body is in memory").to_vec();
                *report.lock().expect("no test panics") = Some(body);
                PutObjectOutput::builder().build()
            }
        });
    let s3 = mock_client!(aws_sdk_s3, RuleMode::MatchAny, [&list, &get, &missing, &put]);
    let imports = Imports { s3, bucket: "imports".into() };
    let mut import: Value = serde_json::from_str(include_str!("../../../../events/imports/report-import.json"))
        .expect("the example is JSON");
    import["outcome"] = json!("IMPORTED");
    for (name, value) in event.as_object().expect("it is an object") {
        import[name] = value.clone();
    }
    let import = serde_json::from_value(import).expect("it is an import");
    let result = handle(&imports, LambdaEvent::new(import, Context::default())).await;
    let report = report.lock().expect("no test panics").clone();
    (result, report)
}

fn import(rows: &[String], executions: &[(&str, &[Value])]) -> Objects {
    let mut objects = Objects::from([
        (key("report.jsonl"), rows.join("\n")),
        (key("results/1/manifest.json"), "{}".into()),
        (key("results/1/FAILED_0.json"), "[]".into()),
    ]);
    for (name, executions) in executions {
        objects.insert(key(&format!("results/1/{name}")), json!(executions).to_string());
    }
    objects
}

fn lines(report: Option<Vec<u8>>) -> Vec<String> {
    let report = String::from_utf8(report.expect("there is a report")).expect("it is text");
    let report = report.strip_prefix('\u{feff}').expect("there is a byte order mark");
    report.split_terminator("\r\n").map(str::to_owned).collect()
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
            rejected(3, "rejected", "A quotation mark has no partner."),
            row(4, "grace@school.example"),
            row(5, ""),
            row(6, "alan@school.example"),
            rejected(7, "duplicate", "Line 2 has the same address."),
        ],
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
            "5,,rejected,email: This is no e-mail address. programme: This can't be empty.",
            "6,alan@school.example,failed,The account could not be created. Upload this row again later.",
            "7,,duplicate,Line 2 has the same address.",
        ]
    );
}

#[tokio::test]
async fn each_row_without_an_answer_of_a_stopped_import_says_so() {
    let rows = [row(2, "ada@school.example"), row(3, "grace@school.example")];
    let objects = import(&rows, &[("SUCCEEDED_0.json", &[created(2)])]);
    let (result, report) = report(json!({ "outcome": "STOPPED" }), objects).await;
    result.expect("it is reported");
    let lines = lines(report);
    assert_eq!(lines[1], "2,ada@school.example,created,");
    assert!(lines[2].starts_with("3,grace@school.example,failed,The import was stopped"), "{}", lines[2]);
}

#[tokio::test]
async fn a_refused_file_and_a_failed_import_have_one_row_that_says_why() {
    for (event, row) in [
        (
            json!({ "outcome": "REFUSED", "reason": "Save it as \"CSV UTF-8\"." }),
            "1,,rejected,\"Save it as \"\"CSV UTF-8\"\".\"",
        ),
        (
            json!({ "outcome": "OVERWRITTEN" }),
            "1,,rejected,The file was overwritten or deleted before its import started. A newer version has its own results.",
        ),
        (
            json!({ "outcome": "FAILED" }),
            "1,,failed,The import failed because of an error on our side. Upload the file again later: existing accounts do not change.",
        ),
    ] {
        let (result, report) = report(event, Objects::new()).await;
        result.expect("it is reported");
        assert_eq!(lines(report), ["line,email,result,reason", row]);
    }
}

#[tokio::test]
async fn results_are_written_as_the_file_was() {
    let rows = [row(2, "ada@school.example"), rejected(3, "rejected", "One, two; three.")];
    for (separator, is_utf_16) in [(';', false), ('\t', true)] {
        let form = json!({ "separator": separator, "is_utf_16": is_utf_16 });
        let objects = import(&rows, &[("SUCCEEDED_0.json", &[created(2)])]);
        let (result, report) = report(json!({ "form": form }), objects).await;
        result.expect("it is reported");
        let quotation_mark = if separator == ';' { "\"" } else { "" };
        let expected = format!(
            "\u{feff}line,email,result,reason\r\n2,ada@school.example,created,\r\n\
             3,,rejected,{quotation_mark}One{{comma}} two; three.{quotation_mark}\r\n"
        );
        let expected = expected.replace(',', &separator.to_string()).replace("{comma}", ",");
        let expected = match is_utf_16 {
            true => expected.encode_utf16().flat_map(u16::to_le_bytes).collect(),
            false => expected.into_bytes(),
        };
        assert_eq!(report, Some(expected));
    }
}

/// Characters that must not start a cell: <https://owasp.org/www-community/attacks/CSV_Injection>, and full-width forms.
const FORMULAS: &str = "=+-@＝＋－＠";

/// The cells for a program that assumes this separator, however it reads quotation marks.
fn cells(report: &str, separator: char) -> Vec<String> {
    let unquoted = report.split([separator, '\r', '\n']).map(str::to_owned);
    let mut reader = csv::ReaderBuilder::new();
    let mut reader = reader.delimiter(separator as u8).has_headers(false).flexible(true).from_reader(report.as_bytes());
    let quoted = reader.records().flat_map(|record| {
        let record = record.expect("it is text");
        record.iter().map(str::to_owned).collect::<Vec<_>>()
    });
    unquoted.chain(quoted.collect::<Vec<_>>()).collect()
}

fn assert_no_formula(emails: &[String], form: char) {
    let rows: Vec<_> = emails.iter().zip(2..).map(|(email, line)| row(line, email)).collect();
    let event = json!({ "form": { "separator": form, "is_utf_16": false } });
    let (result, report) = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("there are resources for it")
        .block_on(report(event, import(&rows, &[])));
    result.expect("it is reported");
    let report = String::from_utf8(report.expect("there is a report")).expect("it is text");
    for separator in [',', ';', '\t', '|', ':', ' '] {
        for cell in cells(&report, separator) {
            let start = cell.trim_start_matches(|c: char| c.is_whitespace() || c.is_control() || c == '"');
            assert!(!start.starts_with(|c| FORMULAS.contains(c)), "{cell:?}, separated by {separator:?}: {emails:?}");
        }
    }
}

#[test]
fn no_address_becomes_a_formula() {
    let emails = [
        "=1+1",
        "+1@school.example",
        "-1@school.example",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "\n=1",
        " =1+1",
        "a;=1+1",
        "a,=1+1",
        "a\t=1+1",
        "|=1+1",
        "a|=1+1@school.example",
        "=1+2\";=1+2",
        "=1+2'\" ;,=1+2",
        "a;\"=1+1\"",
        "=cmd|'/c calc'!A0",
        "＝1+1",
        "a;＋1",
        "\u{a0}=1",
        "\u{200b}=1",
        "",
    ]
    .map(str::to_owned);
    for form in [',', ';', '\t', '|'] {
        assert_no_formula(&emails, form);
    }
}

#[tokio::test]
async fn an_address_is_written_as_it_is() {
    let (result, report) = report(json!({}), import(&[row(2, "o'brien+a.b-c@school.example")], &[])).await;
    result.expect("it is reported");
    assert!(lines(report)[1].starts_with("2,o'brien+a.b-c@school.example,failed,"));
}

proptest! {
    #[test]
    fn no_text_becomes_a_formula(
        emails in prop::collection::vec("[=+@＝a1;,|: \t\r\n\"'\\-]{0,8}|\\PC{0,8}", 1..10),
        form in prop::sample::select(&[',', ';', '\t', '|'][..]),
    ) {
        assert_no_formula(&emails, form);
    }
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
    let mut objects = import(&[row(2, "ada@school.example")], &[]);
    objects.insert(key("results/1/SUCCEEDED_0.json"), r#"[{"Input": "ada@school.example", "Output": 7}]"#.into());
    let (result, report) = report(json!({}), objects).await;
    let diagnostic = Diagnostic::from(result.expect_err("the output is no text"));
    assert_eq!(diagnostic.error_type, "ReportFailed");
    assert!(diagnostic.error_message.contains("SUCCEEDED_0.json"), "{}", diagnostic.error_message);
    assert!(!diagnostic.error_message.contains("ada@"), "{}", diagnostic.error_message);
    assert_eq!(report, None);
}
