//! Metrics in CloudWatch's embedded metric format: a log line that CloudWatch turns into metrics.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;

/// What one invocation did.
#[derive(Debug, Default, PartialEq)]
pub struct Counts {
    pub archived_records: usize,
    pub quarantined_records: usize,
}

impl Counts {
    /// Prints the metrics of one invocation of the function.
    pub fn emit(&self, function_name: &str) {
        let milliseconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
        let line = json!({
            "_aws": {
                "Timestamp": milliseconds,
                "CloudWatchMetrics": [{
                    "Namespace": "Registrar",
                    "Dimensions": [["FunctionName"]],
                    "Metrics": [
                        { "Name": "ArchivedRecords", "Unit": "Count" },
                        { "Name": "QuarantinedRecords", "Unit": "Count" },
                    ],
                }],
            },
            "FunctionName": function_name,
            "ArchivedRecords": self.archived_records,
            "QuarantinedRecords": self.quarantined_records,
        });
        println!("{line}");
    }
}
