//! Rows, objects and sums of two tables.

use std::fmt::Write;

use bytes::Bytes;
use chrono::DateTime;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use parquet::schema::printer::print_schema;
use serde_json::json;

use crate::examples::{LOANS, ORDERS};
use crate::{Column, Event, Image, Item, Key, Net, NotARow, Row, Run, Table, read, read_summary};

const LOAN: &str = r#"{"book_id":{"S":"emma"},"due_at":{"S":"2026-12-01T23:30:00-01:00"},"reader_id":{"S":"r-1"}}"#;

fn order(id: &str, total: &str) -> String {
    json!({"is_paid": {"BOOL": true}, "items": {"N": "3"}, "order_id": {"N": id}, "total": {"N": total}}).to_string()
}

/// A change on 2026-11-20, or the given number of days later.
fn event(number: u64, days: i64) -> Event<'static> {
    Event {
        id: format!("event-{number}").into(),
        source: "aws:dynamodb".into(),
        name: "MODIFY".into(),
        sequence_number: number.to_string().into(),
        time: DateTime::from_timestamp(1_795_132_800 + days * 86_400, 0).expect("it is in range"),
    }
}

fn row<'a>(table: &Table, event: Event<'a>, old: Option<&'a str>, new: Option<&'a str>) -> Result<Row<'a>, NotARow> {
    let item = |text: Option<&'a str>| text.map(|text| serde_json::from_str(text).expect("it is DynamoDB JSON"));
    Row::new(table, event, item(old), item(new))
}

fn schema(object: Vec<u8>) -> String {
    let reader = SerializedFileReader::new(Bytes::from(object)).expect("it is Parquet");
    let mut text = Vec::new();
    print_schema(&mut text, reader.metadata().file_metadata().schema());
    String::from_utf8(text).expect("it is a text")
}

#[test]
fn images_are_equal_whatever_the_order_of_their_keys_and_sets() {
    let other = r#"{"reader_id": {"S": "r-1"}, "tags": {"SS": ["b", "a"]}, "due_at": {"S": "2026-12-01T09:00:00Z"},
        "list": {"L": [{"NS": ["2", "1"]}, {"M": {"b": {"BS": ["Yg==", "YQ=="]}, "a": {"NULL": true}}}]},
        "book_id": {"S": "emma"}}"#;
    let canonical = concat!(
        r#"{"book_id":{"S":"emma"},"due_at":{"S":"2026-12-01T09:00:00Z"},"#,
        r#""list":{"L":[{"NS":["1","2"]},{"M":{"a":{"NULL":true},"b":{"BS":["YQ==","Yg=="]}}}]},"#,
        r#""reader_id":{"S":"r-1"},"tags":{"SS":["a","b"]}}"#
    );
    let image = |text| Image::parse(&LOANS, text).map(|image| image.text);
    assert_eq!(image(other).as_deref(), Some(canonical));
    assert_eq!(image(canonical).as_deref(), Some(canonical));
    // Of a name that comes twice, the last counts.
    let doubled = other.replacen('{', r#"{"tags": {"S": "none"}, "reader_id": {"S": "r-2"}, "#, 1);
    assert_eq!(image(&doubled).as_deref(), Some(canonical));
}

#[test]
fn an_image_has_its_key_as_texts_and_its_utc_date() {
    let key = |table, text: &str| Image::parse(table, text).map(|image| (image.key.0.join(" "), image.date));
    let date = "2026-12-02".parse().ok();
    assert_eq!(key(&LOANS, LOAN), Some(("emma 2026-12-01T23:30:00-01:00".into(), date)));
    assert_eq!(key(&ORDERS, &order("17", "1")), Some(("17".into(), None)));
    const DIGESTS: Table = Table { hash_key: "digest", range_key: Some("order_id"), ..ORDERS };
    let binary = order("17", "1").replacen('{', r#"{"digest":{"B":"YQ=="},"#, 1);
    assert_eq!(key(&DIGESTS, &binary), Some(("YQ== 17".into(), None)));
    assert_eq!(key(&DIGESTS, &order("17", "1")), None);
    let keys: Item = serde_json::from_str(r#"{"order_id":{"N":"17"}}"#).expect("it is DynamoDB JSON");
    assert_eq!(keys.key(&ORDERS), Some(Key(vec!["17".into()])), "a record's Keys");
}

#[test]
fn an_item_that_does_not_fit_is_refused_and_says_why() {
    let too_large = "9223372036854775808";
    for (table, text, reason) in [
        (&LOANS, "{}".into(), "loan, because book_id is not a text"),
        (&LOANS, LOAN.replace(r#"{"S":"r-1"}"#, r#"{"N":"1"}"#), "loan, because reader_id is not a text"),
        (&LOANS, LOAN.replace("2026-12-01T", "tomorrow, "), "loan, because due_at is not a time"),
        (&LOANS, LOAN.replace("2026-12-01T", "+12026-12-01T"), "loan, because due_at is not a time"),
        (&LOANS, LOAN.replace("2026-12-01T", "1899-12-01T"), "loan, because due_at is not a time"),
        (&ORDERS, order("1.5", "1"), "order, because order_id is not an integer of 64 bits"),
        (&ORDERS, order(too_large, "1"), "order, because order_id is not an integer of 64 bits"),
        (&ORDERS, order("1", "0.001"), "order, because total is not a number with at most 38 digits"),
        (&ORDERS, order("1", &"9".repeat(37)), "order, because total is not a number with at most 38 digits"),
        (&ORDERS, order("1", "1").replace("true", r#""true""#), ""),
        (
            &ORDERS,
            order("1", "1").replace(r#"{"BOOL":true}"#, r#"{"S":"true"}"#),
            "order, because is_paid is not a boolean",
        ),
        (&ORDERS, order("1", "1").replace(r#"{"N":"3"}"#, r#"{"N":"3.5"}"#), "order, because items is not an integer"),
    ] {
        assert_eq!(Image::parse(table, &text), None, "{text}");
        if !reason.is_empty() {
            let error = row(table, event(1, 0), None, Some(&text)).expect_err("it doesn't fit").to_string();
            assert!(error.starts_with(&format!("not a valid {reason}")), "{error}");
        }
    }
    assert!(Image::parse(&LOANS, &LOAN.replace("2026-12-01T", "9999-12-01T")).is_some());
    assert!(matches!(row(&ORDERS, event(1, 0), None, None), Err(NotARow::NoImage)));
}

#[test]
fn an_object_has_the_table_s_columns_between_those_of_the_event_and_the_images() {
    let order = order("1", "1");
    let orders = row(&ORDERS, event(1, 0), None, Some(&order)).expect("it fits");
    let loans = row(&LOANS, event(1, 0), None, Some(LOAN)).expect("it fits");
    let encode = |row: &Row, table| Run::new(row, [].into_iter()).encode(table).expect("it is well-formed");
    let expected = |item: &str, columns: &str| {
        let mut text = String::new();
        let event = ["event_id", "event_source", "event_name", "sequence_number"];
        writeln!(text, "message {item}_change {{").expect("a text takes everything");
        event.iter().for_each(|name| text += &format!("  REQUIRED BYTE_ARRAY {name} (STRING);\n"));
        text += "  REQUIRED INT64 event_time (TIMESTAMP(MILLIS,true));\n";
        text += columns;
        ["new_image", "old_image"].iter().for_each(|name| text += &format!("  OPTIONAL BYTE_ARRAY {name} (STRING);\n"));
        text + "}\n"
    };
    let columns = "  REQUIRED BYTE_ARRAY book_id (STRING);
  REQUIRED INT64 due_at (TIMESTAMP(MILLIS,true));
  REQUIRED BYTE_ARRAY reader_id (STRING);
  OPTIONAL BYTE_ARRAY note (STRING);\n";
    assert_eq!(schema(encode(&loans, &LOANS)), expected("loan", columns));
    let columns = "  REQUIRED INT64 order_id;
  REQUIRED FIXED_LEN_BYTE_ARRAY (16) total (DECIMAL(38,2));
  REQUIRED BOOLEAN is_paid;
  OPTIONAL INT64 items;\n";
    assert_eq!(schema(encode(&orders, &ORDERS)), expected("order", columns));
}

#[test]
fn an_order_is_read_as_it_was_written() {
    let (first, second) = (order("-17", "-12.5"), order("18", "1E+3").replace(r#"{"N":"3"}"#, r#"{"NULL":true}"#));
    let inserted = row(&ORDERS, event(8, 0), None, Some(&first)).expect("it fits");
    let removed = row(&ORDERS, event(9, 0), Some(&second), None).expect("it fits");
    let run = Run::new(&inserted, [&removed].into_iter());
    assert_eq!(run.key(&ORDERS), "orders/dt=2026-11-20/8-event-8.parquet");
    assert_eq!(ORDERS.dt(&run.key(&ORDERS)), Some(inserted.change.event.dt()));
    assert_eq!(LOANS.dt(&run.key(&ORDERS)), None);
    let object = Bytes::from(run.encode(&ORDERS).expect("it is well-formed"));
    let reader = SerializedFileReader::new(object.clone()).expect("it is Parquet");
    let columns = reader.get_row_iter(None).expect("it has rows").map(|row| {
        let columns = row.expect("it can be read").into_columns();
        let columns = columns.into_iter().filter(|(name, _)| ORDERS.columns.iter().any(|column| column.name == *name));
        columns.map(|(_, field)| field).collect::<Vec<_>>()
    });
    let decimal = |unscaled: i128| {
        let bytes = unscaled.to_be_bytes().to_vec();
        Field::Decimal(parquet::data_type::Decimal::from_bytes(bytes.into(), 38, 2))
    };
    let columns: Vec<_> = columns.collect();
    assert_eq!(columns[0], [Field::Long(-17), decimal(-1250), Field::Bool(true), Field::Long(3)]);
    assert_eq!(columns[1], [Field::Long(18), decimal(100_000), Field::Bool(true), Field::Null]);
    assert_eq!(
        read(object.clone()).expect("it is an archive object"),
        [inserted.change.clone(), removed.change.clone()]
    );
    let summary = read_summary(object.clone(), object.len() as u64).expect("it is an archive object");
    assert_eq!((summary.rows, summary.days), (2, run.days()));
    assert_eq!((&*summary.first_sequence_number, &*summary.last_sequence_number), ("8", "9"));
}

#[test]
fn an_object_is_read_whatever_columns_its_table_had() {
    let loan = row(&LOANS, event(1, 0), None, Some(LOAN)).expect("it fits");
    let object = Run::new(&loan, [].into_iter()).encode(&LOANS).expect("it is well-formed");
    let [change] = read(object.into()).expect("it is an archive object").try_into().expect("it has one row");
    assert_eq!(change, loan.change);
}

#[test]
fn the_sum_of_changes_is_that_of_the_table() {
    let changed = LOAN.replace("r-1", "r-2");
    let (lent, changed) = (Some(LOAN), Some(changed.as_str()));
    let mut changes = Net::default();
    // In the wrong order.
    for (old, new) in [(lent, changed), (changed, None), (None, lent), (None, changed)] {
        changes += row(&LOANS, event(1, 0), old, new).expect("it fits").net;
    }
    let table = Net::between(None, changed);
    assert_eq!(changes, table);
    assert_ne!(changes, Net::default());
    assert_eq!(changes.to_string().parse::<Net>().ok(), Some(changes));
}

#[test]
fn the_ledger_sums_by_the_date_of_the_item_or_of_the_change() {
    let loan = row(&LOANS, event(1, 0), None, Some(LOAN)).expect("it fits");
    let dates = |run: Run| run.days().keys().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(dates(Run::new(&loan, [].into_iter())), ["2026-12-02"]);
    let (first, second) = (order("1", "1"), order("2", "2"));
    let inserted = row(&ORDERS, event(1, 0), None, Some(&first)).expect("it fits");
    let changed = row(&ORDERS, event(2, 1), Some(&first), Some(&second)).expect("it fits");
    let run = Run::new(&inserted, [&changed].into_iter());
    let days = run.days();
    assert_eq!(dates(run), ["2026-11-20", "2026-11-21"]);
    let sum = days.into_values().fold(Net::default(), |mut sum, net| {
        sum += net;
        sum
    });
    assert_eq!(sum, Net::between(None, Some(&second)));
}

#[test]
fn what_did_not_fit_before_was_not_there() {
    let poison = order("1", "0.001");
    let good = order("1", "1");
    let mended = row(&ORDERS, event(1, 0), Some(&poison), Some(&good)).expect("the newer one fits");
    assert_eq!(mended.net, Net::between(None, Some(&good)));
    assert_eq!(mended.change.old_image.as_deref(), Some(&*poison));
}

#[test]
#[should_panic(expected = "`date` is not a part of the key")]
fn a_date_that_can_change_is_refused() {
    const COLUMNS: &[Column] = &[Column::time("at")];
    let _ = Table { date: Some("at"), columns: COLUMNS, ..ORDERS }.checked();
}

#[test]
#[should_panic(expected = "a column has the name of one that the archive adds")]
fn a_column_that_the_archive_has_is_refused() {
    const COLUMNS: &[Column] = &[Column::text("event_id")];
    let _ = Table { columns: COLUMNS, ..ORDERS }.checked();
}
