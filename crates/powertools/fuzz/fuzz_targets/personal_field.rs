//! A value under a personal name, with anything around it and nested in strings, is in no line.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&str, &str, Vec<(&str, &str)>)| {
    let (before, after, around) = input;
    let mut text = format!(r#"{before}"email": "SECRET"{after}"#);
    for (before, after) in around {
        text = format!("{before}{}{after}", serde_json::Value::from(text));
    }
    let around = text.replacen("SECRET", "", 1);
    // What surrounds it may say the same.
    if !around.contains("SECRET") {
        let masked = powertools::logger::fuzz_masked(&text, "email");
        assert!(!masked.contains("SECRET"), "{text} is masked as {masked}");
    }
});
