//! The results of a registrar's file, with S3 replaced at the SDK's HTTP edge.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::operation::put_object::PutObjectOutput;
use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use aws_services::Unavailable;
use aws_smithy_mocks::{Rule, RuleMode, mock, mock_client};
use csv::{Terminator, WriterBuilder};
use lambda_runtime::{Context, Diagnostic, LambdaEvent};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::handler::{Checked, Imports, Upload, handle};
use crate::table::{Form, MAXIMUM_BYTES, MAXIMUM_ROWS, Parts, Refusal, Table};

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
    // Pieces that end within characters and line breaks.
    for piece in file.as_ref().chunks(5) {
        table.push(piece)?;
    }
    table.finish()
}

fn rows(jsonl: &str) -> Vec<Value> {
    jsonl.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect()
}

fn accounts(file: impl AsRef<[u8]>) -> Vec<Value> {
    rows(&read(file).expect("the file is accepted").accounts)
}

/// The lines of the report about rows that are not imported.
fn rejections(file: impl AsRef<[u8]>) -> Vec<Value> {
    let report = rows(&read(file).expect("the file is accepted").report);
    report.into_iter().filter(|row| row.get("result").is_some()).collect()
}

fn utf_16(text: &str, unit: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(unit).collect()
}

fn refusal(file: impl AsRef<[u8]>) -> String {
    read(file).expect_err("the file is refused").to_string()
}

/// A file, its field separator, and whether it is in UTF-16.
type Dialect = (&'static str, Vec<u8>, char, bool);

/// The same table as different programs save it.
fn dialects() -> Vec<Dialect> {
    let lines = |header: &str, ada: &str, end: &str| format!("{header}{end}{ada}{end}");
    let separated = |separator: &str, end: &str| lines(HEADER, ADA, end).replace(',', separator);
    let tabs = separated("\t", "\r\n");
    let quoted = |text: &str| format!("\"{}\"", text.replace(',', "\",\""));
    vec![
        ("Google Sheets, .csv", separated(",", "\r\n").into(), ',', false),
        ("Google Sheets, .tsv", tabs.clone().into(), '\t', false),
        ("Excel, CSV UTF-8", format!("\u{feff}{}", separated(",", "\r\n")).into(), ',', false),
        (
            "Excel in a country of decimal commas, CSV UTF-8",
            format!("\u{feff}{}", separated(";", "\r\n")).into(),
            ';',
            false,
        ),
        ("Excel, Unicode Text", utf_16(&format!("\u{feff}{tabs}"), u16::to_le_bytes), '\t', true),
        ("Excel, CSV (Macintosh)", separated(",", "\r").into(), ',', false),
        ("LibreOffice", separated(",", "\n").into(), ',', false),
        ("LibreOffice, all fields quoted", lines(&quoted(HEADER), &quoted(ADA), "\n").into(), ',', false),
        ("LibreOffice, UTF-16", utf_16(&format!("\u{feff}{}", separated(",", "\n")), u16::to_le_bytes), ',', true),
        ("UTF-16, little-endian, no byte order mark", utf_16(&tabs, u16::to_le_bytes), '\t', true),
        ("UTF-16, big-endian", utf_16(&format!("\u{feff}{tabs}"), u16::to_be_bytes), '\t', true),
        ("UTF-16, big-endian, no byte order mark", utf_16(&tabs, u16::to_be_bytes), '\t', true),
        ("with bars", separated("|", "\n").into(), '|', false),
        ("no line break at the end", format!("{HEADER}\n{ADA}").into(), ',', false),
        ("empty columns and rows", format!("{HEADER},,\n{ADA},,\n\n   \n,,,,\n").into(), ',', false),
        ("empty columns in the rows alone", format!("{HEADER}\n{ADA},,\n").into(), ',', false),
        (
            "the form's words",
            lines("E-mail address,Given name,FAMILY NAME, Date-of-birth ,Program", ADA, "\n").into(),
            ',',
            false,
        ),
        (
            "another order",
            "Programme;Family name;Given name;E-mail;Date of birth\n\
             mathematics;Lovelace;Ada;ada@school.example;2005-12-10\n"
                .into(),
            ';',
            false,
        ),
    ]
}

#[test]
fn a_file_is_read_as_programs_save_it() {
    for (program, file, separator, is_utf_16) in dialects() {
        let mut table = Table::default();
        table.push(&file).expect(program);
        let parts = table.finish().expect(program);
        assert_eq!(rows(&parts.accounts), [json!({ "line": 2, "account": ada() })], "{program}");
        assert_eq!(rows(&parts.report), [json!({ "line": 2, "email": "ada@school.example" })], "{program}");
        assert_eq!(table.form(), Form { separator, is_utf_16 }, "{program}");
        assert_eq!(accounts(&file), rows(&parts.accounts), "{program}, in pieces");
    }
}

#[test]
fn a_line_that_names_the_separator_is_no_header() {
    for first in ["sep=;", "\u{feff}SEP=;", "\"sep=;\"", "sep=;;;;;"] {
        let file = format!("{first}\r\n{HEADER}\r\n{ADA}\r\n").replace(',', ";");
        assert_eq!(accounts(&file), [json!({ "line": 3, "account": ada() })], "{first}");
    }
}

#[test]
fn the_first_of_several_rows_with_the_same_address_is_imported() {
    let others = ADA.split_once(',').expect("it has commas").1;
    let file = format!(
        "{HEADER}\nada@münchen.example,{others}\n no address ,{others}\n ADA@Xn--Mnchen-3ya.example,{others}\n\
         no address,{others}\nada@MÜNCHEN.example,{others}\n"
    );
    let lines: Vec<_> = accounts(&file).iter().map(|row| row["line"].clone()).collect();
    assert_eq!(lines, [2, 3, 5]);
    let rejections = rejections(&file);
    assert_eq!(rejections.len(), 2);
    for (rejection, line) in rejections.iter().zip([4, 6]) {
        assert_eq!(rejection["line"], line);
        assert_eq!(rejection["email"], "ada@xn--mnchen-3ya.example");
        assert_eq!(rejection["result"], "duplicate");
        let reason = rejection["reason"].as_str().expect("there is a reason");
        assert!(reason.contains("Line 2 has the same address"), "{reason}");
    }
}

#[test]
fn a_row_is_numbered_by_its_line_in_the_file() {
    let file = format!("\n{HEADER}\n\n{ADA}\nnot a row\n{}\n", ADA.replace("ada@", "grace@"));
    let numbers = |rows: Vec<Value>| rows.iter().map(|row| row["line"].as_u64()).collect::<Vec<_>>();
    assert_eq!(numbers(accounts(&file)), [Some(4), Some(6)]);
    assert_eq!(numbers(rejections(&file)), [Some(5)]);
}

#[test]
fn an_invalid_row_is_rejected_alone_with_a_reason() {
    for (row, explanation) in [
        ("ada@school.example,Ada,Lovelace", "The number of fields in this line, 3,"),
        ("ada@school.example,Ada,King, Lovelace,2005-12-10,mathematics", "The number of fields in this line, 6,"),
        ("ada@school.example,\"Ada,Lovelace,2005-12-10,mathematics", "A quotation mark"),
        ("ada@school.example,Ada,\"King\nLovelace\",2005-12-10,mathematics", "a field contains a line break"),
        (&format!("ada@school.example,{},Lovelace,2005-12-10,mathematics", "A".repeat(5000)), "too long"),
        (&",".repeat(5000), "too long"),
        ("ada@school.example,Zo\u{fffd},Lovelace,2005-12-10,mathematics", "A character was lost"),
        ("ada@school.example,Ada\u{0},Lovelace,2005-12-10,mathematics", "control character"),
        ("ada@school.example;Ada;Lovelace;2005-12-10;mathematics", "The number of fields in this line, 1,"),
    ] {
        let file = format!("{HEADER}\n{row}\n{ADA}\n");
        let rejected = rejections(&file);
        assert_eq!(rejected[0]["email"], "", "{row}");
        assert_eq!(rejected[0]["result"], "rejected", "{row}");
        let reason = rejected[0]["reason"].as_str().expect("there is a reason");
        assert!(reason.contains(explanation), "{row}: {reason}");
        assert!(!reason.contains("Ada") && !reason.contains("ada@"), "{row}: {reason}");
        assert_eq!(accounts(&file)[0]["account"], ada(), "{row}");
    }
}

#[test]
fn a_file_that_can_not_be_imported_is_refused_with_what_to_do() {
    let latin_1 = [HEADER.as_bytes(), b"\nada@school.example,Ad\xe9,Lovelace,2005-12-10,mathematics\n"].concat();
    let mut broken_utf_16 = utf_16(&format!("{HEADER}\n{ADA}\n"), u16::to_le_bytes);
    broken_utf_16.extend(0xd800_u16.to_le_bytes());
    let half_a_character = [HEADER.as_bytes(), b"\nZo\xc3"].concat();
    let commas = vec![b','; 1_000_000];
    for (file, explanations) in [
        (&b""[..], &["has no rows"][..]),
        (b"\xef\xbb\xbf", &["has no rows"]),
        (HEADER.as_bytes(), &["has no rows"]),
        (b"PK\x03\x04 and so on\n", &["spreadsheet", "CSV UTF-8"]),
        (b"\xd0\xcf\x11\xe0 and so on\n", &["spreadsheet", "CSV UTF-8"]),
        (&latin_1, &["Line 2", "CSV UTF-8"]),
        (&broken_utf_16, &["Line 3", "CSV UTF-8"]),
        (&half_a_character, &["Line 2", "CSV UTF-8"]),
        (b"\x89PNG\r\n\x1a\n", &["Line 1", "CSV UTF-8"]),
        (b"PK\x03", &["contains none of them"]),
        (ADA.as_bytes(), &["contains none of them", "commas, semicolons, tabs or |"]),
        (b"email,given_name,date_of_birth,programme\n", &["Missing: family_name."]),
        (b"email,given_name,family_name,date_of_birth,programme,phone\n", &["Unknown: column 6."]),
        (b"email,E-Mail,given_name,family_name,date_of_birth,programme\n", &["Twice: email."]),
        (&[b'x'; 10_000], &["too long"]),
        (&commas, &["too long"]),
    ] {
        let refusal = refusal(file);
        assert!(!refusal.contains("Ada") && !refusal.contains("ada@"), "{refusal}");
        for explanation in explanations {
            assert!(refusal.contains(explanation), "{refusal}");
        }
    }
}

#[test]
fn a_hundred_thousand_rows_are_imported_and_one_more_is_refused() {
    let mut file = format!("{HEADER}\n{}", format!("{ADA}\n").repeat(MAXIMUM_ROWS));
    let parts = read(&file).expect("the file is accepted");
    assert_eq!(parts.rows + parts.rejected, MAXIMUM_ROWS);
    file.push_str("a row that can't be read\n");
    assert!(refusal(&file).contains("Split it"));
}

proptest! {
    #[test]
    fn any_table_of_texts_comes_out_row_for_row(
        // Without control characters (refused), rows of blanks (skipped) and byte order marks (removed).
        table in prop::collection::vec(prop::array::uniform5("([^\\p{Cc}\u{feff}\u{fffd}]|\t){0,8}"), 1..20),
        byte_order_mark in any::<bool>(),
        separator in prop::sample::select(&b",;\t|"[..]),
        crlf in any::<bool>(),
        in_utf_16 in any::<bool>(),
    ) {
        let mut writer = WriterBuilder::new()
            .delimiter(separator)
            .terminator(if crlf { Terminator::CRLF } else { Terminator::Any(b'\n') })
            .from_writer(if byte_order_mark { "\u{feff}".as_bytes().to_vec() } else { Vec::new() });
        writer.write_record(HEADER.split(',')).expect("memory takes it");
        for row in &table {
            writer.write_record(row).expect("memory takes it");
        }
        let mut file = writer.into_inner().expect("memory takes it");
        if in_utf_16 {
            file = utf_16(str::from_utf8(&file).expect("it is text"), u16::to_le_bytes);
        }
        let has_text = |row: &[String; 5]| row.iter().any(|text| !text.trim().is_empty());
        let expected: Vec<_> = table.iter().zip(2..).filter(|(row, _)| has_text(row)).collect();
        match read(&file) {
            Ok(parts) => {
                prop_assert_eq!(parts.rejected, 0);
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

/// Checks a file in S3; returns the result and the written objects.
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
    let upload: Upload = serde_json::from_str(include_str!("../../../../events/imports/check-import.json"))
        .expect("the example is an upload");
    let checked = handle(&imports, LambdaEvent::new(upload, Context::default())).await;
    let written = written.lock().expect("no test panics").clone();
    (checked, written)
}

const VERSION_ID: &str = "IYV3p45BT0ac8hjHg1houSdS1a.Mro8e";

fn serves(file: impl Into<Vec<u8>>, version_id: &'static str) -> Rule {
    let file = file.into();
    mock!(aws_sdk_s3::Client::get_object)
        .match_requests(|request| request.key() == Some("imports/2026-autumn.csv"))
        .then_compute_output(move |_| {
            GetObjectOutput::builder().version_id(version_id).body(ByteStream::from(file.clone())).build()
        })
}

fn answers(status: u16, body: &'static str) -> Rule {
    mock!(aws_sdk_s3::Client::get_object)
        .then_http_response(move || HttpResponse::new(status.try_into().expect("it is a status"), SdkBody::from(body)))
}

#[tokio::test]
async fn the_rows_are_written_where_the_import_looks_for_them() {
    let (checked, written) = check(serves(format!("{HEADER}\n{ADA}\nnot a row\n"), VERSION_ID)).await;
    let form = Form { separator: ',', is_utf_16: false };
    assert_eq!(checked.expect("S3 answers"), Checked::Ready { rows: 1, form });
    let prefix = format!("work/imports/2026-autumn.csv/{VERSION_ID}");
    assert_eq!(rows(&written[&format!("{prefix}/rows.jsonl")])[0]["account"], ada());
    let report = rows(&written[&format!("{prefix}/report.jsonl")]);
    assert_eq!(report[0], json!({ "line": 2, "email": "ada@school.example" }));
    assert_eq!((&report[1]["line"], &report[1]["result"]), (&json!(3), &json!("rejected")));
    assert_eq!(written.len(), 2);
}

#[tokio::test]
async fn a_file_too_large_is_refused() {
    let (checked, written) = check(serves(vec![b'\n'; MAXIMUM_BYTES + 1], VERSION_ID)).await;
    let Checked::Refused { reason, .. } = checked.expect("S3 answers") else { panic!("it is not refused") };
    assert!(reason.contains("more than 20 MB"), "{reason}");
    assert!(written.is_empty());
}

#[tokio::test]
async fn a_version_that_is_not_the_current_one_is_not_imported() {
    for s3 in [serves(format!("{HEADER}\n{ADA}\n"), "newer"), answers(404, "<Error><Code>NoSuchKey</Code></Error>")] {
        let (checked, written) = check(s3).await;
        assert_eq!(checked.expect("it is no error"), Checked::Overwritten);
        assert!(written.is_empty());
    }
}

#[tokio::test]
async fn an_outage_of_s3_is_retried_by_its_name() {
    let (checked, _) = check(answers(503, "<Error><Code>SlowDown</Code></Error>")).await;
    let diagnostic = Diagnostic::from(checked.expect_err("it fails"));
    assert_eq!(diagnostic.error_type, "Unavailable");
    assert_eq!(diagnostic.error_message, "S3: SlowDown");
}
