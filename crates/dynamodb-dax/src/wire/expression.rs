//! DynamoDB's expressions, which DAX takes parsed.
//!
//! An expression is sent as the bytes of `[1, tree, [values]]`, a projection as those of `[1, [paths]]`. A tree is an array that begins with
//! an operator's number, a document path `[18, names and indexes]`, or a value `[17, its place among the values]`.

use std::collections::{HashMap, HashSet};

use aws_sdk_dynamodb::types::AttributeValue;

use super::cbor::{Decoder, Encoder, Kind, MAX_DEPTH, Malformed};
use super::value::{Invalid, Item, decode_value, encode_value};

/// The version of the encoding.
const FORMAT: i64 = 1;
const LIST_INDEX: u64 = 3324;

const AND: i64 = 6;
const OR: i64 = 7;
const NOT: i64 = 8;
const BETWEEN: i64 = 9;
const IN: i64 = 10;
const VARIABLE: i64 = 17;
const DOCUMENT_PATH: i64 = 18;
const SET: i64 = 19;
const ADD: i64 = 20;
const DELETE: i64 = 21;
const REMOVE: i64 = 22;
const PLUS: i64 = 25;
const MINUS: i64 = 26;

const COMPARATORS: [(&str, i64); 6] = [("=", 0), ("<>", 1), ("<", 2), (">=", 3), (">", 4), ("<=", 5)];
const CONDITIONS: [(&str, i64); 6] = [
    ("attribute_exists", 11),
    ("attribute_not_exists", 12),
    ("attribute_type", 13),
    ("begins_with", 14),
    ("contains", 15),
    ("size", 16),
];
const UPDATES: [(&str, i64); 2] = [("if_not_exists", 23), ("list_append", 24)];
const KEYWORDS: [&str; 9] = ["in", "between", "not", "and", "or", "set", "add", "delete", "remove"];

/// Parentheses and functions inside each other.
const MAX_NESTING: usize = 100;

/// What an expression is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// `ConditionExpression`
    Condition,
    /// `FilterExpression`
    Filter,
    /// `KeyConditionExpression`
    KeyCondition,
    /// `ProjectionExpression`
    Projection,
    /// `UpdateExpression`
    Update,
}

/// One step of a document path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// An index of a list.
    Index(u64),
    /// The name of an attribute, or a key of a map.
    Name(String),
}

/// Where a value is in an item.
pub type Path = Vec<Step>;

/// Parses the expressions of one request, which share names and values.
pub struct Expressions<'a> {
    names: Option<&'a HashMap<String, String>>,
    values: Option<&'a Item>,
    used: HashSet<&'a str>,
}

impl<'a> Expressions<'a> {
    /// Of a request with these `ExpressionAttributeNames` and `ExpressionAttributeValues`.
    pub fn new(names: Option<&'a HashMap<String, String>>, values: Option<&'a Item>) -> Self {
        Self { names, values, used: HashSet::new() }
    }

    /// The bytes of an expression.
    pub fn encode(&mut self, purpose: Purpose, text: &str) -> Result<Vec<u8>, Invalid> {
        Ok(self.parse(purpose, text)?.0)
    }

    /// The bytes of a projection, and its paths in their order: a response names a path by its place.
    pub fn projection(&mut self, text: &str) -> Result<(Vec<u8>, Vec<Path>), Invalid> {
        self.parse(Purpose::Projection, text)
    }

    fn parse(&mut self, purpose: Purpose, text: &str) -> Result<(Vec<u8>, Vec<Path>), Invalid> {
        let problem = |what: String| Invalid(format!("Invalid {purpose:?}Expression: {what}"));
        if text.trim_ascii().is_empty() {
            return Err(problem("The expression can not be empty".to_owned()));
        }
        let tokens = tokens(text).map_err(problem)?;
        let mut parser = Parser {
            expressions: self,
            purpose,
            tokens,
            next: 0,
            values: Vec::new(),
            places: HashMap::new(),
            paths: Vec::new(),
        };
        let tree = match purpose {
            Purpose::Projection => parser.projection(),
            Purpose::Update => parser.update(),
            _ => parser.condition(),
        }
        .and_then(|tree| parser.end().map(|()| tree))
        .map_err(problem)?;
        let (values, paths) = (parser.values, parser.paths);
        let mut encoder = Encoder::default();
        encoder.array(if purpose == Purpose::Projection { 2 } else { 3 });
        encoder.int(FORMAT);
        encoder.raw(&tree);
        if purpose != Purpose::Projection {
            encoder.array(values.len());
            for value in values {
                encode_value(value, &mut encoder)?;
            }
        }
        Ok((encoder.buffer, paths))
    }

    /// An error if a name or a value was in none of the expressions, as in DynamoDB.
    pub fn finish(self) -> Result<(), Invalid> {
        let unused = |of: &str, keys: Vec<&String>| {
            let mut keys: Vec<_> = keys.into_iter().filter(|key| !self.used.contains(key.as_str())).cloned().collect();
            keys.sort_unstable();
            if keys.is_empty() {
                return Ok(());
            }
            Err(Invalid(format!("Value provided in {of} unused in expressions: keys: {{{}}}", keys.join(", "))))
        };
        unused("ExpressionAttributeNames", self.names.map(|names| names.keys().collect()).unwrap_or_default())?;
        unused("ExpressionAttributeValues", self.values.map(|values| values.keys().collect()).unwrap_or_default())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Token<'t> {
    /// A name that is not a keyword.
    Name(&'t str),
    /// `#name`
    NameSubstitute(&'t str),
    /// `:value`
    Value(&'t str),
    Number(&'t str),
    /// A keyword in small letters, or a sign.
    Sign(&'static str),
}

/// Tokens and the place of each, in bytes.
fn tokens(text: &str) -> Result<Vec<(Token<'_>, usize)>, String> {
    const SIGNS: [&str; 14] = ["<>", "<=", ">=", "=", "<", ">", "+", "-", "(", ")", ",", ".", "[", "]"];
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(&first) = text.as_bytes().get(at) {
        let rest = &text[at..];
        let word = |from: usize| {
            let end = rest[from..].find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            &rest[..end.map_or(rest.len(), |end| from + end)]
        };
        let (token, length) = match first {
            b' ' | b'\t' | b'\n' | b'\r' => {
                at += 1;
                continue;
            }
            b'a'..=b'z' | b'A'..=b'Z' => {
                let word = word(0);
                let keyword = KEYWORDS.into_iter().find(|keyword| keyword.eq_ignore_ascii_case(word));
                (keyword.map_or(Token::Name(word), Token::Sign), word.len())
            }
            b'#' if word(1).len() > 1 => (Token::NameSubstitute(word(1)), word(1).len()),
            b':' if word(1).len() > 1 => (Token::Value(word(1)), word(1).len()),
            b'0' => (Token::Number("0"), 1),
            b'1'..=b'9' => {
                let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
                (Token::Number(&rest[..digits]), digits)
            }
            _ => {
                let sign = SIGNS.into_iter().find(|sign| rest.starts_with(sign));
                let sign = sign.ok_or_else(|| format!("Syntax error at character {at}"))?;
                (Token::Sign(sign), sign.len())
            }
        };
        tokens.push((token, at));
        at += length;
    }
    Ok(tokens)
}

/// A part of a condition or of the right side of SET, and what can be made of it.
struct Part {
    tree: Vec<u8>,
    kind: PartKind,
    /// It is in parentheses. Another pair is an error, as in DynamoDB.
    parentheses: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum PartKind {
    /// A path or a value.
    Operand,
    /// A function, which can be an operand or a condition. Its name says where it is allowed.
    Function(&'static str),
    Condition,
    Arithmetic,
}

struct Parser<'p, 'a> {
    expressions: &'p mut Expressions<'a>,
    purpose: Purpose,
    tokens: Vec<(Token<'p>, usize)>,
    next: usize,
    values: Vec<&'a AttributeValue>,
    /// The place of each value that was used.
    places: HashMap<&'a str, usize>,
    paths: Vec<Path>,
}

fn call(operator: i64, arguments: &[&[u8]]) -> Vec<u8> {
    let mut encoder = Encoder::default();
    encoder.array(arguments.len() + 1);
    encoder.int(operator);
    arguments.iter().for_each(|argument| encoder.raw(argument));
    encoder.buffer
}

fn list(values: &[Vec<u8>]) -> Vec<u8> {
    let mut encoder = Encoder::default();
    encoder.array(values.len());
    values.iter().for_each(|value| encoder.raw(value));
    encoder.buffer
}

impl<'p> Parser<'p, '_> {
    fn peek(&self) -> Option<Token<'p>> {
        self.tokens.get(self.next).map(|(token, _)| *token)
    }

    fn unexpected<T>(&self) -> Result<T, String> {
        Err(match self.tokens.get(self.next) {
            Some((_, at)) => format!("Syntax error at character {at}"),
            None => "Syntax error at the end".to_owned(),
        })
    }

    fn sign(&mut self, sign: &str) -> bool {
        let found = self.peek().is_some_and(|token| matches!(token, Token::Sign(next) if next == sign));
        self.next += usize::from(found);
        found
    }

    fn expect(&mut self, sign: &str) -> Result<(), String> {
        if self.sign(sign) { Ok(()) } else { self.unexpected() }
    }

    fn end(&self) -> Result<(), String> {
        if self.next == self.tokens.len() { Ok(()) } else { self.unexpected() }
    }

    fn projection(&mut self) -> Result<Vec<u8>, String> {
        let mut paths = Vec::new();
        loop {
            paths.push(self.path()?);
            if !self.sign(",") {
                return Ok(list(&paths));
            }
        }
    }

    fn name(&mut self) -> Result<String, String> {
        let name = match self.peek() {
            Some(Token::Name(name)) => name.to_owned(),
            Some(Token::NameSubstitute(name)) => {
                let found = self.expressions.names.and_then(|names| names.get_key_value(name));
                let (key, name) = found.ok_or_else(|| {
                    format!(
                        "An expression attribute name used in the document path is not defined; attribute name: {name}"
                    )
                })?;
                self.expressions.used.insert(key);
                name.clone()
            }
            _ => return self.unexpected(),
        };
        self.next += 1;
        Ok(name)
    }

    fn path(&mut self) -> Result<Vec<u8>, String> {
        let mut path = vec![Step::Name(self.name()?)];
        loop {
            if self.sign(".") {
                path.push(Step::Name(self.name()?));
            } else if self.sign("[") {
                let Some(Token::Number(index)) = self.peek() else { return self.unexpected() };
                let range = "List index is not within the allowable range";
                path.push(Step::Index(index.parse().map_err(|_| range.to_owned())?));
                self.next += 1;
                self.expect("]")?;
            } else {
                break;
            }
        }
        let mut encoder = Encoder::default();
        encoder.array(path.len() + 1);
        encoder.int(DOCUMENT_PATH);
        for step in &path {
            match step {
                Step::Name(name) => encoder.text(name),
                Step::Index(index) => {
                    encoder.tag(LIST_INDEX);
                    encoder.unsigned(*index);
                }
            }
        }
        if self.purpose == Purpose::Projection {
            self.paths.push(path);
        }
        Ok(encoder.buffer)
    }

    fn value(&mut self) -> Result<Vec<u8>, String> {
        let Some(Token::Value(name)) = self.peek() else { return self.unexpected() };
        let found = self.expressions.values.and_then(|values| values.get_key_value(name));
        let (name, value) = found.ok_or_else(|| {
            format!("An expression attribute value used in expression is not defined; attribute value: {name}")
        })?;
        self.expressions.used.insert(name);
        let place = *self.places.entry(name).or_insert_with(|| {
            self.values.push(value);
            self.values.len() - 1
        });
        self.next += 1;
        let mut encoder = Encoder::default();
        encoder.array(2);
        encoder.int(VARIABLE);
        encoder.int(place as i64);
        Ok(encoder.buffer)
    }

    /// A path, a value, a function or something in parentheses. `nested` parts are inside a comparison, a function or a sum.
    fn part(&mut self, nested: bool, depth: usize) -> Result<Part, String> {
        if depth == MAX_NESTING {
            return Err("The expression is nested too deeply".to_owned());
        }
        let operand = |tree| Ok(Part { tree, kind: PartKind::Operand, parentheses: false });
        match self.peek() {
            Some(Token::Value(_)) => operand(self.value()?),
            Some(Token::NameSubstitute(_)) => operand(self.path()?),
            Some(Token::Name(name)) => {
                let is_call = matches!(self.tokens.get(self.next + 1), Some((Token::Sign("("), _)));
                if !is_call {
                    return operand(self.path()?);
                }
                let name = name.to_ascii_lowercase();
                let allowed: &[(&'static str, i64)] =
                    if self.purpose == Purpose::Update { &UPDATES } else { &CONDITIONS };
                let Some((name, operator)) = allowed.iter().find(|(known, _)| *known == name) else {
                    return Err(format!("The function {name} is not allowed here"));
                };
                self.next += 2;
                let mut arguments = Vec::new();
                loop {
                    arguments.push(self.operand(depth + 1)?);
                    if !self.sign(",") {
                        break;
                    }
                }
                self.expect(")")?;
                let arguments: Vec<&[u8]> = arguments.iter().map(Vec::as_slice).collect();
                Ok(Part { tree: call(*operator, &arguments), kind: PartKind::Function(name), parentheses: false })
            }
            Some(Token::Sign("(")) => {
                self.next += 1;
                let inner = match (self.purpose, nested) {
                    (Purpose::Update, false) => self.sum(depth + 1)?,
                    (_, true) => self.part(true, depth + 1)?,
                    (_, false) => self.disjunction(depth + 1)?,
                };
                self.expect(")")?;
                if inner.parentheses {
                    return Err("The expression has redundant parentheses".to_owned());
                }
                Ok(Part { parentheses: true, ..inner })
            }
            _ => self.unexpected(),
        }
    }

    /// Something that has a value, inside a comparison, a function or a sum.
    fn operand(&mut self, depth: usize) -> Result<Vec<u8>, String> {
        let part = self.part(true, depth)?;
        self.as_operand(part)
    }

    fn as_operand(&self, part: Part) -> Result<Vec<u8>, String> {
        let nestable = if self.purpose == Purpose::Update { "if_not_exists" } else { "size" };
        match part.kind {
            PartKind::Operand => Ok(part.tree),
            PartKind::Function(name) if name == nestable => Ok(part.tree),
            PartKind::Function(_) => Err(format!("Only the function {nestable} can be nested")),
            PartKind::Condition | PartKind::Arithmetic => self.unexpected(),
        }
    }

    fn as_condition(&self, part: Part) -> Result<Vec<u8>, String> {
        match part.kind {
            PartKind::Condition => Ok(part.tree),
            PartKind::Function("size") => {
                Err("The function size is not allowed to be used this way in an expression".to_owned())
            }
            PartKind::Function(_) => Ok(part.tree),
            PartKind::Operand | PartKind::Arithmetic => self.unexpected(),
        }
    }

    fn condition(&mut self) -> Result<Vec<u8>, String> {
        let part = self.disjunction(0)?;
        self.as_condition(part)
    }

    /// Conditions with OR between them. Like AND, it is left-associative, as in the clients for Node and Go.
    fn disjunction(&mut self, depth: usize) -> Result<Part, String> {
        self.chain(depth, "or", OR, |parser, depth| {
            parser.chain(depth, "and", AND, |parser, depth| parser.comparison(depth))
        })
    }

    fn chain(
        &mut self,
        depth: usize,
        sign: &str,
        operator: i64,
        next: impl Fn(&mut Self, usize) -> Result<Part, String>,
    ) -> Result<Part, String> {
        let mut left = next(self, depth)?;
        while self.sign(sign) {
            let tree = self.as_condition(left)?;
            let right = next(self, depth)?;
            let right = self.as_condition(right)?;
            left = Part { tree: call(operator, &[&tree, &right]), kind: PartKind::Condition, parentheses: false };
        }
        Ok(left)
    }

    /// A comparison, a negation, or a part by itself.
    fn comparison(&mut self, depth: usize) -> Result<Part, String> {
        let condition = |tree| Ok(Part { tree, kind: PartKind::Condition, parentheses: false });
        if self.sign("not") {
            if depth == MAX_NESTING {
                return Err("The expression is nested too deeply".to_owned());
            }
            let negated = self.comparison(depth + 1)?;
            return condition(call(NOT, &[&self.as_condition(negated)?]));
        }
        let left = self.part(false, depth)?;
        if let Some(Token::Sign(sign)) = self.peek()
            && let Some((_, operator)) = COMPARATORS.iter().find(|(comparator, _)| *comparator == sign)
        {
            self.next += 1;
            let left = self.as_operand(left)?;
            let right = self.operand(depth)?;
            return condition(call(*operator, &[&left, &right]));
        }
        if self.sign("between") {
            let left = self.as_operand(left)?;
            let low = self.operand(depth)?;
            self.expect("and")?;
            let high = self.operand(depth)?;
            return condition(call(BETWEEN, &[&left, &low, &high]));
        }
        if self.sign("in") {
            let left = self.as_operand(left)?;
            self.expect("(")?;
            let mut choices = Vec::new();
            loop {
                choices.push(self.operand(depth)?);
                if !self.sign(",") {
                    break;
                }
            }
            self.expect(")")?;
            return condition(call(IN, &[&left, &list(&choices)]));
        }
        Ok(left)
    }

    fn update(&mut self) -> Result<Vec<u8>, String> {
        let mut actions = Vec::new();
        while self.next < self.tokens.len() {
            let section = match self.peek() {
                Some(Token::Sign("set")) => SET,
                Some(Token::Sign("add")) => ADD,
                Some(Token::Sign("delete")) => DELETE,
                Some(Token::Sign("remove")) => REMOVE,
                _ => return self.unexpected(),
            };
            self.next += 1;
            loop {
                let path = self.path()?;
                actions.push(match section {
                    SET => {
                        self.expect("=")?;
                        let value = self.sum(0)?;
                        call(SET, &[&path, &value.tree])
                    }
                    REMOVE => call(REMOVE, &[&path]),
                    section => call(section, &[&path, &self.value()?]),
                });
                if !self.sign(",") {
                    break;
                }
            }
        }
        Ok(list(&actions))
    }

    /// The right side of SET: a part, or the sum or difference of two.
    fn sum(&mut self, depth: usize) -> Result<Part, String> {
        let left = self.part(false, depth)?;
        let operator = if self.sign("+") {
            PLUS
        } else if self.sign("-") {
            MINUS
        } else {
            return Ok(left);
        };
        let left = self.as_operand(left)?;
        let right = self.operand(depth)?;
        Ok(Part { tree: call(operator, &[&left, &right]), kind: PartKind::Arithmetic, parentheses: false })
    }
}

/// Turns the expressions of one request into text again, with names `#n0`… and values `:v0`….
#[derive(Default)]
pub struct Texts {
    /// The names of all of them.
    pub names: HashMap<String, String>,
    /// The values of all of them.
    pub values: Item,
    substitutes: HashMap<String, String>,
}

impl Texts {
    /// The text of a condition, a filter, a key condition or an update.
    pub fn text(&mut self, encoded: &[u8], purpose: Purpose) -> Result<String, Malformed> {
        let mut decoder = Decoder::new(encoded);
        if decoder.array()? != 3 || decoder.int()? != FORMAT {
            return Err(Malformed("an expression of another format"));
        }
        let mut tree = decoder.clone();
        decoder.skip()?;
        let first = self.values.len();
        let mut count = 0;
        decoder.each(|decoder| {
            self.values.insert(format!(":v{}", first + count), decode_value(decoder)?);
            count += 1;
            Ok::<_, Malformed>(())
        })?;
        decoder.finish()?;
        if purpose != Purpose::Update {
            return self.tree(&mut tree, first, count, 0);
        }
        let mut sections: Vec<(&str, Vec<String>)> = Vec::new();
        tree.each(|tree| {
            let arguments = tree.array()?;
            let section = match (tree.int()?, arguments) {
                (SET, 3) => "SET",
                (ADD, 3) => "ADD",
                (DELETE, 3) => "DELETE",
                (REMOVE, 2) => "REMOVE",
                _ => return Err(Malformed("an unknown action")),
            };
            let mut action = self.tree(tree, first, count, 0)?;
            if section != "REMOVE" {
                action += if section == "SET" { " = " } else { " " };
                action += &self.tree(tree, first, count, 0)?;
            }
            match sections.iter_mut().find(|(name, _)| *name == section) {
                Some((_, actions)) => actions.push(action),
                None => sections.push((section, vec![action])),
            }
            Ok(())
        })?;
        let sections: Vec<_> =
            sections.iter().map(|(name, actions)| format!("{name} {}", actions.join(", "))).collect();
        Ok(sections.join(" "))
    }

    fn name(&mut self, name: String) -> String {
        let next = format!("#n{}", self.substitutes.len());
        let substitute = self.substitutes.entry(name.clone()).or_insert(next).clone();
        self.names.insert(substitute.clone(), name);
        substitute
    }

    fn tree(&mut self, decoder: &mut Decoder, first: usize, count: usize, depth: usize) -> Result<String, Malformed> {
        const WRONG: Malformed = Malformed("an expression with a wrong number of arguments");
        if depth == MAX_DEPTH {
            return Err(Malformed("nested too deeply"));
        }
        let length = decoder.array()?;
        let operator = decoder.int()?;
        let arguments = length.checked_sub(1).ok_or(WRONG)?;
        match operator {
            VARIABLE => {
                let place = usize::try_from(decoder.int()?).ok().filter(|place| *place < count && arguments == 1);
                return Ok(format!(":v{}", first + place.ok_or(Malformed("an unknown value"))?));
            }
            DOCUMENT_PATH => {
                let mut text = String::new();
                for step in steps(decoder, arguments)? {
                    match step {
                        Step::Index(index) => text += &format!("[{index}]"),
                        Step::Name(name) => {
                            if !text.is_empty() {
                                text.push('.');
                            }
                            text += &self.name(name);
                        }
                    }
                }
                return Ok(text);
            }
            IN => {
                if arguments != 2 {
                    return Err(WRONG);
                }
                let operand = self.tree(decoder, first, count, depth + 1)?;
                let mut choices = Vec::new();
                decoder.each(|decoder| {
                    choices.push(self.tree(decoder, first, count, depth + 1)?);
                    Ok::<_, Malformed>(())
                })?;
                return Ok(format!("{operand} IN ({})", choices.join(", ")));
            }
            _ => {}
        }
        let mut texts = Vec::new();
        for _ in 0..arguments {
            texts.push(self.tree(decoder, first, count, depth + 1)?);
        }
        let infix = |sign: &str, texts: &[String]| match texts {
            [left, right] => Ok(format!("{left} {sign} {right}")),
            _ => Err(WRONG),
        };
        if let Some((sign, _)) = COMPARATORS.iter().find(|(_, number)| *number == operator) {
            return infix(sign, &texts);
        }
        if let Some((name, _)) = CONDITIONS.iter().chain(&UPDATES).find(|(_, number)| *number == operator) {
            return Ok(format!("{name}({})", texts.join(", ")));
        }
        match (operator, texts.as_slice()) {
            (PLUS, texts) => infix("+", texts),
            (MINUS, texts) => infix("-", texts),
            (AND, [left, right]) => Ok(format!("({left}) AND ({right})")),
            (OR, [left, right]) => Ok(format!("({left}) OR ({right})")),
            (NOT, [negated]) => Ok(format!("NOT ({negated})")),
            (BETWEEN, [operand, low, high]) => Ok(format!("{operand} BETWEEN {low} AND {high}")),
            _ => Err(Malformed("an unknown operator")),
        }
    }
}

fn steps(decoder: &mut Decoder, count: u64) -> Result<Path, Malformed> {
    let mut path = Vec::new();
    for _ in 0..count {
        path.push(if decoder.kind()? == Kind::Tag {
            if decoder.tag()? != LIST_INDEX {
                return Err(Malformed("an unknown step of a path"));
            }
            Step::Index(u64::try_from(decoder.int()?).map_err(|_| Malformed("an index below zero"))?)
        } else {
            Step::Name(decoder.text()?.into_owned())
        });
    }
    if matches!(path.first(), Some(Step::Name(_))) { Ok(path) } else { Err(Malformed("a path without a name")) }
}

/// The paths of a projection.
pub fn decode_projection(encoded: &[u8]) -> Result<Vec<Path>, Malformed> {
    let mut decoder = Decoder::new(encoded);
    if decoder.array()? != 2 || decoder.int()? != FORMAT {
        return Err(Malformed("an expression of another format"));
    }
    let mut paths = Vec::new();
    decoder.each(|decoder| {
        let length = decoder.array()?;
        if decoder.int()? != DOCUMENT_PATH {
            return Err(Malformed("a projection of something else than paths"));
        }
        paths.push(steps(decoder, length.saturating_sub(1))?);
        Ok(())
    })?;
    decoder.finish()?;
    Ok(paths)
}

/// The value at a path.
pub fn value_at<'i>(item: &'i Item, path: &[Step]) -> Option<&'i AttributeValue> {
    let (Step::Name(name), rest) = path.split_first()? else { return None };
    rest.iter().try_fold(item.get(name)?, |value, step| match (value, step) {
        (AttributeValue::M(values), Step::Name(name)) => values.get(name),
        (AttributeValue::L(values), Step::Index(index)) => values.get(usize::try_from(*index).ok()?),
        _ => None,
    })
}

/// The item of values at paths. Lists have the order of their indexes, without gaps, as in DynamoDB.
pub fn project(mut values: Vec<(&[Step], AttributeValue)>) -> Item {
    values.sort_by_key(|(path, _)| *path);
    let mut item = Item::new();
    let mut rest = values.into_iter().peekable();
    while let Some((path, value)) = rest.next() {
        let [first @ Step::Name(name), below @ ..] = path else { continue };
        let mut group = vec![(below, value)];
        while let Some((path, value)) = rest.next_if(|(path, _)| path.first() == Some(first)) {
            group.push((&path[1..], value));
        }
        if let Some(value) = assemble(group) {
            item.insert(name.clone(), value);
        }
    }
    item
}

/// The value made of values at sorted paths.
fn assemble(mut group: Vec<(&[Step], AttributeValue)>) -> Option<AttributeValue> {
    // A shorter path sorts first and has all that longer ones have.
    match group.first()?.0.first() {
        None => Some(group.swap_remove(0).1),
        Some(Step::Name(_)) => Some(AttributeValue::M(project(group))),
        Some(Step::Index(_)) => {
            let mut values = Vec::new();
            let mut rest = group.into_iter().peekable();
            while let Some((path, value)) = rest.next() {
                let mut same = vec![(&path[1..], value)];
                while let Some((next, value)) = rest.next_if(|(next, _)| next.first() == path.first()) {
                    same.push((&next[1..], value));
                }
                values.extend(assemble(same));
            }
            Some(AttributeValue::L(values))
        }
    }
}
