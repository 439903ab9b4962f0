//! The page, with S3 replaced at the SDK's HTTP edge.

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
use powertools::metrics::Metrics;
use serde_json::{Value, json};

use crate::handler::{Answers, RenderError, Rendered, handle};

const FOLDER: &str = "answers/7c9e6679-7425-40de-944b-e07fc1f90ae7";

fn report() -> Value {
    let none = json!({ "cells": [], "rest": { "kept": 0, "bookings": 0, "students": 0 } });
    let counts = |bookings: Value, cancellations: Value, late: Value| json!({ "bookings": bookings, "cancellations": cancellations, "late_cancellations": late });
    let mut totals = counts(json!(0), json!(0), json!(0));
    totals["untimed_bookings"] = json!(0);
    totals["untimed_cancellations"] = json!(0);
    json!({
        "job": "report", "rows": 0, "least": 5, "problems": [], "zone": "Europe/Berlin", "before": "2026-11-30",
        "first": "0001-01-01", "last": "9999-12-31", "late_hours": 24,
        "totals": { "cells": [totals], "rest": totals },
        "advisors": { "cells": [], "rest": counts(json!(0), json!(0), json!(0)) },
        "months": [], "hours": none, "leads": none, "repeats": none,
    })
}

fn check() -> Value {
    json!({ "job": "check", "before": "2026-11-30", "rows": 0, "days": 0, "differences": [], "problems": [] })
}

fn compact() -> Value {
    json!({ "job": "compact", "before": "2026-11-15", "days": [], "left_out": [], "problems": [] })
}

fn objects(report: &Value, check: &Value, compact: &Value) -> BTreeMap<String, String> {
    let answers = [("report", report), ("check", check), ("compact", compact)];
    let of = |(job, answer): (&str, &Value)| {
        [
            (format!("{FOLDER}/{job}/_SUCCESS"), String::new()),
            // Spark writes a file for each partition.
            (format!("{FOLDER}/{job}/part-00000.txt"), String::new()),
            (format!("{FOLDER}/{job}/part-00001.txt"), format!("{answer}\n")),
        ]
    };
    answers.into_iter().flat_map(of).collect()
}

struct Run {
    result: Result<Rendered, RenderError>,
    page: Option<String>,
    metrics: Option<Value>,
}

/// Renders with these objects in the bucket.
async fn run(objects: BTreeMap<String, String>) -> Run {
    let (listed, served, written) = (objects.clone(), objects, Arc::new(Mutex::new(None)));
    let list = mock!(aws_sdk_s3::Client::list_objects_v2).then_compute_output(move |request| {
        let prefix = request.prefix().expect("there is a prefix");
        let keys = listed.keys().filter(|key| key.starts_with(prefix));
        let contents = keys.map(|key| Object::builder().key(key).build()).collect();
        ListObjectsV2Output::builder().set_contents(Some(contents)).build()
    });
    let get = mock!(aws_sdk_s3::Client::get_object)
        .match_requests({
            let served = served.clone();
            move |request| served[request.key().expect("there is a key")] != "refused"
        })
        .then_compute_output(move |request| {
            let body = &served[request.key().expect("there is a key")];
            GetObjectOutput::builder().body(ByteStream::from(body.clone().into_bytes())).build()
        });
    let refused = mock!(aws_sdk_s3::Client::get_object).then_http_response(|| {
        let status = 403.try_into().expect("it is a status");
        HttpResponse::new(status, SdkBody::from("<Error><Code>AccessDenied</Code></Error>"))
    });
    let put = mock!(aws_sdk_s3::Client::put_object)
        .match_requests(|request| {
            request.key() == Some(&format!("{FOLDER}/report.html"))
                && request.content_type() == Some("text/html; charset=utf-8")
        })
        .then_compute_output({
            let written = written.clone();
            move |request| {
                let body = request.body().bytes().expect("the body is in memory").to_vec();
                *written.lock().expect("no test panics") = String::from_utf8(body).ok();
                PutObjectOutput::builder().build()
            }
        });
    let s3 = mock_client!(aws_sdk_s3, RuleMode::MatchAny, [&list, &get, &refused, &put]);
    let metrics = Metrics::new("Registrar");
    let answers = Answers { s3, bucket: "insights".into(), metrics: metrics.clone() };
    let event = serde_json::from_str(include_str!("../../../../events/insights/render-report.json"));
    let result = handle(&answers, LambdaEvent::new(event.expect("it is an event"), Context::default())).await;
    let page = written.lock().expect("no test panics").clone();
    Run { result, page, metrics: metrics.take() }
}

async fn page(report: &Value, check: &Value, compact: &Value) -> String {
    run(objects(report, check, compact)).await.page.expect("there is a page")
}

#[tokio::test]
async fn an_archive_without_appointments_has_a_page() {
    let Run { result, page, metrics } = run(objects(&report(), &check(), &compact())).await;
    let rendered = result.expect("there is a page");
    assert_eq!(rendered, Rendered { page: format!("{FOLDER}/report.html"), differences: 0, problems: 0 });
    let page = page.expect("there is a page");
    assert!(page.contains("<h1>Appointments, 2026-11-30</h1>"), "{page}");
    assert_eq!(page.matches("There are no appointments.").count(), 5);
    assert!(page.contains("the archive agrees with its ledger"));
    let metrics = metrics.expect("they are counted, so that the alarm ends");
    assert_eq!((&metrics["ArchiveDifferences"], &metrics["ArchiveProblems"]), (&json!([0.0]), &json!([0.0])));
}

#[tokio::test]
async fn whatever_is_wrong_is_on_the_page_and_counted_once() {
    let damaged = json!({ "kind": "object left out", "what": "dt=2026-10-06/1-2.parquet" });
    let (mut report, mut check, mut compact) = (report(), check(), compact());
    for answer in [&mut report, &mut check, &mut compact] {
        answer["problems"] = json!([damaged]);
    }
    report["problems"] = json!([damaged, { "kind": "empty day", "what": "2026-10-09" }]);
    compact["left_out"] = json!([{ "dt": "2026-10-06", "archive": 7_300, "ledger": 7_321 }]);
    check["differences"] = json!([
        { "kind": "rows", "dt": "2026-10-06", "archive": 7_300, "ledger": 7_321 },
        { "kind": "sums", "dt": "2026-10-06", "day": "2026-10-08", "archive": "+1 00000000000000aa", "ledger": "+2 00000000000000bb" },
        { "kind": "repeated rows", "dt": "2026-10-07", "day": "2026-10-08", "archive": 12, "distinct": 11 },
        { "kind": "altered rows", "dt": "2026-10-08", "day": "2026-10-09", "archive": 3 },
        { "kind": "object", "object": "dt=2026-10-09/3-4.parquet", "archive": null, "ledger": 5_120 },
    ]);
    let Run { result, page, metrics } = run(objects(&report, &check, &compact)).await;
    let rendered = result.expect("there is a page");
    assert_eq!((rendered.differences, rendered.problems), (5, 3));
    let metrics = metrics.expect("they are counted");
    assert_eq!((&metrics["ArchiveDifferences"], &metrics["ArchiveProblems"]), (&json!([5.0]), &json!([3.0])));
    let page = page.expect("there is a page");
    for row in [
        r#"<th scope="row">2026-10-06</th><td>rows</td><td>7,300</td><td>7,321</td>"#,
        "<td>sums of changes, for appointments on 2026-10-08</td><td>+1 00000000000000aa</td><td>+2 00000000000000bb</td>",
        "<td>repeated rows, for appointments on 2026-10-08</td><td>12, 11 distinct</td><td>–</td>",
        "<td>altered rows, for appointments on 2026-10-09</td><td>3</td><td>–</td>",
        r#"<th scope="row">2026-10-09</th><td>object 3-4.parquet</td><td>–</td><td>5,120 bytes</td>"#,
        r#"<td>object left out</td><th scope="row">dt=2026-10-06/1-2.parquet</th><td>report, check, compaction</td>"#,
        r#"<td>empty day</td><th scope="row">2026-10-09</th><td>report</td>"#,
        r#"<th scope="row">2026-10-06</th><td>7,300</td><td>7,321</td>"#,
        "differ in 5 places",
        "Left out: 3 objects or days.",
    ] {
        assert!(page.contains(row), "{row}\n{page}");
    }
}

#[tokio::test]
async fn a_text_of_the_archive_is_never_markup() {
    let hostile = "<script>alert(1)</script>\"'&<img src=x onerror=alert(1)>";
    let (mut report, mut check, mut compact) = (report(), check(), compact());
    report["zone"] = json!(hostile);
    report["problems"] = json!([{ "kind": hostile, "what": hostile }]);
    report["advisors"]["cells"] =
        json!([{ "advisor": hostile, "bookings": 9, "cancellations": 6, "late_cancellations": 0 }]);
    report["months"] = json!([
        { "advisor": hostile, "cells": [{ "month": "2026-09", "kept": 5 }, { "month": "2026-11", "kept": 5 }], "rest": { "kept": 0 } },
        { "advisor": "other", "cells": [{ "month": hostile, "kept": 5 }], "rest": { "kept": 0 } },
    ]);
    check["differences"] = json!([{ "kind": "object", "object": hostile, "archive": 1, "ledger": null }]);
    compact["left_out"] = json!([{ "dt": hostile, "archive": 1, "ledger": 2 }]);
    let page = page(&report, &check, &compact).await;
    let escaped = "&lt;script&gt;alert(1)&lt;/script&gt;";
    assert!(page.matches(escaped).count() >= 7, "{page}");
    for markup in ["<script", "<img", " style=", " onerror=alert(1)>"] {
        assert!(!page.contains(markup), "{markup}\n{page}");
    }
}

#[tokio::test]
async fn a_small_count_is_shown_as_merged() {
    let mut report = report();
    report["rows"] = json!(1_234_567);
    report["totals"]["cells"][0]["bookings"] = json!(1_000_000);
    report["totals"]["cells"][0]["cancellations"] = json!(null);
    report["totals"]["cells"][0]["untimed_bookings"] = json!(12);
    report["advisors"] = json!({
        "cells": [
            { "advisor": "few", "bookings": null, "cancellations": 0, "late_cancellations": 0 },
            { "advisor": "many", "bookings": 9_000, "cancellations": 2_250, "late_cancellations": null },
        ],
        "rest": { "bookings": 7, "cancellations": 0, "late_cancellations": null },
    });
    report["leads"] = json!({
        "cells": [
            { "below_hours": 0, "bookings": 6 }, { "below_hours": 1, "bookings": 7 }, { "below_hours": 24, "bookings": 8 },
            { "below_hours": 168, "bookings": null }, { "below_hours": null, "bookings": 11 },
        ],
        "rest": { "bookings": null },
    });
    report["repeats"] = json!({
        "cells": [{ "bookings_up_to": 1, "students": 30 }, { "bookings_up_to": 5, "students": 20 }, { "bookings_up_to": null, "students": 10 }],
        "rest": { "students": 0 },
    });
    let page = page(&report, &check(), &compact()).await;
    let merged = r#"<span aria-hidden="true">·</span><span class="unseen">merged</span>"#;
    for shown in [
        "in 1,234,567 changes",
        r#"<th scope="row">many</th>"#,
        r#"<td>2,250 <span class="share">25%</span></td>"#,
        &format!("<td>{merged}</td>"),
        r#"<th scope="row">merged (·)</th><td>7</td><td>0</td><td>fewer than 5</td>"#,
        "The time of 12 bookings and 0 cancellations is unknown",
        "after the start",
        "less than 1 hour before",
        "1 hour to 1 day before",
        "1 day to 7 days before",
        "7 days before, or more",
        r#"<th scope="row">2 to 5</th>"#,
        r#"<th scope="row">6 or more</th>"#,
    ] {
        assert!(page.contains(shown), "{shown}\n{page}");
    }
    assert!(page.find(">many<") < page.find(">few<"), "the busiest is first");
}

#[tokio::test]
async fn the_busiest_hour_and_a_month_without_appointments_are_named() {
    let mut report = report();
    report["hours"] = json!({
        "cells": [
            { "weekday": 2, "hour": 10, "kept": 1_500_000 }, { "weekday": 6, "hour": 8, "kept": 5 },
            // Bookings are older than the archive.
            { "weekday": 1, "hour": 9, "kept": -3 }, { "weekday": 1, "hour": 10, "kept": null },
        ],
        "rest": { "kept": 5 },
    });
    let months = |kept: &[(&str, i64)]| -> Value {
        kept.iter().map(|(month, kept)| json!({ "month": month, "kept": kept })).collect()
    };
    report["advisors"]["cells"] = ["ada", "grace"]
        .map(|advisor| json!({ "advisor": advisor, "bookings": 20, "cancellations": 0, "late_cancellations": 0 }))
        .into();
    report["months"] = json!([
        { "advisor": "ada", "cells": months(&[("2026-08", 0), ("2026-09", 9), ("2026-11", 9)]), "rest": { "kept": 0 } },
        { "advisor": "grace", "cells": months(&[("2026-08", 9), ("2026-10", 9), ("2026-11", 9)]), "rest": { "kept": 0 } },
    ]);
    let page = page(&report, &check(), &compact()).await;
    assert!(
        page.contains(r#"<span class="value">Tuesday 10:00</span><span class="about">1,500,000 appointments</span>"#)
    );
    assert!(page.contains("Most are on Tuesdays at 10:00: 1,500,000."));
    assert!(page.contains("1.5 M"));
    assert!(page.contains("together 5."));
    assert!(page.contains("Saturday") && !page.contains("Sunday"));
    let gaps = "<li><strong>ada</strong> 2026-10</li><li><strong>grace</strong> 2026-09</li>";
    assert!(page.contains(&format!(r#"<ul class="gaps">{gaps}</ul>"#)), "{page}");
}

#[tokio::test]
async fn a_long_list_is_cut_and_says_where_the_rest_is() {
    let mut report = report();
    report["advisors"]["cells"] = (0..501)
        .map(|n| json!({ "advisor": format!("advisor-{n}"), "bookings": 1_000 - n, "cancellations": 0, "late_cancellations": 0 }))
        .collect();
    let page = page(&report, &check(), &compact()).await;
    assert!(page.contains(">advisor-499<") && !page.contains(">advisor-500<"));
    assert!(page.contains(&format!("These are 500 of 501 advisors; <code>{FOLDER}/report</code> has all.")), "{page}");
}

#[tokio::test]
async fn an_answer_that_is_missing_or_none_is_named() {
    let key = |name: &str| format!("{FOLDER}/check/{name}");
    let sound = objects(&report(), &check(), &compact());
    for (changed, reason) in [
        (BTreeMap::from([(key("part-00001.txt"), String::new())]), "it has 0 lines instead of one"),
        (BTreeMap::from([(key("part-00002.txt"), "{}".into())]), "it has 2 lines instead of one"),
        (BTreeMap::from([(key("part-00001.txt"), r#"{"differences": "ada"}"#.into())]), "it is unexpected at column "),
    ] {
        let Run { result, page, metrics } = run(sound.clone().into_iter().chain(changed).collect()).await;
        let diagnostic = Diagnostic::from(result.expect_err("there is no answer"));
        assert_eq!(diagnostic.error_type, "AnswerUnreadable");
        assert!(
            diagnostic.error_message.contains(&format!("{FOLDER}/check/: {reason}")),
            "{}",
            diagnostic.error_message
        );
        assert!(!diagnostic.error_message.contains("ada"));
        assert_eq!((page, metrics), (None, None));
    }
}

#[tokio::test]
async fn an_outage_of_s3_is_retried_by_its_name() {
    let mut objects = objects(&report(), &check(), &compact());
    objects.insert(format!("{FOLDER}/compact/part-00001.txt"), "refused".into());
    let Run { result, page, .. } = run(objects).await;
    let diagnostic = Diagnostic::from(result.expect_err("it can't be read"));
    assert_eq!(
        (diagnostic.error_type.as_str(), diagnostic.error_message.as_str()),
        ("Unavailable", "S3: AccessDenied")
    );
    assert_eq!(page, None);
}
