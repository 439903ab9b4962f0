//! A registrar's file with any bytes. It is refused, or each of its rows has a line in the report.

use std::collections::BTreeMap;
use std::sync::{LazyLock, Mutex};

use fuzzing::{event, services, wait};
use serde_json::{Value, json};

static OBJECTS: Mutex<BTreeMap<String, Vec<u8>>> = Mutex::new(BTreeMap::new());

static S3: LazyLock<aws_sdk_s3::Client> = LazyLock::new(|| {
    aws_sdk_s3::Client::new(&services(|method, path, body| {
        let mut objects = OBJECTS.lock().expect("nobody panics with it");
        match method {
            "PUT" => {
                objects.insert(path.to_owned(), body.to_vec());
                (200, Vec::new())
            }
            // The listing of the map's results is empty.
            _ if path == "/" => (200, b"<ListBucketResult/>".to_vec()),
            _ => objects.get(path).map_or((404, Vec::new()), |body| (200, body.clone())),
        }
    }))
});

/// Checks the promise above.
pub fn check(file: &[u8]) {
    *OBJECTS.lock().expect("nobody panics with it") = [("/imports/a.csv".to_owned(), file.to_vec())].into();
    let imports = check_import::handler::Imports { s3: S3.clone(), bucket: "imports".into() };
    let upload = json!({"key": "imports/a.csv", "version_id": "v", "work_prefix": "work/a"});
    let upload = serde_json::from_value(upload).expect("it is an upload");
    let checked = wait(check_import::handler::handle(&imports, event(upload)));
    let checked = serde_json::to_value(checked.expect("S3 answers")).expect("the result is JSON");
    if checked["outcome"] != "READY" {
        assert_eq!(checked["outcome"], "REFUSED");
        assert_ne!(checked["reason"], "");
        return;
    }

    let lines = |key: &str| -> Vec<Value> {
        let objects = OBJECTS.lock().expect("nobody panics with it");
        let rows = std::str::from_utf8(&objects[key]).expect("rows are text");
        rows.lines().map(|line| serde_json::from_str(line).expect("a row is JSON")).collect()
    };
    let (rows, report) = (lines("/work/a/rows.jsonl"), lines("/work/a/report.jsonl"));
    assert_eq!(checked["rows"], rows.len());
    let imported = report.iter().filter(|row| row.get("result").is_none());
    assert!(imported.map(|row| &row["line"]).eq(rows.iter().map(|row| &row["line"])));

    let imports = report_import::handler::Imports { s3: S3.clone(), bucket: "imports".into() };
    let import = json!({
        "outcome": "IMPORTED",
        "results_key": "results/a.csv",
        "work_prefix": "work/a",
        "form": { "separator": checked["form"]["separator"], "is_utf_16": false },
    });
    let import = serde_json::from_value(import).expect("it is an import");
    wait(report_import::handler::handle(&imports, event(import))).expect("what was checked can be reported");
    let objects = OBJECTS.lock().expect("nobody panics with it");
    let separator = checked["form"]["separator"].as_str().expect("it is a text").as_bytes()[0];
    let reported: Vec<_> = csv::ReaderBuilder::new()
        .delimiter(separator)
        .from_reader(objects["/results/a.csv"].as_slice())
        .into_records()
        .map(|record| record.expect("the report is CSV")[0].to_owned())
        .collect();
    let expected: Vec<_> = report.iter().map(|row| row["line"].to_string()).collect();
    assert_eq!(reported, expected);
}
