//! Values, keys and expressions have the bytes that the official clients give them. The clients make the expected bytes while the test runs.
//!
//! `DAX_CLIENTS` is the folder with the clients that DAX Local's README makes.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::process::{Command, Stdio};

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use dynamodb_dax::wire::cbor::{Decoder, Encoder};
use dynamodb_dax::wire::expression::{Expressions, Purpose, Texts, decode_projection};
use dynamodb_dax::wire::value::{Item, KeySchema, KeyType, decode_value, encode_value};
use fastrand::Rng;
use serde_json::{Value, json};

fn clients() -> String {
    std::env::var("DAX_CLIENTS").expect("DAX_CLIENTS: the folder with the official clients")
}

fn run(mut command: Command, cases: &[Value]) -> Vec<String> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let lines: String = cases.iter().map(|case| format!("{case}\n")).collect();
    let writer = std::thread::spawn(move || input.write_all(lines.as_bytes()).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    let lines: Vec<_> = String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), cases.len());
    lines
}

fn python(cases: &[Value]) -> Vec<String> {
    let mut command = Command::new(format!("{}/bin/python", clients()));
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/official.py"));
    run(command, cases)
}

fn node(cases: &[Value]) -> Vec<String> {
    let mut command = Command::new("node");
    command.arg("--no-warnings");
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/official.js"));
    command.env("NODE_PATH", format!("{}/node/node_modules", clients()));
    run(command, cases)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn describe(value: &AttributeValue) -> Value {
    match value {
        AttributeValue::S(text) => json!({ "S": text }),
        AttributeValue::N(text) => json!({ "N": text }),
        AttributeValue::B(bytes) => json!({ "B": hex(bytes.as_ref()) }),
        AttributeValue::Bool(value) => json!({ "BOOL": value }),
        AttributeValue::Null(_) => json!({ "NULL": true }),
        AttributeValue::Ss(values) => json!({ "SS": values }),
        AttributeValue::Ns(values) => json!({ "NS": values }),
        AttributeValue::Bs(values) => json!({ "BS": values.iter().map(|one| hex(one.as_ref())).collect::<Vec<_>>() }),
        AttributeValue::L(values) => json!({ "L": values.iter().map(describe).collect::<Vec<_>>() }),
        AttributeValue::M(values) => json!({ "M": describe_item(values) }),
        _ => unreachable!(),
    }
}

fn describe_item(item: &Item) -> Value {
    // The Node client writes maps in the order in which it gets them.
    let sorted: BTreeMap<_, _> = item.iter().map(|(name, value)| (name, describe(value))).collect();
    json!(sorted)
}

/// Numbers that the two clients write alike: the Node client sends large integers as big ones, and short fractions as floats.
#[derive(Clone, Copy, PartialEq)]
enum Numbers {
    Any,
    Alike,
}

fn digits(random: &mut Rng, count: usize) -> String {
    let first = random.u8(1..10);
    (1..count).fold(first.to_string(), |digits, _| digits + &random.u8(0..10).to_string())
}

fn number(random: &mut Rng, numbers: Numbers) -> String {
    let sign = if random.bool() { "-" } else { "" };
    let integer = |random: &mut Rng, most: usize| {
        let count = random.usize(1..=most);
        digits(random, count)
    };
    if random.u8(0..20) == 0 {
        return "0".to_owned();
    }
    match (numbers, random.u8(0..4)) {
        (Numbers::Any, 0) => format!("{sign}{}.{}", integer(random, 18), integer(random, 18)),
        (Numbers::Any, 1) => format!("{sign}0.{}{}", "0".repeat(random.usize(0..60)), integer(random, 30)),
        (Numbers::Any, 2) => format!("{sign}{}{}", integer(random, 38), "0".repeat(random.usize(0..80))),
        // Too long for a float.
        (Numbers::Alike, 0) => format!("{sign}{}.{}1", digits(random, 10), digits(random, 20)),
        _ => format!("{sign}{}", integer(random, 15)),
    }
}

fn text(random: &mut Rng) -> String {
    let length = random.usize(1..30);
    (0..length).map(|_| random.choice(['a', 'Z', '0', '_', ' ', 'é', '漢', '🙂', '"', '\\']).unwrap()).collect()
}

fn bytes(random: &mut Rng) -> Vec<u8> {
    let length = random.usize(1..300);
    (0..length).map(|_| random.u8(..)).collect()
}

fn value(random: &mut Rng, numbers: Numbers, depth: usize) -> AttributeValue {
    let some = |random: &mut Rng| random.usize(1..4);
    match random.u8(0..if depth < 4 { 10 } else { 8 }) {
        0 => AttributeValue::S(text(random)),
        1 => AttributeValue::N(number(random, numbers)),
        2 => AttributeValue::B(Blob::new(bytes(random))),
        3 => AttributeValue::Bool(random.bool()),
        4 => AttributeValue::Null(true),
        5 => AttributeValue::Ss((0..some(random)).map(|_| text(random)).collect()),
        6 => AttributeValue::Ns((0..some(random)).map(|_| number(random, numbers)).collect()),
        7 => AttributeValue::Bs((0..some(random)).map(|_| Blob::new(bytes(random))).collect()),
        8 => AttributeValue::L((0..some(random)).map(|_| value(random, numbers, depth + 1)).collect()),
        _ => {
            // Not numbers, which JavaScript would put first.
            let pairs = (0..some(random))
                .map(|at| (format!("k{at}{}", random.alphabetic()), value(random, numbers, depth + 1)));
            AttributeValue::M(pairs.collect())
        }
    }
}

#[test]
#[ignore = "needs the official clients, and DAX_CLIENTS"]
fn values_have_the_bytes_of_the_official_clients() {
    let random = &mut Rng::with_seed(1);
    for (numbers, both) in [(Numbers::Any, false), (Numbers::Alike, true)] {
        let values: Vec<_> = (0..2_000).map(|_| value(random, numbers, 0)).collect();
        let cases: Vec<_> = values.iter().map(|value| json!({ "case": "value", "value": describe(value) })).collect();
        let (python, node) = (python(&cases), node(&cases));
        for (at, value) in values.iter().enumerate() {
            let mut encoder = Encoder::default();
            encode_value(value, &mut encoder).unwrap();
            assert_eq!(hex(&encoder.buffer), python[at], "{}", cases[at]);
            if both {
                assert_eq!(hex(&encoder.buffer), node[at], "{}", cases[at]);
            }
            // What the Node client writes differently is read as the same value.
            let theirs = from_hex(&node[at]);
            let mut decoder = Decoder::new(&theirs);
            let read = decode_value(&mut decoder).unwrap();
            let mut again = Decoder::new(&encoder.buffer);
            assert_eq!(read, decode_value(&mut again).unwrap(), "{}", cases[at]);
            assert!(decoder.is_empty() && again.is_empty());
        }
    }
}

#[test]
#[ignore = "needs the official clients, and DAX_CLIENTS"]
fn keys_have_the_bytes_of_the_official_clients_and_are_read_back() {
    let random = &mut Rng::with_seed(2);
    for (numbers, both) in [(Numbers::Any, false), (Numbers::Alike, true)] {
        let mut keys = Vec::new();
        for _ in 0..2_000 {
            let of = |random: &mut Rng| random.choice([KeyType::B, KeyType::N, KeyType::S]).unwrap();
            let key_value = |random: &mut Rng, of| match of {
                KeyType::B => AttributeValue::B(Blob::new(bytes(random))),
                KeyType::N => AttributeValue::N(number(random, numbers)),
                KeyType::S => AttributeValue::S(text(random)),
            };
            let hash = of(random);
            let range = random.bool().then(|| of(random));
            let mut key = Item::from([("h".to_owned(), key_value(random, hash))]);
            key.extend(range.map(|range| ("r".to_owned(), key_value(random, range))));
            let schema = KeySchema { hash: ("h".to_owned(), hash), range: range.map(|range| ("r".to_owned(), range)) };
            keys.push((schema, key));
        }
        let cases: Vec<_> = keys
            .iter()
            .map(|(schema, key)| {
                let parts = [Some(&schema.hash), schema.range.as_ref()].into_iter().flatten();
                let schema: Vec<_> = parts.map(|(name, of)| json!([name, of.as_str()])).collect();
                json!({ "case": "key", "schema": schema, "item": describe_item(key) })
            })
            .collect();
        let (python, node) = (python(&cases), node(&cases));
        for (at, (schema, key)) in keys.iter().enumerate() {
            let encoded = schema.encode(key).unwrap();
            // It does not take sort keys of more than 38 digits, whatever zeros they end with.
            if !python[at].starts_with("error: Rounded") {
                assert_eq!(hex(&encoded), python[at], "{}", cases[at]);
            }
            if both {
                assert_eq!(hex(&encoded), node[at], "{}", cases[at]);
            }
            assert_eq!(
                schema.encode(&schema.decode(&encoded).unwrap()).map(|again| schema.decode(&again)),
                Ok(schema.decode(&encoded))
            );
        }
    }
}

/// A random expression that every client parses alike.
struct Writer<'r> {
    random: &'r mut Rng,
    names: HashMap<String, String>,
    values: Item,
}

impl Writer<'_> {
    fn space(&mut self) -> &'static str {
        self.random.choice([" ", "  ", "\n", "\t "]).unwrap()
    }

    fn keyword(&mut self, keyword: &str) -> String {
        let keyword = if self.random.bool() { keyword.to_lowercase() } else { keyword.to_owned() };
        format!("{}{keyword}{}", self.space(), self.space())
    }

    fn name(&mut self) -> String {
        if self.random.bool() {
            return self.random.choice(["a", "bB", "c_1", "data"]).unwrap().to_owned();
        }
        let name = format!("#{}", self.random.choice(["n", "N0", "_x"]).unwrap());
        self.names.insert(name.clone(), format!("a name, {name}"));
        name
    }

    fn path(&mut self) -> String {
        let mut path = self.name();
        for _ in 0..self.random.usize(0..3) {
            path +=
                &if self.random.bool() { format!(".{}", self.name()) } else { format!("[{}]", self.random.u16(..)) };
        }
        path
    }

    fn value(&mut self) -> String {
        let name = format!(":{}", self.random.choice(["v", "V0", "_x"]).unwrap());
        let value = value(self.random, Numbers::Alike, 3);
        self.values.entry(name.clone()).or_insert(value);
        name
    }

    fn operand(&mut self, nested: &str) -> String {
        match self.random.u8(0..6) {
            0 | 1 => self.path(),
            2 | 3 => self.value(),
            4 => format!("({})", if self.random.bool() { self.path() } else { self.value() }),
            _ if nested == "size" => format!("size({})", self.path()),
            _ => format!("{nested}({}, {})", self.path(), self.value()),
        }
    }

    fn condition(&mut self, depth: usize) -> String {
        match self.random.u8(0..if depth < 4 { 9 } else { 5 }) {
            0 | 1 => {
                let sign = self.random.choice(["=", "<>", "<", "<=", ">", ">="]).unwrap();
                format!("{}{}{sign} {}", self.operand("size"), self.space(), self.operand("size"))
            }
            2 => {
                let (operand, low) = (self.operand("size"), self.operand("size"));
                format!("{operand}{}{low}{}{}", self.keyword("BETWEEN"), self.keyword("AND"), self.operand("size"))
            }
            3 => {
                let choices: Vec<_> = (0..self.random.usize(1..4)).map(|_| self.operand("size")).collect();
                format!("{}{}({})", self.operand("size"), self.keyword("IN"), choices.join(","))
            }
            4 => match self.random.u8(0..3) {
                0 => format!("attribute_exists({})", self.path()),
                1 => format!("Attribute_Not_Exists ( {} )", self.path()),
                _ => {
                    let name = self.random.choice(["attribute_type", "begins_with", "contains"]).unwrap();
                    format!("{name}({}, {})", self.path(), self.value())
                }
            },
            5 => format!("{}({})", self.keyword("NOT").trim_start(), self.condition(depth + 1)),
            6 => format!("{} {}", self.keyword("NOT").trim(), self.condition(4)),
            _ => {
                let keyword = self.random.choice(["AND", "OR"]).unwrap();
                format!("({}){}({})", self.condition(depth + 1), self.keyword(keyword), self.condition(depth + 1))
            }
        }
    }

    fn update(&mut self) -> String {
        let mut sections = vec!["SET", "ADD", "REMOVE", "DELETE"];
        self.random.shuffle(&mut sections);
        let mut text = String::new();
        for section in &sections[..self.random.usize(1..4)] {
            let mut actions = Vec::new();
            for _ in 0..self.random.usize(1..3) {
                let path = self.path();
                actions.push(match *section {
                    "SET" => format!("{path} = {}", self.set_value()),
                    "REMOVE" => path,
                    _ => format!("{path} {}", self.value()),
                });
            }
            text += &format!("{}{}", self.keyword(section), actions.join(" ,"));
        }
        text
    }

    fn set_value(&mut self) -> String {
        match self.random.u8(0..4) {
            0 => self.operand("if_not_exists"),
            1 => format!("list_append({}, {})", self.operand("if_not_exists"), self.operand("if_not_exists")),
            2 => format!("({} - {})", self.operand("if_not_exists"), self.operand("if_not_exists")),
            _ => format!("{}+{}", self.operand("if_not_exists"), self.operand("if_not_exists")),
        }
    }
}

fn expression(random: &mut Rng) -> (Purpose, String, HashMap<String, String>, Item) {
    let purpose = random
        .choice([Purpose::Condition, Purpose::Filter, Purpose::KeyCondition, Purpose::Projection, Purpose::Update])
        .unwrap();
    let mut writer = Writer { random, names: HashMap::new(), values: Item::new() };
    let text = match purpose {
        Purpose::Projection => {
            let paths: Vec<_> = (0..writer.random.usize(1..5)).map(|_| writer.path()).collect();
            paths.join(" , ")
        }
        Purpose::Update => writer.update(),
        _ => writer.condition(0),
    };
    (purpose, text, writer.names, writer.values)
}

fn case(purpose: Purpose, text: &str, names: &HashMap<String, String>, values: &Item) -> Value {
    json!({ "case": "expression", "purpose": format!("{purpose:?}"), "text": text, "names": names, "values": describe_item(values) })
}

#[test]
#[ignore = "needs the official clients, and DAX_CLIENTS"]
fn expressions_have_the_bytes_of_the_official_clients() {
    let random = &mut Rng::with_seed(3);
    let expressions: Vec<_> = (0..2_000).map(|_| expression(random)).collect();
    let cases: Vec<_> =
        expressions.iter().map(|(purpose, text, names, values)| case(*purpose, text, names, values)).collect();
    let (python, node) = (python(&cases), node(&cases));
    let mut alike = 0;
    for (at, (purpose, text, names, values)) in expressions.iter().enumerate() {
        let encoded = Expressions::new(Some(names), Some(values)).encode(*purpose, text);
        let encoded = hex(&encoded.unwrap_or_else(|error| panic!("{error}: {text}")));
        assert_eq!(encoded, python[at], "{text}");
        // The Node client sends a value once for each time that it is used, the others once.
        if values.keys().all(|name| text.matches(name.as_str()).count() == 1) {
            assert_eq!(encoded, node[at], "{text}");
            alike += 1;
        }
    }
    assert!(alike > 500, "only {alike} expressions use each value once");
}

#[test]
#[ignore = "needs the official clients, and DAX_CLIENTS"]
fn chains_and_precedence_are_those_of_the_node_client() {
    let texts = [
        "a=b AND c=d AND e=f",
        "a=b OR c=d OR e=f",
        "a=b OR c=d AND e=f",
        "NOT a=b AND c=d OR NOT NOT e=f",
        "a BETWEEN b AND c AND d=e",
        "NOT (a=b OR c=d) AND e IN (f, g)",
    ];
    let cases: Vec<_> = texts.iter().map(|text| case(Purpose::Filter, text, &HashMap::new(), &Item::new())).collect();
    for (text, node) in texts.iter().zip(node(&cases)) {
        let encoded = Expressions::new(None, None).encode(Purpose::Filter, text).unwrap();
        assert_eq!(hex(&encoded), node, "{text}");
    }
}

#[test]
#[ignore = "needs the official clients, and DAX_CLIENTS"]
fn what_an_official_client_refuses_is_refused() {
    let (names, values) = (
        HashMap::from([("#n".to_owned(), "n".to_owned())]),
        Item::from([(":v".to_owned(), AttributeValue::Bool(true))]),
    );
    let texts = [
        (Purpose::Condition, "#n = :v AND"),
        (Purpose::Condition, "((#n = :v))"),
        (Purpose::Condition, "((#n)) = :v"),
        (Purpose::Condition, "size(#n) AND a = :v"),
        (Purpose::Condition, "#n = contains(a, :v)"),
        (Purpose::Condition, "if_not_exists(#n, :v) = a"),
        (Purpose::Condition, "#n == :v"),
        (Purpose::Condition, "#n = :v a"),
        (Purpose::Condition, "a.#n[01] = :v"),
        (Purpose::Condition, "set = :v AND #n = a"),
        (Purpose::Condition, "#n = :w"),
        (Purpose::Condition, "#m = :v"),
        (Purpose::Condition, "a = :v"),
        (Purpose::Condition, "#n = a"),
        (Purpose::Condition, "unknown(#n, :v)"),
        (Purpose::Condition, "#n IN ()"),
        (Purpose::Condition, "#n = :v ; a"),
        (Purpose::Update, "SET #n = :v + :v + :v"),
        (Purpose::Update, "SET #n = list_append(list_append(a, :v), :v)"),
        (Purpose::Update, "SET #n = size(:v)"),
        (Purpose::Update, "ADD #n a, b :v"),
        (Purpose::Update, "SET #n = ((a + :v))"),
        (Purpose::Update, "#n = :v"),
    ];
    let cases: Vec<_> = texts.iter().map(|(purpose, text)| case(*purpose, text, &names, &values)).collect();
    for ((purpose, text), node) in texts.iter().zip(node(&cases)) {
        assert!(node.starts_with("error"), "{text}: the official client takes it");
        let mut expressions = Expressions::new(Some(&names), Some(&values));
        let encoded = expressions.encode(*purpose, text).and_then(|_| expressions.finish());
        assert!(encoded.is_err(), "{text}");
    }
}

#[test]
fn an_expression_made_text_and_parsed_again_has_the_same_bytes() {
    let random = &mut Rng::with_seed(4);
    for _ in 0..2_000 {
        let (purpose, text, names, values) = expression(random);
        let encoded = Expressions::new(Some(&names), Some(&values)).encode(purpose, &text).unwrap();
        if purpose == Purpose::Projection {
            let paths = Expressions::new(Some(&names), None).projection(&text).unwrap().1;
            assert_eq!(decode_projection(&encoded), Ok(paths));
            continue;
        }
        let mut texts = Texts::default();
        let again = texts.text(&encoded, purpose).unwrap();
        let again = Expressions::new(Some(&texts.names), Some(&texts.values)).encode(purpose, &again);
        if purpose != Purpose::Update {
            assert_eq!(again.map(|bytes| hex(&bytes)), Ok(hex(&encoded)), "{text}");
        } else {
            assert_eq!(again.map(|bytes| bytes.len()), Ok(encoded.len()), "{text}");
        }
    }
}
