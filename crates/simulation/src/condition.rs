//! Condition expressions, as far as the handlers use them:
//! <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.OperatorsAndFunctions.html>

use std::cmp::Ordering;
use std::iter::Peekable;
use std::str::SplitWhitespace;

use serde_json::{Value, json};

use crate::cloud::Item;

/// Whether a request's condition holds for an item.
pub fn is_met(request: &Value, item: Option<&Item>) -> bool {
    let Some(condition) = request.get("ConditionExpression") else { return true };
    let condition = condition.as_str().expect("conditions are expressions");
    let condition = condition.replace('(', " ( ").replace(')', " ) ").replace(',', " , ");
    let mut evaluation = Evaluation { request, item, tokens: condition.split_whitespace().peekable() };
    let is_met = evaluation.any();
    assert_eq!(evaluation.tokens.next(), None, "this part of {condition} is not simulated");
    is_met
}

struct Evaluation<'a> {
    request: &'a Value,
    item: Option<&'a Item>,
    tokens: Peekable<SplitWhitespace<'a>>,
}

// Both sides of `OR` and `AND` are evaluated, so that their tokens are read.
impl<'a> Evaluation<'a> {
    fn any(&mut self) -> bool {
        let mut is_met = self.all();
        while self.tokens.next_if_eq(&"OR").is_some() {
            is_met |= self.all();
        }
        is_met
    }

    /// `AND` binds tighter than `OR`.
    fn all(&mut self) -> bool {
        let mut is_met = self.one();
        while self.tokens.next_if_eq(&"AND").is_some() {
            is_met &= self.one();
        }
        is_met
    }

    fn one(&mut self) -> bool {
        match self.token() {
            "(" => {
                let is_met = self.any();
                self.end_of_parenthesis();
                is_met
            }
            "NOT" => !self.one(),
            "attribute_exists" => self.argument().is_some(),
            "attribute_not_exists" => self.argument().is_none(),
            "contains" => {
                assert_eq!(self.token(), "(", "a function has arguments");
                let (set, comma, value) = (self.token(), self.token(), self.token());
                assert_eq!(comma, ",", "the arguments are two");
                self.end_of_parenthesis();
                let (set, value) = (self.operand(set), self.operand(value));
                let elements = set.and_then(|set| set["SS"].as_array());
                elements.is_some_and(|elements| value.is_some_and(|value| elements.contains(&value["S"])))
            }
            "size" => {
                let size = self
                    .argument()
                    .and_then(|set| set["SS"].as_array())
                    .map(|elements| json!({"N": elements.len().to_string()}));
                let (comparator, right) = (self.token(), self.token());
                self.holds(size.as_ref(), comparator, self.operand(right))
            }
            left => {
                let (comparator, right) = (self.token(), self.token());
                self.holds(self.operand(left), comparator, self.operand(right))
            }
        }
    }

    fn holds(&self, left: Option<&Value>, comparator: &str, right: Option<&Value>) -> bool {
        let ordering = compare(left, right);
        match comparator {
            "=" => ordering == Some(Ordering::Equal),
            "<" => ordering == Some(Ordering::Less),
            ">" => ordering == Some(Ordering::Greater),
            _ => panic!("{comparator} is not simulated"),
        }
    }

    fn argument(&mut self) -> Option<&'a Value> {
        assert_eq!(self.token(), "(", "a function has an argument");
        let name = self.token();
        self.end_of_parenthesis();
        self.operand(name)
    }

    /// A value of the request, or an attribute of the item.
    fn operand(&self, name: &str) -> Option<&'a Value> {
        match name.as_bytes()[0] {
            b':' => self.request["ExpressionAttributeValues"].get(name),
            b'#' => self.item?.get(self.request["ExpressionAttributeNames"][name].as_str()?),
            _ => self.item?.get(name),
        }
    }

    fn token(&mut self) -> &'a str {
        self.tokens.next().expect("the condition is complete")
    }

    fn end_of_parenthesis(&mut self) {
        assert_eq!(self.token(), ")", "a parenthesis has an end");
    }
}

/// Texts by their bytes in UTF-8; `None` if there is nothing to compare.
fn compare(left: Option<&Value>, right: Option<&Value>) -> Option<Ordering> {
    let (left, right) = (left?, right?);
    if let (Some(left), Some(right)) = (left["S"].as_str(), right["S"].as_str()) {
        return Some(left.cmp(right));
    }
    Some(number(left)?.cmp(&number(right)?))
}

fn number(attribute: &Value) -> Option<i64> {
    Some(attribute["N"].as_str()?.parse().expect("it is a whole number"))
}
