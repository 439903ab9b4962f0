use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;
use tracing::level_filters::LevelFilter;
use tracing::{debug, info, info_span, trace};
use tracing_subscriber::layer::SubscriberExt;

use super::*;
use crate::output::tests::take_lines;

fn levels(variables: &[(&str, &str)]) -> (Levels, Vec<String>) {
    let variables: BTreeMap<_, _> = variables.iter().copied().collect();
    let mut warnings = Vec::new();
    let levels = Levels::from_env(|name| variables.get(name).map(ToString::to_string), &mut warnings);
    (levels, warnings)
}

/// What is written under these variables.
fn lines(variables: &[(&str, &str)], personal: &[&str], work: impl FnOnce()) -> Vec<Value> {
    take_lines();
    let logger = Logger {
        service: "shop".into(),
        levels: levels(variables).0,
        personal: Personal::new(personal.iter().map(ToString::to_string).collect()),
        pretty: false,
    };
    let subscriber = tracing_subscriber::registry().with(logger.into_layer());
    tracing::subscriber::with_default(subscriber, work);
    take_lines()
}

#[test]
fn the_level_of_lambda_comes_first_and_bad_values_are_reported() {
    let level = |variables: &[(&str, &str)]| {
        let (levels, warnings) = levels(variables);
        (levels.level, warnings.len())
    };
    assert_eq!(level(&[]), (LevelFilter::INFO, 0));
    assert_eq!(level(&[("LOG_LEVEL", "debug")]), (LevelFilter::DEBUG, 0));
    assert_eq!(level(&[("POWERTOOLS_LOG_LEVEL", "Warning"), ("LOG_LEVEL", "DEBUG")]), (LevelFilter::WARN, 0));
    assert_eq!(level(&[("POWERTOOLS_LOG_LEVEL", "CRITICAL")]), (LevelFilter::OFF, 0));
    assert_eq!(level(&[("AWS_LAMBDA_LOG_LEVEL", "TRACE"), ("POWERTOOLS_LOG_LEVEL", "ERROR")]), (LevelFilter::TRACE, 0));
    // Lambda would drop what Powertools lets through.
    assert_eq!(level(&[("AWS_LAMBDA_LOG_LEVEL", "ERROR"), ("POWERTOOLS_LOG_LEVEL", "INFO")]), (LevelFilter::ERROR, 1));
    assert_eq!(level(&[("POWERTOOLS_LOG_LEVEL", "loud")]), (LevelFilter::INFO, 1));
    for rate in ["x", "-0.1", "1.1", "NaN"] {
        let (levels, warnings) = levels(&[("POWERTOOLS_LOGGER_SAMPLE_RATE", rate)]);
        assert_eq!((levels.sampling_rate, warnings.len()), (None, 1), "{rate}");
    }
    assert_eq!(levels(&[("RUST_LOG", "a=b=c")]).1.len(), 1);
}

#[test]
fn rust_log_narrows_what_it_names() {
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
fn a_name_is_written_once_and_the_nearest_value_counts() {
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
fn outside_of_an_invocation_there_is_nothing_to_append_to() {
    let lines = lines(&[], &[], || append_keys([("order", 1)]));
    assert_eq!(lines[0]["level"], "WARN");
}

#[test]
fn the_trace_is_named_without_its_parent() {
    assert_eq!(trace_id("Root=1-5759e988-bd86;Parent=53995c3f42cd8ad8;Sampled=1"), "1-5759e988-bd86");
    assert_eq!(trace_id("Self=1-1;Root=1-2"), "1-2");
    assert_eq!(trace_id("1-5759e988-bd86"), "1-5759e988-bd86");
}

/// JSON with the secret somewhere under a personal name, in plain members, arrays and texts that are JSON themselves.
fn document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<i32>().prop_map(Value::from),
        "[a-z{\\[\"]{0,6}".prop_map(Value::from),
        Just(json!({ "Email": "SECRET" })),
        Just(json!({ "email": ["SECRET", { "x": "SECRET" }] })),
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

proptest! {
    #[test]
    fn a_personal_value_is_nowhere(document in document()) {
        let text = document.to_string();
        let lines = lines(&[], &["email"], || {
            let span = info_span!("span", text, email = "SECRET");
            let _entered = span.entered();
            info!(document = %text, email = ?Some("SECRET"), "{text}");
        });
        prop_assert_eq!(lines.len(), 1);
        prop_assert!(!lines[0].to_string().contains("SECRET"), "{}", lines[0]);
    }

    #[test]
    fn any_text_is_one_line_that_reads_back(text in any::<String>()) {
        let lines = lines(&[], &[], || info!(text, "text"));
        prop_assert_eq!(lines.len(), 1);
        let expected = line::parsed(&text).unwrap_or_else(|| text.clone().into());
        prop_assert_eq!(&lines[0]["text"], &expected);
    }
}
