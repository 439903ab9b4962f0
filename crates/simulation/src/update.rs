//! Update expressions, as far as the handlers use them:
//! <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.UpdateExpressions.html>

use std::iter::Peekable;
use std::str::SplitWhitespace;

use serde_json::{Value, json};

use crate::cloud::Item;

/// Changes an item as a request says.
pub fn update(item: &mut Item, request: &Value) {
    let expression = request["UpdateExpression"].as_str().expect("updates are expressions");
    let expression = expression.replace('(', " ( ").replace(')', " ) ").replace(',', " , ");
    let mut tokens = expression.split_whitespace().peekable();
    // Operands are those before the update.
    let old = item.clone();
    while let Some(clause) = tokens.next() {
        loop {
            let name = name(request, tokens.next().expect("a clause has an attribute"));
            match clause {
                "SET" => {
                    assert_eq!(tokens.next(), Some("="), "this part of {expression} is not simulated");
                    let value = value(request, &old, &mut tokens);
                    item.insert(name, value);
                }
                "REMOVE" => {
                    item.remove(&name);
                }
                "ADD" | "DELETE" => {
                    let value = value(request, &old, &mut tokens);
                    match changed(clause, old.get(&name), &value) {
                        Some(value) => item.insert(name, value),
                        None => item.remove(&name),
                    };
                }
                _ => panic!("{clause} is not simulated"),
            }
            if tokens.next_if_eq(&",").is_none() {
                break;
            }
        }
    }
}

/// A number or a set of texts after `ADD` or `DELETE`; `None` if the set is empty, because there is no empty set.
fn changed(clause: &str, old: Option<&Value>, value: &Value) -> Option<Value> {
    if let Some(summand) = value["N"].as_str() {
        let number = |text: &str| text.parse::<i64>().expect("it is a whole number");
        let sum = old.and_then(|old| old["N"].as_str()).map_or(0, number) + number(summand);
        return Some(json!({"N": sum.to_string()}));
    }
    let changed = strings(value);
    let mut set = old.map(strings).unwrap_or_default();
    set.retain(|one| !changed.contains(one));
    if clause == "ADD" {
        set.extend(changed);
    }
    (!set.is_empty()).then(|| json!({"SS": set}))
}

/// An attribute's name.
fn name(request: &Value, token: &str) -> String {
    match token.starts_with('#') {
        true => request["ExpressionAttributeNames"][token].as_str().expect("the request has the name").to_owned(),
        false => token.to_owned(),
    }
}

/// A value of the request, an attribute of the item, or `if_not_exists`.
fn value(request: &Value, item: &Item, tokens: &mut Peekable<SplitWhitespace<'_>>) -> Value {
    let word = tokens.next().expect("an attribute gets a value");
    if word == "if_not_exists" {
        let [open, attribute, comma, default, close] = [(); 5].map(|()| tokens.next().expect("a function is complete"));
        assert_eq!([open, comma, close], ["(", ",", ")"], "a function has two arguments");
        let existing = item.get(&name(request, attribute));
        return existing.unwrap_or(&request["ExpressionAttributeValues"][default]).clone();
    }
    match word.starts_with(':') {
        true => request["ExpressionAttributeValues"][word].clone(),
        false => item[&name(request, word)].clone(),
    }
}

fn strings(set: &Value) -> Vec<Value> {
    set["SS"].as_array().expect("other sets are not simulated").clone()
}
