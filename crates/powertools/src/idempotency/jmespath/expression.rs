//! Parses expressions like `jmespath.py`, and rejects those for which it deviates from JMESPath.

use std::sync::Arc;

use serde_json::value::RawValue;

use super::super::value::{Text, Value};

/// Limits the recursion depth over an expression.
const MAX_TOKENS: usize = 500;

/// Tokens that bind less stop a projection.
const PROJECTION_STOP: u8 = 10;

#[derive(Debug)]
pub(super) enum Node {
    Current,
    Field(Text),
    Index(i64),
    Slice {
        start: Option<i64>,
        stop: Option<i64>,
        step: i64,
    },
    Literal(Arc<Value>),
    /// The second expression, applied to the value of the first.
    Then(Box<Node>, Box<Node>),
    Flatten(Box<Node>),
    /// The second expression, applied to each element of the first's value.
    Projection(Box<Node>, Box<Node>),
    ValueProjection(Box<Node>, Box<Node>),
    Filter {
        list: Box<Node>,
        condition: Box<Node>,
        of_each: Box<Node>,
    },
    Compare(&'static str, Box<Node>, Box<Node>),
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    Not(Box<Node>),
    List(Vec<Node>),
    Object(Vec<(Text, Node)>),
    Call(&'static str, Vec<Node>),
    /// `map`, `sort_by` and the like: a list, and the expression for each of its elements.
    CallBy(&'static str, Box<Node>, Box<Node>),
}

#[derive(Clone, Debug)]
enum Token {
    Symbol(&'static str),
    Identifier(Text),
    QuotedIdentifier(Text),
    Literal(Arc<Value>),
    Number(i64),
    End,
}

/// Longer symbols first.
const SYMBOLS: [&str; 24] = [
    "[]", "[?", "||", "&&", "==", "!=", "<=", ">=", "<", ">", "!", "|", "&", ".", "*", "[", "]", "{", "}", "(", ")",
    ",", ":", "@",
];
const COMPARATORS: [&str; 6] = ["==", "!=", "<", "<=", ">", ">="];

/// Names, and numbers of arguments; `usize::MAX` means one or more.
const FUNCTIONS: [(&str, usize); 18] = [
    ("contains", 2),
    ("ends_with", 2),
    ("join", 2),
    ("keys", 1),
    ("length", 1),
    ("max", 1),
    ("merge", usize::MAX),
    ("min", 1),
    ("not_null", usize::MAX),
    ("powertools_base64", 1),
    ("powertools_json", 1),
    ("reverse", 1),
    ("sort", 1),
    ("starts_with", 2),
    ("to_array", 1),
    ("to_string", 1),
    ("type", 1),
    ("values", 1),
];
const FUNCTIONS_BY: [&str; 4] = ["map", "max_by", "min_by", "sort_by"];
/// Python's sums depend on its version, and its `int` accepts texts that others don't.
const REFUSED_FUNCTIONS: [&str; 6] = ["abs", "avg", "ceil", "floor", "sum", "to_number"];

pub(super) fn parse(expression: &str) -> Result<Node, String> {
    let tokens = tokenize(expression)?;
    if tokens.len() > MAX_TOKENS {
        return Err(format!("has more than {MAX_TOKENS} parts"));
    }
    let mut parser = Parser { tokens, next: 0 };
    let node = parser.expression(0)?;
    match parser.peek() {
        Token::End => Ok(node),
        _ => Err(parser.unexpected()),
    }
}

/// Each token with its position in bytes.
fn tokenize(expression: &str) -> Result<Vec<(usize, Token)>, String> {
    let mut tokens = Vec::new();
    let mut rest = expression.trim_start_matches(WHITE_SPACE);
    while let Some(first) = rest.chars().next() {
        let position = expression.len() - rest.len();
        let (token, length) = match first {
            'A'..='Z' | 'a'..='z' | '_' => {
                let length = length_of(rest, |character| character.is_ascii_alphanumeric() || character == '_');
                (Token::Identifier(Text(rest[..length].into())), length)
            }
            '0'..='9' | '-' => {
                let length = 1 + length_of(&rest[1..], |character| character.is_ascii_digit());
                let number = rest[..length].parse().map_err(|_| format!("has no integer at byte {position}"))?;
                (Token::Number(number), length)
            }
            '"' | '\'' | '`' => {
                let length =
                    quoted_length(rest, first).ok_or_else(|| format!("has no end of {first} at byte {position}"))?;
                let content = &rest[1..length - 1];
                let token = match first {
                    '\'' => Token::Literal(Arc::new(Value::Text(Text(content.replace("\\'", "'").into())))),
                    '`' => Token::Literal(json(&content.replace("\\`", "`"), position)?),
                    _ => match &*json(&rest[..length], position)? {
                        Value::Text(name) => Token::QuotedIdentifier(name.clone()),
                        _ => unreachable!("JSON within double quotes is a text"),
                    },
                };
                (token, length)
            }
            _ => {
                let symbol = SYMBOLS.into_iter().find(|symbol| rest.starts_with(symbol));
                let symbol = symbol.ok_or_else(|| format!("has an unexpected {first:?} at byte {position}"))?;
                (Token::Symbol(symbol), symbol.len())
            }
        };
        tokens.push((position, token));
        rest = rest[length..].trim_start_matches(WHITE_SPACE);
    }
    tokens.push((expression.len(), Token::End));
    Ok(tokens)
}

const WHITE_SPACE: [char; 4] = [' ', '\t', '\n', '\r'];

fn length_of(text: &str, is_part: impl Fn(char) -> bool) -> usize {
    text.find(|character| !is_part(character)).unwrap_or(text.len())
}

/// A backslash quotes the next character.
fn quoted_length(text: &str, quote: char) -> Option<usize> {
    let mut is_escaped = false;
    let (position, _) = text.char_indices().skip(1).find(|&(_, character)| {
        let is_end = character == quote && !is_escaped;
        is_escaped = character == '\\' && !is_escaped;
        is_end
    })?;
    Some(position + 1)
}

fn json(text: &str, position: usize) -> Result<Arc<Value>, String> {
    let invalid = |_| format!("has invalid JSON at byte {position} (write a string as 'text')");
    serde_json::from_str::<&RawValue>(text).and_then(Value::from_json).map_err(invalid)
}

/// A top-down operator precedence parser, like `jmespath.py`.
struct Parser {
    tokens: Vec<(usize, Token)>,
    next: usize,
}

impl Parser {
    fn peek(&self) -> &Token {
        &self.tokens[self.next].1
    }

    fn is_next(&self, symbol: &str) -> bool {
        matches!(self.peek(), Token::Symbol(next) if *next == symbol)
    }

    /// Skips the symbol if it is next; returns whether it was.
    fn skip(&mut self, symbol: &str) -> bool {
        let is_next = self.is_next(symbol);
        self.next += usize::from(is_next);
        is_next
    }

    fn expect(&mut self, symbol: &str) -> Result<(), String> {
        if self.skip(symbol) { Ok(()) } else { Err(format!("{}, not {symbol}", self.unexpected())) }
    }

    fn unexpected(&self) -> String {
        match &self.tokens[self.next] {
            (position, Token::Symbol(symbol)) => format!("has an unexpected {symbol} at byte {position}"),
            (_, Token::End) => "ends unexpectedly".into(),
            (position, _) => format!("has an unexpected part at byte {position}"),
        }
    }

    fn binding_power(&self) -> u8 {
        let Token::Symbol(symbol) = self.peek() else { return 0 };
        match *symbol {
            "|" => 1,
            "||" => 2,
            "&&" => 3,
            "[]" => 9,
            "*" => 20,
            "[?" => 21,
            "." => 40,
            "!" => 45,
            "{" => 50,
            "[" => 55,
            "(" => 60,
            symbol if COMPARATORS.contains(&symbol) => 5,
            _ => 0,
        }
    }

    fn expression(&mut self, power: u8) -> Result<Node, String> {
        let mut left = self.prefix()?;
        while power < self.binding_power() {
            left = self.infix(left)?;
        }
        Ok(left)
    }

    fn boxed(&mut self, power: u8) -> Result<Box<Node>, String> {
        self.expression(power).map(Box::new)
    }

    fn prefix(&mut self) -> Result<Node, String> {
        let token = self.peek().clone();
        self.next += 1;
        Ok(match token {
            Token::Literal(value) => Node::Literal(value),
            Token::Identifier(name) if self.skip("(") => self.call(&name)?,
            Token::Identifier(name) | Token::QuotedIdentifier(name) => Node::Field(name),
            Token::Symbol("@") => Node::Current,
            Token::Symbol("*") => Node::ValueProjection(Box::new(Node::Current), self.projected(20)?),
            Token::Symbol("[]") => self.flatten(Node::Current)?,
            Token::Symbol("[?") => self.filter(Node::Current)?,
            Token::Symbol("[") if self.is_index_next() => self.index(Node::Current)?,
            Token::Symbol("[") if self.is_next("*") && matches!(self.tokens[self.next + 1].1, Token::Symbol("]")) => {
                self.next += 2;
                Node::Projection(Box::new(Node::Current), self.projected(20)?)
            }
            Token::Symbol("[") => self.list()?,
            Token::Symbol("{") => self.object()?,
            Token::Symbol("!") => Node::Not(self.boxed(45)?),
            Token::Symbol("(") => {
                let node = self.expression(0)?;
                self.expect(")")?;
                node
            }
            Token::Symbol(_) | Token::Number(_) | Token::End => {
                self.next -= 1;
                return Err(self.unexpected());
            }
        })
    }

    fn infix(&mut self, left: Node) -> Result<Node, String> {
        let Token::Symbol(symbol) = *self.peek() else { return Err(self.unexpected()) };
        let position = self.tokens[self.next].0;
        self.next += 1;
        Ok(match symbol {
            "." if matches!(left, Node::ValueProjection(..)) => {
                return Err(format!(
                    "continues after .* and another part, where Powertools for Python finds nothing: write | [*] \
                     before the dot at byte {position}"
                ));
            }
            "." if self.skip("*") => Node::ValueProjection(Box::new(left), self.projected(40)?),
            "." => Node::Then(Box::new(left), Box::new(self.dotted(40)?)),
            "|" => Node::Then(Box::new(left), self.boxed(1)?),
            "||" => Node::Or(Box::new(left), self.boxed(2)?),
            "&&" => Node::And(Box::new(left), self.boxed(3)?),
            "[]" => self.flatten(left)?,
            "[?" => self.filter(left)?,
            "[" if self.is_index_next() => self.index(left)?,
            "[" => {
                self.expect("*")?;
                self.expect("]")?;
                Node::Projection(Box::new(left), self.projected(20)?)
            }
            comparator if COMPARATORS.contains(&comparator) => {
                Node::Compare(comparator, Box::new(left), self.boxed(5)?)
            }
            _ => {
                self.next -= 1;
                return Err(self.unexpected());
            }
        })
    }

    /// The expression after a projection, for each of its elements.
    fn projected(&mut self, power: u8) -> Result<Box<Node>, String> {
        Ok(Box::new(if self.binding_power() < PROJECTION_STOP {
            Node::Current
        } else if self.is_next("[") || self.is_next("[?") {
            self.expression(power)?
        } else {
            self.expect(".")?;
            self.dotted(power)?
        }))
    }

    fn dotted(&mut self, power: u8) -> Result<Node, String> {
        if self.skip("[") {
            return self.list();
        }
        if self.skip("{") {
            return self.object();
        }
        match self.peek() {
            Token::Identifier(_) | Token::QuotedIdentifier(_) | Token::Symbol("*") => self.expression(power),
            _ => Err(self.unexpected()),
        }
    }

    fn flatten(&mut self, left: Node) -> Result<Node, String> {
        Ok(Node::Projection(Box::new(Node::Flatten(Box::new(left))), self.projected(9)?))
    }

    fn filter(&mut self, left: Node) -> Result<Node, String> {
        let condition = self.boxed(0)?;
        self.expect("]")?;
        Ok(Node::Filter { list: Box::new(left), condition, of_each: self.projected(21)? })
    }

    fn is_index_next(&self) -> bool {
        matches!(self.peek(), Token::Number(_) | Token::Symbol(":"))
    }

    fn index(&mut self, left: Node) -> Result<Node, String> {
        let position = self.tokens[self.next].0;
        if let Token::Number(index) = *self.peek()
            && !matches!(self.tokens[self.next + 1].1, Token::Symbol(":"))
        {
            self.next += 1;
            self.expect("]")?;
            return Ok(Node::Then(Box::new(left), Box::new(Node::Index(index))));
        }
        let mut parts = [None; 3];
        let mut part = 0;
        while !self.skip("]") {
            match *self.peek() {
                Token::Number(number) => parts[part] = Some(number),
                Token::Symbol(":") if part < 2 => part += 1,
                _ => return Err(self.unexpected()),
            }
            self.next += 1;
        }
        let [start, stop, step] = parts;
        if step == Some(0) {
            return Err(format!("has a step of 0 at byte {position}"));
        }
        if matches!(&left, Node::Then(_, right) if matches!(**right, Node::Index(_))) {
            return Err(format!(
                "has a slice right after an index, which Powertools for Python does not project: write | before the \
                 slice at byte {position}"
            ));
        }
        let slice = Node::Slice { start, stop, step: step.unwrap_or(1) };
        Ok(Node::Projection(Box::new(Node::Then(Box::new(left), Box::new(slice))), self.projected(20)?))
    }

    fn list(&mut self) -> Result<Node, String> {
        let mut nodes = vec![self.expression(0)?];
        while !self.skip("]") {
            self.expect(",")?;
            nodes.push(self.expression(0)?);
        }
        Ok(Node::List(nodes))
    }

    fn object(&mut self) -> Result<Node, String> {
        let mut members = Vec::new();
        loop {
            let (Token::Identifier(name) | Token::QuotedIdentifier(name)) = self.peek().clone() else {
                return Err(self.unexpected());
            };
            self.next += 1;
            self.expect(":")?;
            members.push((name, self.expression(0)?));
            if self.skip("}") {
                return Ok(Node::Object(members));
            }
            self.expect(",")?;
        }
    }

    fn call(&mut self, name: &Text) -> Result<Node, String> {
        let name = str::from_utf8(&name.0).expect("an identifier without quotes is ASCII");
        let mut arguments = Vec::new();
        while !self.skip(")") {
            if !arguments.is_empty() {
                self.expect(",")?;
            }
            let is_for_each = self.skip("&");
            arguments.push((is_for_each, self.expression(0)?));
        }
        if let Some(function) = FUNCTIONS_BY.into_iter().find(|function| *function == name) {
            if function == "map" {
                arguments.reverse();
            }
            return match <[_; 2]>::try_from(arguments) {
                Ok([(false, list), (true, of_each)]) => Ok(Node::CallBy(function, Box::new(list), Box::new(of_each))),
                _ => Err(format!("calls {name}, which takes a list and, with &, an expression for its elements")),
            };
        }
        let Some((function, count)) = FUNCTIONS.into_iter().find(|(function, _)| *function == name) else {
            return Err(if REFUSED_FUNCTIONS.contains(&name) {
                format!("calls {name}, whose results can differ from those of Powertools for Python")
            } else {
                format!("calls {name}, which is not a known function")
            });
        };
        let is_count_right = if count == usize::MAX { !arguments.is_empty() } else { arguments.len() == count };
        if !is_count_right || arguments.iter().any(|(is_for_each, _)| *is_for_each) {
            return Err(format!("calls {name} with the wrong arguments"));
        }
        Ok(Node::Call(function, arguments.into_iter().map(|(_, node)| node).collect()))
    }
}
