//! Evaluates expressions like `jmespath.py` with Powertools' functions.

use std::cmp::Ordering;
use std::fmt::Write;
use std::sync::Arc;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::super::value::{Format, Object, Text, Value, code_point, float, is_integer, write_python_number};
use super::expression::Node;

/// Python's `json.dumps(value, separators=(",", ":"))`.
const TO_STRING: Format = Format { comma: ",", colon: ":", sort_keys: false, number: write_python_number };

/// Like Python, ignores leftover bits in the last character.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone),
);

/// The error describes the operation and does not quote the value.
pub(super) fn evaluate(node: &Node, value: &Arc<Value>) -> Result<Arc<Value>, String> {
    Ok(match node {
        Node::Current => value.clone(),
        Node::Field(name) => match &**value {
            Value::Object(object) => object.get(name).cloned().unwrap_or_else(null),
            _ => null(),
        },
        Node::Index(index) => match &**value {
            Value::List(list) => {
                let from_end = if *index < 0 { list.len() as i64 } else { 0 };
                let index = usize::try_from(index.saturating_add(from_end)).ok();
                index.and_then(|index| list.get(index).cloned()).unwrap_or_else(null)
            }
            _ => null(),
        },
        Node::Slice { start, stop, step } => match &**value {
            Value::List(list) => Value::List(slice(list, *start, *stop, *step)).into(),
            _ => null(),
        },
        Node::Literal(literal) => literal.clone(),
        Node::Then(first, second) => evaluate(second, &evaluate(first, value)?)?,
        Node::Flatten(list) => match &*evaluate(list, value)? {
            Value::List(list) => {
                let mut flat = Vec::with_capacity(list.len());
                for element in list {
                    match &**element {
                        Value::List(elements) => flat.extend_from_slice(elements),
                        _ => flat.push(element.clone()),
                    }
                }
                Value::List(flat).into()
            }
            _ => null(),
        },
        Node::Projection(list, of_each) => match &*evaluate(list, value)? {
            Value::List(list) => project(list, of_each)?,
            _ => null(),
        },
        Node::ValueProjection(object, of_each) => match &*evaluate(object, value)? {
            Value::Object(object) => project(object.values(), of_each)?,
            _ => null(),
        },
        Node::Filter { list, condition, of_each } => match &*evaluate(list, value)? {
            Value::List(list) => {
                let mut kept = Vec::new();
                for element in list {
                    if !is_false(&*evaluate(condition, element)?) {
                        kept.push(element);
                    }
                }
                project(kept, of_each)?
            }
            _ => null(),
        },
        Node::Compare(comparator, left, right) => {
            compare(comparator, &*evaluate(left, value)?, &*evaluate(right, value)?)?.into()
        }
        Node::And(left, right) => match evaluate(left, value)? {
            left if is_false(&left) => left,
            _ => evaluate(right, value)?,
        },
        Node::Or(left, right) => match evaluate(left, value)? {
            left if is_false(&left) => evaluate(right, value)?,
            left => left,
        },
        Node::Not(operand) => Value::Bool(is_false(&*evaluate(operand, value)?)).into(),
        Node::List(_) | Node::Object(_) if value.is_null() => null(),
        Node::List(nodes) => {
            let list: Result<_, _> = nodes.iter().map(|node| evaluate(node, value)).collect();
            Value::List(list?).into()
        }
        Node::Object(members) => {
            let object: Result<Object, String> =
                members.iter().map(|(name, node)| Ok((name.clone(), evaluate(node, value)?))).collect();
            Value::Object(object?).into()
        }
        Node::Call(name, arguments) => {
            let arguments: Result<Vec<_>, _> = arguments.iter().map(|node| evaluate(node, value)).collect();
            call(name, &arguments?)?
        }
        Node::CallBy(name, list, of_each) => match &*evaluate(list, value)? {
            Value::List(list) => {
                let of_each: Result<Vec<_>, _> = list.iter().map(|element| evaluate(of_each, element)).collect();
                call_by(name, list, of_each?)?
            }
            _ => return Err(inapplicable(name)),
        },
    })
}

fn null() -> Arc<Value> {
    Value::Null.into()
}

fn inapplicable(name: &str) -> String {
    format!("can't apply {name} to the event's values")
}

fn project<'a>(elements: impl IntoIterator<Item = &'a Arc<Value>>, of_each: &Node) -> Result<Arc<Value>, String> {
    let mut results = Vec::new();
    for element in elements {
        let result = evaluate(of_each, element)?;
        if !result.is_null() {
            results.push(result);
        }
    }
    Ok(Value::List(results).into())
}

/// Like Python's `list[start:stop:step]`.
fn slice(list: &[Arc<Value>], start: Option<i64>, stop: Option<i64>, step: i64) -> Vec<Arc<Value>> {
    let length = list.len() as i64;
    let (least, most) = if step > 0 { (0, length) } else { (-1, length - 1) };
    let bound = |index: i64| (if index < 0 { index.saturating_add(length) } else { index }).clamp(least, most);
    let (first, end) = if step > 0 { (least, most) } else { (most, least) };
    let (mut index, stop) = (start.map_or(first, bound), stop.map_or(end, bound));
    let mut slice = Vec::new();
    while if step > 0 { index < stop } else { index > stop } {
        slice.push(list[index as usize].clone());
        index = index.saturating_add(step);
    }
    slice
}

fn is_false(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Text(text) => text.0.is_empty(),
        Value::List(list) => list.is_empty(),
        Value::Object(object) => object.is_empty(),
        Value::Bool(true) | Value::Number(_) => false,
    }
}

fn compare(comparator: &str, left: &Value, right: &Value) -> Result<Value, String> {
    let is_equal = || match (left, right) {
        (Value::Bool(_), Value::Number(_)) | (Value::Number(_), Value::Bool(_)) => false,
        _ => is_equal(left, right),
    };
    let order = match (comparator, left, right) {
        ("==", ..) => return Ok(Value::Bool(is_equal())),
        ("!=", ..) => return Ok(Value::Bool(!is_equal())),
        (_, Value::Number(_) | Value::Text(_), Value::Number(_) | Value::Text(_)) => {
            order(left, right).ok_or_else(|| "can't compare a number with a text".to_owned())?
        }
        _ => return Ok(Value::Null),
    };
    Ok(Value::Bool(match comparator {
        "<" => order.is_lt(),
        "<=" => order.is_le(),
        ">" => order.is_gt(),
        _ => order.is_ge(),
    }))
}

/// Like Python's `==`, where `true` equals 1 and `1` equals `1.0`.
fn is_equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Null, Value::Null) => true,
        (Value::Bool(left), Value::Bool(right)) => left == right,
        (Value::Number(number), Value::Bool(bool)) | (Value::Bool(bool), Value::Number(number)) => {
            order_of_numbers(number, if *bool { "1" } else { "0" }).is_eq()
        }
        (Value::Number(_), Value::Number(_)) | (Value::Text(_), Value::Text(_)) => {
            order(left, right) == Some(Ordering::Equal)
        }
        (Value::List(left), Value::List(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| is_equal(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left.iter().all(|(key, left)| right.get(key).is_some_and(|right| is_equal(left, right)))
        }
        _ => false,
    }
}

/// The order of two numbers or two strings.
fn order(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => Some(order_of_numbers(left, right)),
        (Value::Text(left), Value::Text(right)) => Some(left.cmp(right)),
        _ => None,
    }
}

/// Exact, as in Python: integers are not converted to floating-point numbers.
fn order_of_numbers(left: &str, right: &str) -> Ordering {
    match (is_integer(left), is_integer(right)) {
        (true, true) => order_of_integers(left, right),
        (true, false) => order_of_numbers(right, left).reverse(),
        (false, false) => float(left).partial_cmp(&float(right)).expect("JSON has no NaN"),
        (false, true) => {
            let float = float(left);
            if float.is_infinite() {
                return if float > 0.0 { Ordering::Greater } else { Ordering::Less };
            }
            let has_fraction = if float > float.floor() { Ordering::Greater } else { Ordering::Equal };
            // Without the sign of a zero, which an integer does not have.
            order_of_integers(&format!("{:.0}", float.floor() + 0.0), right).then(has_fraction)
        }
    }
}

fn order_of_integers(left: &str, right: &str) -> Ordering {
    match (left.strip_prefix('-'), right.strip_prefix('-')) {
        (None, None) => (left.len(), left).cmp(&(right.len(), right)),
        (None, Some(_)) => Ordering::Greater,
        (Some(_), None) => Ordering::Less,
        (Some(left), Some(right)) => (right.len(), right).cmp(&(left.len(), left)),
    }
}

fn call(name: &str, arguments: &[Arc<Value>]) -> Result<Arc<Value>, String> {
    let values: Vec<&Value> = arguments.iter().map(|argument| &**argument).collect();
    Ok(Arc::new(match (name, &values[..]) {
        ("contains", [Value::Text(text), Value::Text(part)]) => {
            Value::Bool(part.0.is_empty() || text.0.windows(part.0.len()).any(|window| window == part.0))
        }
        ("contains", [Value::List(list), sought]) => Value::Bool(list.iter().any(|element| is_equal(element, sought))),
        ("ends_with", [Value::Text(text), Value::Text(end)]) => Value::Bool(text.0.ends_with(&end.0)),
        ("join", [Value::Text(glue), Value::List(parts)]) => {
            let parts: Option<Vec<_>> = parts.iter().map(|part| as_text(part)).collect();
            Value::Text(Text(parts.ok_or_else(|| inapplicable(name))?.join(&glue.0[..])))
        }
        ("keys", [Value::Object(object)]) => {
            Value::List(object.keys().map(|key| Value::Text(key.clone()).into()).collect())
        }
        ("length", [Value::Text(text)]) => Value::Number(text.characters().count().to_string()),
        ("length", [Value::List(list)]) => Value::Number(list.len().to_string()),
        ("length", [Value::Object(object)]) => Value::Number(object.len().to_string()),
        ("max" | "min" | "sort", [Value::List(list)]) => return call_by(name, list, list.clone()),
        ("merge", objects) => {
            let mut merged = Object::new();
            for object in objects {
                let Value::Object(object) = object else { return Err(inapplicable(name)) };
                merged.extend(object.iter().map(|(key, value)| (key.clone(), value.clone())));
            }
            Value::Object(merged)
        }
        ("not_null", _) => {
            return Ok(arguments.iter().find(|argument| !argument.is_null()).cloned().unwrap_or_else(null));
        }
        ("powertools_base64", [Value::Text(text)]) => {
            Value::Text(Text(base64(&text.0).ok_or_else(|| inapplicable(name))?.into()))
        }
        ("powertools_json", [Value::Text(text)]) => return json(text).ok_or_else(|| inapplicable(name)),
        ("reverse", [Value::Text(text)]) => Value::Text(Text(text.characters().rev().flatten().copied().collect())),
        ("reverse", [Value::List(list)]) => Value::List(list.iter().rev().cloned().collect()),
        ("starts_with", [Value::Text(text), Value::Text(start)]) => Value::Bool(text.0.starts_with(&start.0)),
        ("to_array", [Value::List(_)]) | ("to_string", [Value::Text(_)]) => return Ok(arguments[0].clone()),
        ("to_array", [_]) => Value::List(arguments.to_vec()),
        ("to_string", [value]) => {
            let mut text = String::new();
            value.write(&mut text, &TO_STRING);
            Value::Text(Text(text.into()))
        }
        ("type", [value]) => Value::Text(Text(
            match value {
                Value::Null => "null",
                Value::Bool(_) => "boolean",
                Value::Number(_) => "number",
                Value::Text(_) => "string",
                Value::List(_) => "array",
                Value::Object(_) => "object",
            }
            .into(),
        )),
        ("values", [Value::Object(object)]) => Value::List(object.values().cloned().collect()),
        _ => return Err(inapplicable(name)),
    }))
}

/// Calls a function with the expression's value for each element of the list.
fn call_by(name: &str, list: &[Arc<Value>], of_each: Vec<Arc<Value>>) -> Result<Arc<Value>, String> {
    if name == "map" {
        return Ok(Value::List(of_each).into());
    }
    // All must be numbers, or all strings.
    if !of_each.iter().all(|value| order(value, &of_each[0]).is_some()) {
        return Err(inapplicable(name));
    }
    let mut sorted: Vec<_> = list.iter().zip(&of_each).collect();
    // Stable, as in Python: the first of equal elements.
    let compare = |left: &Value, right: &Value| order(left, right).unwrap_or(Ordering::Equal);
    match name {
        "max" | "max_by" => sorted.sort_by(|left, right| compare(right.1, left.1)),
        _ => sorted.sort_by(|left, right| compare(left.1, right.1)),
    }
    let mut sorted = sorted.into_iter().map(|(element, _)| element.clone());
    Ok(match name {
        "sort" | "sort_by" => Value::List(sorted.collect()).into(),
        _ => sorted.next().unwrap_or_else(null),
    })
}

fn as_text(value: &Value) -> Option<&[u8]> {
    match value {
        Value::Text(text) => Some(&text.0),
        _ => None,
    }
}

/// Like Python's `json.loads`: halves of surrogate pairs are allowed in strings, and mean the same as their escapes.
fn json(text: &Text) -> Option<Arc<Value>> {
    let mut json = String::with_capacity(text.0.len());
    for character in text.characters() {
        match str::from_utf8(character) {
            Ok(character) => json.push_str(character),
            // It would escape the escape.
            Err(_) if json.ends_with('\\') => return None,
            Err(_) => write!(json, "\\u{:04x}", code_point(character)).ok()?,
        }
    }
    Value::from_json(serde_json::from_str(&json).ok()?).ok()
}

/// Like Python's `base64.b64decode`: ignores other characters, and everything after the padding.
fn base64(text: &[u8]) -> Option<String> {
    let mut digits = Vec::with_capacity(text.len());
    let mut padding = 0;
    let mut is_padded = false;
    for &byte in text {
        match byte {
            _ if !byte.is_ascii() => return None,
            _ if is_padded => {}
            b'=' if digits.len() % 4 >= 2 => {
                padding += 1;
                is_padded = digits.len() % 4 + padding >= 4;
            }
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'+' | b'/' => {
                padding = 0;
                digits.push(byte);
            }
            _ => {}
        }
    }
    let is_whole = is_padded || digits.len() % 4 == 0;
    String::from_utf8(BASE64.decode(digits).ok().filter(|_| is_whole)?).ok()
}
