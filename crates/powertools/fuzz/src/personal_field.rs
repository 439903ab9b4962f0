//! A value under a personal name, with anything around it, in texts that are members of others: no line has it.

/// Checks the promise above.
pub fn check(data: &[u8]) {
    let Some(input) = fuzzing::input::<(&str, &str, Vec<(&str, &str)>)>(data) else { return };
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
}
