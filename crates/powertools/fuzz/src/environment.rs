//! Levels of the environment and names and values of metrics: what is wrong is left out.

use powertools::metrics::{Metrics, Unit};

/// Checks the promise above.
pub fn check(data: &[u8]) {
    let Some(input) = fuzzing::input::<(&str, &str, Vec<(&str, &str, f64)>)>(data) else { return };
    let (one, other, entries) = input;
    powertools::logger::fuzz_levels(one, other);

    let metrics = Metrics::new(one);
    metrics.add_dimension_set(entries.iter().map(|(name, value, _)| (*name, *value)));
    for (name, text, value) in entries {
        metrics.add(name, Unit::Count, value);
        metrics.add_high_resolution(text, Unit::Milliseconds, value);
        metrics.add_dimension(name, text);
        metrics.add_metadata(text, name);
    }
    if let Some(blob) = metrics.take() {
        for directive in blob["_aws"]["CloudWatchMetrics"].as_array().expect("a blob has metrics") {
            assert!(directive["Metrics"].as_array().expect("they are listed").len() <= 100);
            for set in directive["Dimensions"].as_array().expect("they are listed") {
                let names = set.as_array().expect("a set is a list");
                assert!(names.len() <= 30);
                let name = |name: &serde_json::Value| name.as_str().expect("names are text").to_owned();
                assert!(names.iter().all(|dimension| blob[name(dimension)].is_string()), "{blob}");
            }
            for metric in directive["Metrics"].as_array().expect("they are listed") {
                let value = &blob[metric["Name"].as_str().expect("names are text")];
                assert!(value.is_number() || value.as_array().is_some_and(|values| values.len() <= 100), "{blob}");
            }
        }
    }
}
