//! Records that are similar to those of the stream: any part can be absent, of another type, or of any value.

use arbitrary::Arbitrary;
use serde_json::{Map, Value, json};

#[derive(Arbitrary, Debug)]
struct Record {
    event_id: Part<String>,
    event_name: Part<EventName>,
    creation_time: Part<Time>,
    sequence_number: Part<u64>,
    new_image: Part<Item>,
    old_image: Part<Item>,
}

#[derive(Arbitrary, Debug)]
enum Part<T> {
    Good(T),
    Good2(T),
    Good3(T),
    Absent,
    Null,
    Text(String),
    Number(f64),
    List,
}

#[derive(Arbitrary, Debug)]
enum EventName {
    Insert,
    Modify,
    Remove,
}

#[derive(Arbitrary, Debug)]
enum Time {
    Today(u16),
    Midnight(i8),
    Any(f64),
}

#[derive(Arbitrary, Debug)]
struct Item {
    advisor_id: Part<String>,
    starts_at: Part<Slot>,
    student_id: Part<String>,
    topic: Part<String>,
    other: Option<(String, f64)>,
}

#[derive(Arbitrary, Debug)]
enum Slot {
    Seconds(i64),
    Text(String),
}

impl<T> Part<T> {
    fn json(self, good: impl Fn(T) -> Value) -> Option<Value> {
        Some(match self {
            Self::Good(value) | Self::Good2(value) | Self::Good3(value) => good(value),
            Self::Absent => return None,
            Self::Null => Value::Null,
            Self::Text(text) => text.into(),
            Self::Number(number) => number.into(),
            Self::List => json!([]),
        })
    }
}

fn object(parts: impl IntoIterator<Item = (&'static str, Option<Value>)>) -> Map<String, Value> {
    parts.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

fn item(item: Item) -> Value {
    let text = |text: String| json!({ "S": text });
    let slot = |slot| match slot {
        Slot::Seconds(seconds) => {
            let time = chrono::DateTime::from_timestamp(seconds, 0).unwrap_or_default();
            json!({ "S": time.to_rfc3339() })
        }
        Slot::Text(text) => json!({ "S": text }),
    };
    let mut item_json = object([
        ("advisor_id", item.advisor_id.json(text)),
        ("starts_at", item.starts_at.json(slot)),
        ("student_id", item.student_id.json(text)),
        ("topic", item.topic.json(text)),
    ]);
    item_json.extend(item.other.map(|(name, number)| (name, json!({ "N": number.to_string() }))));
    item_json.into()
}

fn record(record: Record) -> Value {
    let event_name = |name: EventName| format!("{name:?}").to_uppercase().into();
    let time = |time| match time {
        Time::Today(seconds) => (1_795_170_600 + i64::from(seconds)).into(),
        Time::Midnight(seconds) => (1_795_219_200 + i64::from(seconds)).into(),
        Time::Any(seconds) => seconds.into(),
    };
    let change = object([
        ("ApproximateCreationDateTime", record.creation_time.json(time)),
        ("SequenceNumber", record.sequence_number.json(|number| number.to_string().into())),
        ("NewImage", record.new_image.json(item)),
        ("OldImage", record.old_image.json(item)),
    ]);
    let event = object([
        ("eventID", record.event_id.json(Value::from)),
        ("eventName", record.event_name.json(event_name)),
        ("dynamodb", Some(change.into())),
    ]);
    event.into()
}

/// Checks the promise above.
pub fn check(data: &[u8]) {
    let Some(records) = fuzzing::input::<Vec<Record>>(data) else { return };
    let records: Vec<_> = records.into_iter().map(record).collect();
    crate::archive(&json!({ "Records": records }).to_string());
}
