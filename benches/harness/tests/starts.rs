//! What `lambda-bench` measures, with a function that does nothing.

use std::error::Error;
use std::io::Write;
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::NamedTempFile;

fn measure(answer: Value) -> Result<Output, Box<dyn Error>> {
    let mut event = NamedTempFile::new()?;
    event.write_all(b"{}")?;
    let start = json!({
        "name": "empty", "command": [env!("CARGO_BIN_EXE_empty")], "environment": {},
        "event": event.path(), "answer": answer, "warm": 3,
    });
    let mut plan = NamedTempFile::new()?;
    serde_json::to_writer(&mut plan, &json!({ "rounds": 2, "starts": [start] }))?;
    Ok(Command::new(env!("CARGO_BIN_EXE_lambda-bench")).arg(plan.path()).output()?)
}

#[test]
fn every_start_and_every_invocation_is_measured() -> Result<(), Box<dyn Error>> {
    let measured: Vec<Value> = serde_json::from_slice(&measure(Value::Null)?.stdout)?;
    assert_eq!(measured.len(), 2);
    for start in measured {
        assert_eq!(start["name"], "empty");
        assert_eq!(start["warm"].as_array().map(Vec::len), Some(3));
        assert_eq!(start["first"]["calls"], 0);
        assert!(start["init"]["cpu_us"].as_f64() > Some(0.0));
        assert!(start["peak_memory_bytes"].as_u64() > Some(100_000));
    }
    Ok(())
}

#[test]
fn a_function_that_does_something_else_is_not_measured() -> Result<(), Box<dyn Error>> {
    let output = measure(json!({ "batchItemFailures": [] }))?;
    assert!(!output.status.success());
    assert!(String::from_utf8(output.stderr)?.contains("empty: answered null instead of"));
    Ok(())
}
