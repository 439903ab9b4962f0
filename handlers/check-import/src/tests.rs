//! What a registrar's file becomes, with S3 replaced at the SDK's HTTP edge.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::operation::put_object::PutObjectOutput;
use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use aws_smithy_mocks::{Rule, RuleMode, mock, mock_client};
use csv::{Terminator, WriterBuilder};
use lambda_runtime::{Context, Diagnostic, LambdaEvent};
use proptest::prelude::*;
use serde_json::{Value, json};
use workflow::Unavailable;

use crate::handler::{Checked, Imports, Upload, handle};
use crate::table::{MAXIMUM_BYTES, MAXIMUM_ROWS, Parts, Refusal, Table};

const HEADER: &str = "email,given_name,family_name,date_of_birth,programme";
const ADA: &str = "ada@school.example,Ada,Lovelace,2005-12-10,mathematics";

fn ada() -> Value {
    json!({
        "email": "ada@school.example",
        "given_name": "Ada",
        "family_name": "Lovelace",
        "date_of_birth": "2005-12-10",
        "programme": "mathematics",
    })
}

fn read(file: impl AsRef<[u8]>) -> Result<Parts, Refusal> {
    let mut table = Table::default();
    for line in file.as_ref().split_inclusive(|byte| *byte == b'\n') {
        table.push(line)?;
    }
    table.finish()
}

fn rows(jsonl: &str) -> Vec<Value> {
    jsonl.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect()
}

fn accounts(file: impl AsRef<[u8]>) -> Vec<Value> {
    rows(&read(file).expect("the file is accepted").accounts)
}

fn rejections(file: impl AsRef<[u8]>) -> Vec<Value> {
    rows(&read(file).expect("the file is accepted").rejections)
}

fn refusal(file: impl AsRef<[u8]>) -> String {
    read(file).expect_err("the file is refused").to_string()
}

#[test]
fn a_file_as_a_spreadsheet_program_writes_it_is_read() {
    let expected = vec![json!({ "line": 2, "account": ada() })];
    for file in [
        format!("{HEADER}\n{ADA}\n"),
        format!("{HEADER}\n{ADA}"),
        format!("{HEADER}\r\n{ADA}\r\n"),
        format!("\u{feff}{HEADER}\r\n{ADA}\r\n"),
        format!("{HEADER}\n{ADA}\n").replace(',', ";"),
        format!("\"{}\"\n\"{}\"\n", HEADER.replace(',', "\",\""), ADA.replace(',', "\",\"")),
        format!("{HEADER},,\n{ADA},,\n"),
        format!("{HEADER}\n{ADA},,\n"),
        format!("{HEADER}\n{ADA}\n\n   \n,,,,\n"),
        format!("E-mail,Given name,FAMILY NAME, Date-of-birth ,Programme\n{ADA}\n"),
        "Programme;Family name;Given name;E-mail;Date of birth\nmathematics;Lovelace;Ada;ada@school.example;2005-12-10\n"
            .into(),
    ] {
        assert_eq!(accounts(&file), expected, "{file}");
        assert_eq!(rejections(&file), Vec::<Value>::new(), "{file}");
    }
}

#[test]
fn a_row_is_numbered_by_its_line_in_the_file() {
    let file = format!("\n{HEADER}\n\n{ADA}\nnot a row\n{ADA}\n");
    let numbers = |rows: Vec<Value>| rows.iter().map(|row| row["line"].as_u64()).collect::<Vec<_>>();
    assert_eq!(numbers(accounts(&file)), [Some(4), Some(6)]);
    assert_eq!(numbers(rejections(&file)), [Some(5)]);
}

#[test]
fn a_bad_row_costs_itself_alone_and_is_explained() {
    for (row, explanation) in [
        ("ada@school.example,Ada,Lovelace", "The fields in this line, 3,"),
        ("ada@school.example,Ada,King, Lovelace,2005-12-10,mathematics", "The fields in this line, 6,"),
        ("ada@school.example,\"Ada,Lovelace,2005-12-10,mathematics", "A quotation mark"),
        ("ada@school.example,Ada,\"King\nLovelace\",2005-12-10,mathematics", "a field has a line break"),
        (&format!("ada@school.example,{},Lovelace,2005-12-10,mathematics", "A".repeat(5000)), "too long"),
    ] {
        let file = format!("{HEADER}\n{row}\n{ADA}\n");
        let rejected = rejections(&file);
        assert_eq!(rejected[0]["account"], json!({ "email": "ada@school.example" }), "{row}");
        let reason = rejected[0]["reason"].as_str().expect("there is a reason");
        assert!(reason.contains(explanation), "{row}: {reason}");
        assert_eq!(accounts(&file)[0]["account"], ada(), "{row}");
    }
}

#[test]
fn a_file_that_can_not_be_imported_is_refused_with_what_to_do() {
    let latin_1 = [HEADER.as_bytes(), b"\nada@school.example,Ad\xe9,Lovelace,2005-12-10,mathematics\n"].concat();
    let utf_16 = HEADER.encode_utf16().flat_map(u16::to_le_bytes);
    let utf_16: Vec<u8> = b"\xff\xfe".iter().copied().chain(utf_16).collect();
    for (file, explanations) in [
        (&b""[..], &["has no rows"][..]),
        (b"\xef\xbb\xbf", &["has no rows"]),
        (HEADER.as_bytes(), &["has no rows"]),
        (b"PK\x03\x04 and so on\n", &["spreadsheet", "CSV UTF-8"]),
        (b"\xd0\xcf\x11\xe0 and so on\n", &["spreadsheet", "CSV UTF-8"]),
        (&latin_1, &["Line 2", "CSV UTF-8"]),
        (&utf_16, &["Line 1", "CSV UTF-8"]),
        (b"\x89PNG\r\n\x1a\n", &["Line 1", "CSV UTF-8"]),
        (ADA.as_bytes(), &["Missing: email, given_name", "Unknown: ada@school.example, Ada"]),
        (b"email,given_name,date_of_birth,programme\n", &["Missing: family_name."]),
        (b"email,given_name,family_name,date_of_birth,programme,phone\n", &["Unknown: phone."]),
        (b"email,E-Mail,given_name,family_name,date_of_birth,programme\n", &["Twice: email."]),
        (&[b'x'; 10_000], &["too long"]),
    ] {
        let refusal = refusal(file);
        for explanation in explanations {
            assert!(refusal.contains(explanation), "{refusal}");
        }
    }
}

#[test]
fn a_hundred_thousand_rows_are_imported_and_one_more_is_refused() {
    let mut file = format!("{HEADER}\n{}", format!("{ADA}\n").repeat(MAXIMUM_ROWS));
    assert_eq!(read(&file).expect("the file is accepted").rows, MAXIMUM_ROWS);
    file.push_str("a row that can't be read\n");
    assert!(refusal(&file).contains("Split it"));
}

proptest! {
    #[test]
    fn any_table_of_texts_comes_out_row_for_row(
        // A line break within a field is refused; a row of blanks is skipped; a byte order mark is no text.
        table in prop::collection::vec(prop::array::uniform5("[^\n\u{feff}]{0,8}"), 1..20),
        byte_order_mark in any::<bool>(),
        semicolon in any::<bool>(),
        crlf in any::<bool>(),
    ) {
        let mut writer = WriterBuilder::new()
            .delimiter(if semicolon { b';' } else { b',' })
            .terminator(if crlf { Terminator::CRLF } else { Terminator::Any(b'\n') })
            .from_writer(if byte_order_mark { "\u{feff}".as_bytes().to_vec() } else { Vec::new() });
        writer.write_record(HEADER.split(',')).expect("memory takes it");
        for row in &table {
            writer.write_record(row).expect("memory takes it");
        }
        let file = writer.into_inner().expect("memory takes it");
        let has_text = |row: &[String; 5]| row.iter().any(|text| !text.trim().is_empty());
        let expected: Vec<_> = table.iter().zip(2..).filter(|(row, _)| has_text(row)).collect();
        match read(&file) {
            Ok(parts) => {
                prop_assert_eq!(parts.rejections, "");
                let rows = rows(&parts.accounts);
                prop_assert_eq!(rows.len(), expected.len());
                for (row, (texts, line)) in rows.iter().zip(expected) {
                    prop_assert_eq!(&row["line"], line);
                    for (column, text) in HEADER.split(',').zip(texts) {
                        prop_assert_eq!(&row["account"][column], text);
                    }
                }
            }
            Err(refusal) => {
                prop_assert_eq!(refusal, Refusal::NoRows);
                prop_assert!(expected.is_empty());
            }
        }
    }
}

type Written = Arc<Mutex<HashMap<String, String>>>;

/// S3 with this file, and what was put into it.
async fn check(get_object: Rule) -> (Result<Checked, Unavailable>, HashMap<String, String>) {
    let written = Written::default();
    let puts = written.clone();
    let put_object = mock!(aws_sdk_s3::Client::put_object).then_compute_output(move |request| {
        let key = request.key().expect("there is a key").to_owned();
        let body = request.body().bytes().expect("the body is in memory").to_vec();
        puts.lock().expect("no test panics").insert(key, String::from_utf8(body).expect("it is text"));
        PutObjectOutput::builder().build()
    });
    let s3 = mock_client!(aws_sdk_s3, RuleMode::MatchAny, [&get_object, &put_object]);
    let imports = Imports { s3, bucket: "imports".into() };
    let upload: Upload =
        serde_json::from_str(include_str!("../../../events/check-import.json")).expect("the example is an upload");
    let checked = handle(&imports, LambdaEvent::new(upload, Context::default())).await;
    let written = written.lock().expect("no test panics").clone();
    (checked, written)
}

fn serves(file: String, content_length: i64) -> Rule {
    mock!(aws_sdk_s3::Client::get_object)
        .match_requests(|request| {
            request.key() == Some("imports/2026-autumn.csv")
                && request.if_match() == Some("96988f89fd2c5e09db01476c4ebddad6")
        })
        .then_compute_output(move |_| {
            let body = ByteStream::from(file.clone().into_bytes());
            GetObjectOutput::builder().content_length(content_length).body(body).build()
        })
}

fn answers(status: u16, body: &'static str) -> Rule {
    mock!(aws_sdk_s3::Client::get_object)
        .then_http_response(move || HttpResponse::new(status.try_into().expect("it is a status"), SdkBody::from(body)))
}

#[tokio::test]
async fn the_rows_are_written_where_the_import_looks_for_them() {
    let file = format!("{HEADER}\n{ADA}\nnot a row\n");
    let (checked, written) = check(serves(file.clone(), file.len() as i64)).await;
    assert_eq!(checked.expect("S3 answers"), Checked::Ready { rows: 1 });
    let prefix = "work/imports/2026-autumn.csv/00617F08299329D189";
    assert_eq!(rows(&written[&format!("{prefix}/rows.jsonl")])[0]["account"], ada());
    assert_eq!(rows(&written[&format!("{prefix}/rejected.jsonl")])[0]["line"], 3);
    assert_eq!(written.len(), 2);
}

#[tokio::test]
async fn a_file_too_large_is_refused_unread() {
    let (checked, written) = check(serves(String::new(), MAXIMUM_BYTES + 1)).await;
    let Checked::Refused { reason } = checked.expect("S3 answers") else { panic!("it is not refused") };
    assert!(reason.contains("more than 20 MB"), "{reason}");
    assert!(written.is_empty());
}

#[tokio::test]
async fn a_file_overwritten_since_is_left_to_its_newer_event() {
    let (checked, written) = check(answers(412, "<Error><Code>PreconditionFailed</Code></Error>")).await;
    assert_eq!(checked.expect("it is no error"), Checked::Overwritten);
    assert!(written.is_empty());
}

#[tokio::test]
async fn an_outage_of_s3_is_retried_by_its_name() {
    let (checked, _) = check(answers(503, "<Error><Code>SlowDown</Code></Error>")).await;
    let diagnostic = Diagnostic::from(checked.expect_err("it fails"));
    assert_eq!(diagnostic.error_type, "Unavailable");
    assert_eq!(diagnostic.error_message, "S3: SlowDown");
}
