use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;
use tracing::level_filters::LevelFilter;
use tracing::{debug, info, info_span, trace};
use tracing_subscriber::layer::SubscriberExt;

use super::*;
use crate::output::tests::{take_lines, take_text};

fn levels(variables: &[(&str, &str)]) -> (Levels, Vec<String>) {
    let variables: BTreeMap<_, _> = variables.iter().copied().collect();
    let mut warnings = Vec::new();
    let levels = Levels::from_env(|name| variables.get(name).map(ToString::to_string), &mut warnings);
    (levels, warnings)
}

/// The lines that are written with these variables.
fn lines(variables: &[(&str, &str)], personal: &[&str], work: impl FnOnce()) -> Vec<Value> {
    with_logger(variables, personal, work);
    take_lines()
}

fn with_logger(variables: &[(&str, &str)], personal: &[&str], work: impl FnOnce()) {
    take_text();
    let logger = Logger {
        service: "shop".into(),
        levels: levels(variables).0,
        personal: Personal::new(personal.iter().map(ToString::to_string).collect()),
        pretty: false,
    };
    let subscriber = tracing_subscriber::registry().with(logger.into_layer());
    tracing::subscriber::with_default(subscriber, work);
}

#[test]
fn the_level_of_lambda_takes_precedence_and_invalid_values_are_reported() {
    let level = |variables: &[(&str, &str)]| {
        let (levels, warnings) = levels(variables);
        (levels.level, warnings.len())
    };
    assert_eq!(level(&[]), (LevelFilter::INFO, 0));
    assert_eq!(level(&[("LOG_LEVEL", "debug")]), (LevelFilter::DEBUG, 0));
    assert_eq!(level(&[("POWERTOOLS_LOG_LEVEL", "Warning"), ("LOG_LEVEL", "DEBUG")]), (LevelFilter::WARN, 0));
    assert_eq!(level(&[("POWERTOOLS_LOG_LEVEL", "CRITICAL")]), (LevelFilter::OFF, 0));
    assert_eq!(level(&[("AWS_LAMBDA_LOG_LEVEL", "TRACE"), ("POWERTOOLS_LOG_LEVEL", "ERROR")]), (LevelFilter::TRACE, 0));
    // Lambda would drop lines that Powertools allows.
    assert_eq!(level(&[("AWS_LAMBDA_LOG_LEVEL", "ERROR"), ("POWERTOOLS_LOG_LEVEL", "INFO")]), (LevelFilter::ERROR, 1));
    assert_eq!(level(&[("POWERTOOLS_LOG_LEVEL", "loud")]), (LevelFilter::INFO, 1));
    for rate in ["x", "-0.1", "1.1", "NaN"] {
        let (levels, warnings) = levels(&[("POWERTOOLS_LOGGER_SAMPLE_RATE", rate)]);
        assert_eq!((levels.sampling_rate, warnings.len()), (None, 1), "{rate}");
    }
    assert_eq!(levels(&[("RUST_LOG", "a=b=c")]).1.len(), 1);
}

#[test]
fn rust_log_restricts_the_modules_that_it_names() {
    let written = |rust_log: &str| {
        let variables = [("POWERTOOLS_LOG_LEVEL", "DEBUG"), ("RUST_LOG", rust_log)];
        let lines = lines(&variables, &[], || {
            debug!(target: "noisy::pool", "1");
            info!(target: "noisy::pool", "2");
            debug!("3");
            trace!("4");
        });
        lines.iter().filter_map(|line| line["message"].as_str()?.parse().ok()).collect::<Vec<u8>>()
    };
    assert_eq!(written("noisy=info"), [2, 3]);
    assert_eq!(written("noisy=off"), [3]);
    assert_eq!(written("info"), [2]);
    assert_eq!(written("trace"), [1, 2, 3]);
}

#[test]
fn a_share_of_invocations_is_sampled() {
    let sampled = |rate| {
        let invocations = (0..2000).map(|_| Invocation::new(&Context::default(), false));
        invocations.filter(|invocation| invocation.is_sampled(rate)).count()
    };
    assert_eq!(sampled(0.0), 0);
    assert_eq!(sampled(1.0), 2000);
    // Six standard deviations to either side.
    assert!((380..=620).contains(&sampled(0.25)));
    let invocation = Invocation::new(&Context::default(), false);
    let first = invocation.is_sampled(0.5);
    assert!((0..100).all(|_| invocation.is_sampled(0.5) == first));
}

#[test]
fn a_name_is_written_once_with_the_nearest_value() {
    let lines = lines(&[], &[], || {
        let outer = info_span!("outer", place = "outer", only_outer = 1, late = tracing::field::Empty).entered();
        outer.record("late", 2);
        let _inner = info_span!("inner", place = "inner", only_inner = true).entered();
        info!(level = "mine", service = "mine", place = "event", "text");
        info!("text");
    });
    let text: Vec<_> = lines.iter().map(ToString::to_string).collect();
    assert!(text.iter().all(|line| line.matches("\"place\"").count() == 1), "{text:?}");
    assert_eq!((&lines[0]["level"], &lines[0]["service"]), (&json!("INFO"), &json!("shop")));
    assert_eq!((&lines[0]["place"], &lines[1]["place"]), (&json!("event"), &json!("inner")));
    assert_eq!(
        (&lines[1]["only_outer"], &lines[1]["only_inner"], &lines[1]["late"]),
        (&json!(1), &json!(true), &json!(2))
    );
}

#[test]
fn an_error_has_its_causes() {
    #[derive(Debug, thiserror::Error)]
    #[error("not stored")]
    struct NotStored(#[source] std::io::Error);

    let lines = lines(&[], &[], || {
        let error = NotStored(std::io::Error::other("disk full"));
        info!(error = &error as &dyn std::error::Error, "text");
    });
    assert_eq!(lines[0]["error"], "not stored: disk full");
}

#[test]
fn outside_of_an_invocation_nothing_is_appended() {
    let lines = lines(&[], &[], || append_keys([("order", 1)]));
    assert_eq!(lines[0]["level"], "WARN");
}

#[test]
fn the_trace_id_has_no_parent() {
    assert_eq!(trace_id("Root=1-5759e988-bd86;Parent=53995c3f42cd8ad8;Sampled=1"), "1-5759e988-bd86");
    assert_eq!(trace_id("Self=1-1;Root=1-2"), "1-2");
    assert_eq!(trace_id("1-5759e988-bd86"), "1-5759e988-bd86");
}

/// JSON with the secret somewhere under a personal name: in members, arrays, and strings that are JSON themselves.
fn document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<i32>().prop_map(Value::from),
        "[a-z{\\[\"]{0,6}".prop_map(Value::from),
        Just(json!({ "Email": "SECRET" })),
        Just(json!({ "customer.email": ["SECRET", { "x": "SECRET" }] })),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::hash_map("[a-z]{1,4}", inner.clone(), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
            inner.prop_map(|value| value.to_string().into()),
        ]
    })
}

/// A string with the secret after a personal name and anything around it, nested in strings.
fn broken_document() -> impl Strategy<Value = String> {
    let around = || prop_oneof![any::<String>(), "[\\\\\"'{}\\[\\]:,ux0-9 \u{feff}]{0,8}"];
    let name = prop_oneof![Just("\"email\""), Just("\"Customer.Email\""), Just(r#""e\u006dail""#), Just("'email'")];
    let value = prop_oneof![Just("\"SECRET\""), Just("[1, \"SECRET"), Just("{\"a\": 1e999, \"b\": [\"SECRET\"]}")];
    let text = (around(), name, "[ \n]?:[ \n]?", value, around())
        .prop_map(|(before, name, colon, value, after)| format!("{before}{name}{colon}{value}{after}"));
    text.prop_recursive(3, 3, 1, move |inner| {
        (around(), inner, prop_oneof![Just("\\\""), Just("\\u0022")], around()).prop_map(
            |(before, inner, quote, after)| {
                format!("{before}{}{after}", Value::from(inner).to_string().replace("\\\"", quote))
            },
        )
    })
}

/// The logged forms of a string in every place where a field can be.
fn everywhere(text: &str) -> String {
    let lines = lines(&[], &["email"], || {
        let span = info_span!("span", text, email = "SECRET", body = tracing::field::Empty).entered();
        span.record("body", text);
        info!(document = %text, shown = ?text, customer.email = ?Some("SECRET"), "{text}");
    });
    assert_eq!(lines.len(), 1);
    lines[0].to_string()
}

proptest! {
    #[test]
    fn a_personal_value_is_nowhere(document in document()) {
        let line = everywhere(&document.to_string());
        prop_assert!(!line.contains("SECRET"), "{}", line);
    }

    #[test]
    fn a_personal_value_is_nowhere_whatever_surrounds_it(text in broken_document()) {
        let line = everywhere(&text);
        prop_assert!(!line.contains("SECRET"), "{}", line);
    }

    #[test]
    fn any_text_is_one_line_that_reads_back(text in any::<String>()) {
        let lines = lines(&[], &[], || info!(text, "text"));
        prop_assert_eq!(lines.len(), 1);
        let is_structured = text.trim().starts_with(['{', '[']);
        let structured = serde_json::from_str(&text).ok().filter(|_| is_structured);
        prop_assert_eq!(&lines[0]["text"], &structured.unwrap_or_else(|| Value::from(text.clone())));
    }
}

#[test]
fn the_surroundings_of_a_personal_value_are_kept_if_its_end_is_known() {
    let masked = |text: &str| {
        let lines = lines(&[], &["email", "straße"], || info!("{text}"));
        lines[0]["message"].clone()
    };
    assert_eq!(masked(r#"{"email":"x","id":7}"#), json!({ "email": "*****", "id": 7 }));
    assert_eq!(masked(r#"{"customer.email":"x","emails":7}"#), json!({ "customer.email": "*****", "emails": 7 }));
    assert_eq!(masked(r#"{"STRASSE":1,"STRAßE":"x"}"#), json!({ "STRASSE": 1, "STRAßE": "*****" }));
    assert_eq!(masked(r#"refused: {"id":7,"email":"x"} by the shop"#), json!(r#"refused: {"id":7,*****"#));
    assert_eq!(masked(r#"{"id":7,"note":"\ud83d","email":"x"}"#), json!(r#"{"id":7,"note":"\ud83d",*****"#));
    // Not the name of a field, or not a personal one.
    for text in [r#"the column "email" is missing"#, r#"{"mail":"x"} {"#, r"C:\email: 'x'"] {
        assert_eq!(masked(text), json!(text));
    }
}

#[test]
fn numbers_keep_their_digits_and_members_their_order() {
    let text = r#"{"z":123456789012345678901234567890,"email":0,"a":[0.1000000000000000055511151231257827,1E5,-0.0]}"#;
    let inner = json!({ "text": text });
    with_logger(&[], &["email"], || info!(big = u128::MAX, small = i128::MIN, %inner, "{text}"));
    let line = take_text();
    let masked = text.replace("\"email\":0", "\"email\":\"*****\"");
    for part in [
        format!("\"message\":{masked},"),
        format!("\"inner\":{},", json!({ "text": masked })),
        format!("\"big\":{},\"small\":{},", u128::MAX, i128::MIN),
    ] {
        assert!(line.contains(&part) || line.contains(&part.replace("},", "}}")), "{part} is not in {line}");
    }
}

#[test]
fn json_that_some_parsers_reject_is_written_as_a_string() {
    let deep = |levels| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let is_text = |text: &str| lines(&[], &[], || info!("{text}"))[0]["message"].is_string();
    assert!(!is_text(&deep(100)) && !is_text(r#"{"a":1e308}"#));
    for text in [deep(101), deep(100_000), r#"{"a":1e999}"#.into(), r#"{"a":"\ud83d"}"#.into(), "\u{feff}{}".into()] {
        assert!(is_text(&text), "{text:.40}");
    }
}
