use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::output::tests::take_lines;

fn metrics() -> Metrics {
    take_lines();
    Metrics::new("Shop")
}

#[test]
fn a_blob_has_the_parts_of_the_format() {
    let metrics = metrics();
    metrics.add("Orders", Unit::Count, 1.0);
    metrics.add("Orders", Unit::Count, 2.0);
    metrics.add_high_resolution(" Rate ", Unit::BytesPerSecond, 0.5);
    metrics.add_dimension("stage", "test");
    metrics.add_dimension_set([("region", "eu")]);
    metrics.add_metadata("order", json!({ "id": 1 }));
    metrics.add_metadata("Orders", "a metric has this name");
    let mut blob = metrics.take().expect("there are metrics");
    assert!(blob["_aws"]["Timestamp"].as_u64() > Some(1_700_000_000_000));
    blob["_aws"]["Timestamp"] = 0.into();
    assert_eq!(
        blob,
        json!({
            "_aws": {
                "Timestamp": 0,
                "CloudWatchMetrics": [{
                    "Namespace": "Shop",
                    "Dimensions": [["service", "stage"], ["region"]],
                    "Metrics": [
                        { "Name": "Orders", "Unit": "Count" },
                        { "Name": "Rate", "Unit": "Bytes/Second", "StorageResolution": 1 },
                    ],
                }],
            },
            "service": "service_undefined",
            "stage": "test",
            "region": "eu",
            "order": { "id": 1 },
            "Orders": [1.0, 2.0],
            "Rate": [0.5],
        })
    );
    assert_eq!(metrics.take(), None);
    metrics.flush();
    assert!(take_lines().is_empty());
}

#[test]
fn data_that_cloudwatch_would_not_accept_is_omitted() {
    let metrics = metrics();
    let long = "x".repeat(256);
    for name in ["", " ", "_aws", &long, "service", "Größe", "a\tb", "a\u{7f}"] {
        metrics.add(name, Unit::Count, 1.0);
    }
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, MAX_VALUE * 2.0] {
        metrics.add("Orders", Unit::Count, value);
    }
    assert_eq!(metrics.take(), None);

    metrics.add("Orders", Unit::Count, MAX_VALUE);
    for (name, value) in [
        ("", "x"),
        ("x", " "),
        (":x", "x"),
        ("_aws", "x"),
        ("Orders", "x"),
        ("x", &"x".repeat(1025)),
        ("Stadt", "Köln"),
        ("Straße", "x"),
        ("x", "a\nb"),
        ("a\0", "x"),
        (&long, "x"),
    ] {
        metrics.add_dimension(name, value);
        metrics.add_dimension_set([(name, value)]);
    }
    // With `service`, 30 of 40.
    for index in 0..40 {
        metrics.add_dimension(format!("d{index}"), "x");
    }
    metrics.add_dimension("d0", "y");
    let blob = metrics.take().expect("there is a metric");
    let sets = &blob["_aws"]["CloudWatchMetrics"][0]["Dimensions"];
    assert_eq!(sets.as_array().map(Vec::len), Some(1));
    assert_eq!(sets[0].as_array().map(Vec::len), Some(30));
    assert_eq!(blob["d0"], "y");
}

#[test]
fn an_invalid_namespace_is_replaced_by_the_default() {
    for namespace in ["", " ", ":x", "Köln", "a\nb", &"x".repeat(256)] {
        let metrics = Metrics::new(namespace);
        metrics.add("Orders", Unit::Count, 1.0);
        let blob = metrics.take().expect("there is a metric");
        assert_eq!(blob["_aws"]["CloudWatchMetrics"][0]["Namespace"], "default_namespace", "{namespace}");
    }
}

#[test]
fn a_set_without_dimensions_of_its_own_is_omitted() {
    let mut warnings = Vec::new();
    let defaults = (0..40).map(|index| (format!("d{index}"), "x".to_owned())).collect();
    let metrics = Metrics::from_env(defaults, false, &mut warnings);
    metrics.add("Orders", Unit::Count, 1.0);
    metrics.add_dimension_set([("", ""); 0]);
    metrics.add_dimension_set([("Stadt", "Köln")]);
    let blob = metrics.take().expect("there is a metric");
    let sets = blob["_aws"]["CloudWatchMetrics"][0]["Dimensions"].as_array().expect("sets are listed");
    // With `service`, 30 of 40.
    assert_eq!(sets.iter().map(|set| set.as_array().map(Vec::len)).collect::<Vec<_>>(), [Some(30)]);
    assert_eq!(warnings.len(), 11, "{warnings:?}");
}

#[test]
fn a_line_too_long_for_cloudwatch_is_written_without_metadata() {
    let metrics = metrics();
    metrics.add("Orders", Unit::Count, 1.0);
    metrics.add_metadata("small", 1);
    metrics.add_metadata("large", "x".repeat(300_000));
    metrics.flush();
    let blobs = take_lines();
    assert_eq!(blobs.len(), 1);
    assert_eq!((&blobs[0]["Orders"], blobs[0].get("small")), (&json!([1.0]), None));
}

#[test]
fn a_second_unit_begins_a_second_blob() {
    let metrics = metrics();
    metrics.add("Time", Unit::Seconds, 1.0);
    metrics.add("Time", Unit::Milliseconds, 1000.0);
    metrics.flush();
    let blobs = take_lines();
    let units: Vec<_> = blobs.iter().map(|blob| &blob["_aws"]["CloudWatchMetrics"][0]["Metrics"][0]["Unit"]).collect();
    assert_eq!(units, ["Seconds", "Milliseconds"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_value_is_lost_and_no_blob_is_too_large(calls in vec((0..250_u8, any::<bool>(), any::<i32>().prop_map(f64::from)), 0..600)) {
        let metrics = metrics();
        metrics.add_dimension("stage", "test");
        for (name, high_resolution, value) in &calls {
            match high_resolution {
                true => metrics.add_high_resolution(format!("m{name}"), Unit::Count, *value),
                false => metrics.add(format!("m{name}"), Unit::Count, *value),
            }
        }
        metrics.flush();
        let mut written: Vec<(String, bool, f64)> = Vec::new();
        for blob in take_lines() {
            let directive = &blob["_aws"]["CloudWatchMetrics"][0];
            prop_assert_eq!(&directive["Dimensions"], &json!([["service", "stage"]]));
            let definitions = directive["Metrics"].as_array().expect("definitions are an array");
            prop_assert!((1..=100).contains(&definitions.len()));
            for definition in definitions {
                let name = definition["Name"].as_str().expect("a name is a text");
                let values = blob[name].as_array().expect("values are an array");
                prop_assert!((1..=100).contains(&values.len()));
                let high_resolution = definition["StorageResolution"] == 1;
                let values = values.iter().map(|value| value.as_f64().expect("a value is a number"));
                written.extend(values.map(|value| (name.to_owned(), high_resolution, value)));
            }
        }
        let mut added: Vec<_> = calls.iter().map(|(name, high, value)| (format!("m{name}"), *high, *value)).collect();
        let order = |a: &(String, bool, f64), b: &(String, bool, f64)| (&a.0, a.1).cmp(&(&b.0, b.1)).then(a.2.total_cmp(&b.2));
        written.sort_by(order);
        added.sort_by(order);
        prop_assert_eq!(written, added);
    }
}
