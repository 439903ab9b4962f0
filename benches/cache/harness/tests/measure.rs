//! Each client gets an answer from what the program serves.

#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

const PROGRAM: &str = env!("CARGO_BIN_EXE_dax-bench");

#[test]
fn each_client_gets_its_answers() {
    let mut server = Command::new(PROGRAM).arg("serve").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut addresses = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut addresses).unwrap();
    let (dax, http) = addresses.trim().split_once(' ').unwrap();
    for (client, address) in [("core", dax), ("sdk", dax), ("http", http)] {
        for (operation, found) in [("get", 7), ("query", 25)] {
            let output = Command::new(PROGRAM).args([client, address, operation, "1"]).output().unwrap();
            let result: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!(result["found"], found, "{client} {operation}");
        }
    }
    drop(server.stdin.take());
    assert!(server.wait().unwrap().success());
}
