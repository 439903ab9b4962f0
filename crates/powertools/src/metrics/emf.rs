//! CloudWatch's embedded metric format: a log line that CloudWatch turns into metrics.
//!
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Value, json};

/// A unit of CloudWatch.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[allow(missing_docs)]
#[non_exhaustive]
pub enum Unit {
    Seconds,
    Microseconds,
    Milliseconds,
    Bytes,
    Kilobytes,
    Megabytes,
    Gigabytes,
    Terabytes,
    Bits,
    Kilobits,
    Megabits,
    Gigabits,
    Terabits,
    Percent,
    Count,
    BytesPerSecond,
    KilobytesPerSecond,
    MegabytesPerSecond,
    GigabytesPerSecond,
    TerabytesPerSecond,
    BitsPerSecond,
    KilobitsPerSecond,
    MegabitsPerSecond,
    GigabitsPerSecond,
    TerabitsPerSecond,
    CountPerSecond,
    /// No unit.
    None,
}

impl Unit {
    /// CloudWatch's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Seconds => "Seconds",
            Self::Microseconds => "Microseconds",
            Self::Milliseconds => "Milliseconds",
            Self::Bytes => "Bytes",
            Self::Kilobytes => "Kilobytes",
            Self::Megabytes => "Megabytes",
            Self::Gigabytes => "Gigabytes",
            Self::Terabytes => "Terabytes",
            Self::Bits => "Bits",
            Self::Kilobits => "Kilobits",
            Self::Megabits => "Megabits",
            Self::Gigabits => "Gigabits",
            Self::Terabits => "Terabits",
            Self::Percent => "Percent",
            Self::Count => "Count",
            Self::BytesPerSecond => "Bytes/Second",
            Self::KilobytesPerSecond => "Kilobytes/Second",
            Self::MegabytesPerSecond => "Megabytes/Second",
            Self::GigabytesPerSecond => "Gigabytes/Second",
            Self::TerabytesPerSecond => "Terabytes/Second",
            Self::BitsPerSecond => "Bits/Second",
            Self::KilobitsPerSecond => "Kilobits/Second",
            Self::MegabitsPerSecond => "Megabits/Second",
            Self::GigabitsPerSecond => "Gigabits/Second",
            Self::TerabitsPerSecond => "Terabits/Second",
            Self::CountPerSecond => "Count/Second",
            Self::None => "None",
        }
    }
}

#[derive(Debug)]
pub(super) struct Metric {
    pub(super) name: String,
    pub(super) unit: Unit,
    pub(super) high_resolution: bool,
    pub(super) values: Vec<f64>,
}

impl Metric {
    pub(super) fn is_like(&self, unit: Unit, high_resolution: bool) -> bool {
        self.unit == unit && self.high_resolution == high_resolution
    }

    fn definition(&self) -> Value {
        // CloudWatch's default is 60.
        match self.high_resolution {
            true => json!({ "Name": self.name, "Unit": self.unit.as_str(), "StorageResolution": 1 }),
            false => json!({ "Name": self.name, "Unit": self.unit.as_str() }),
        }
    }
}

/// One line.
#[derive(Debug)]
pub(super) struct Blob<'a> {
    /// In milliseconds since 1970.
    pub(super) timestamp: u64,
    pub(super) namespace: &'a str,
    pub(super) dimensions: Vec<(&'a str, &'a str)>,
    pub(super) dimension_sets: &'a [Vec<(String, String)>],
    pub(super) metadata: &'a [(String, Value)],
    pub(super) metrics: &'a [Metric],
}

impl Serialize for Blob<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let first: Vec<&str> = self.dimensions.iter().map(|(name, _)| *name).collect();
        let others = self.dimension_sets.iter().map(|set| set.iter().map(|(name, _)| name.as_str()).collect());
        let sets: Vec<Vec<&str>> = [first].into_iter().chain(others).collect();
        let definitions: Vec<Value> = self.metrics.iter().map(Metric::definition).collect();
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(
            "_aws",
            &json!({
                "Timestamp": self.timestamp,
                "CloudWatchMetrics": [{ "Namespace": self.namespace, "Dimensions": sets, "Metrics": definitions }],
            }),
        )?;
        // A member of the line has one value in all sets: the last one.
        let others = self.dimension_sets.iter().flatten().map(|(name, value)| (name.as_str(), value.as_str()));
        let mut values: Vec<(&str, &str)> = Vec::new();
        for (name, value) in self.dimensions.iter().copied().chain(others) {
            match values.iter_mut().find(|(known, _)| *known == name) {
                Some(entry) => entry.1 = value,
                None => values.push((name, value)),
            }
        }
        for (name, value) in &values {
            map.serialize_entry(name, value)?;
        }
        for (name, value) in self.metadata {
            let taken = name == "_aws"
                || values.iter().any(|(dimension, _)| dimension == name)
                || self.metrics.iter().any(|metric| metric.name == *name);
            if !taken {
                map.serialize_entry(name, value)?;
            }
        }
        for metric in self.metrics {
            map.serialize_entry(&metric.name, &metric.values)?;
        }
        map.end()
    }
}
