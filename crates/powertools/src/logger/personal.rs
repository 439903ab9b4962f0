//! Masks the values of personal fields.

use std::borrow::Cow;

use super::Fields;
use super::json::Json;

/// Written in place of a personal value.
const MASK: &str = "*****";

/// Maximum number of removed layers of escapes, for strings in strings.
const MAX_ESCAPES: usize = 8;

/// Maximum length in bytes of a searched string that is not JSON: the limit of CloudWatch Logs for an event.
const MAX_LENGTH: usize = 1 << 20;

/// The names of fields with personal data, regardless of case.
#[derive(Debug)]
pub(super) struct Personal(Vec<String>);

impl Personal {
    pub(super) fn new(names: Vec<String>) -> Self {
        Self(names.into_iter().map(|name| name.to_lowercase()).collect())
    }

    pub(super) fn redact_fields(&self, fields: &mut Fields) {
        for (name, value) in &mut fields.0 {
            self.redact(name, value);
        }
    }

    pub(super) fn redacted<'v>(&self, name: &str, value: &'v Json) -> Cow<'v, Json> {
        if self.0.is_empty() {
            return Cow::Borrowed(value);
        }
        let mut value = value.clone();
        self.redact(name, &mut value);
        Cow::Owned(value)
    }

    /// Masks a value with a personal name, or the personal values inside another; returns whether it changed anything.
    fn redact(&self, name: &str, value: &mut Json) -> bool {
        let personal = self.is_personal(name);
        if personal {
            *value = Json::Text(MASK.into());
        }
        personal || !self.0.is_empty() && self.redact_inside(value)
    }

    /// Whether the name, or one of its parts as in `customer.email`, is personal.
    fn is_personal(&self, name: &str) -> bool {
        let is = |part: &str| {
            self.0.iter().any(|personal| {
                personal.eq_ignore_ascii_case(part) || !part.is_ascii() && *personal == part.to_lowercase()
            })
        };
        is(name) || name.contains('.') && name.split('.').any(is)
    }

    fn redact_inside(&self, value: &mut Json) -> bool {
        match value {
            Json::Object(members) => members
                .iter_mut()
                .fold(false, |masked, (name, value)| masked | self.redact(name, value) | self.redact_text(name)),
            Json::Array(values) => values.iter_mut().fold(false, |masked, value| masked | self.redact_inside(value)),
            Json::Text(text) => self.redact_text(text),
            Json::Scalar(_) | Json::Raw(_) => false,
        }
    }

    /// Masks values inside a string that is JSON, such as the body of a message. Another string is cut at the first personal
    /// name, because the end of its value is unknown.
    fn redact_text(&self, text: &mut String) -> bool {
        // A name needs a quote, which can be escaped.
        if !text.contains(['"', '\'', '\\']) {
            return false;
        }
        if let Some(mut inner) = Json::parse(text) {
            let masked = self.redact_inside(&mut inner);
            if masked {
                *text = serde_json::to_string(&inner).unwrap_or_else(|_| MASK.into());
            }
            return masked;
        }
        let first = if text.len() > MAX_LENGTH { Some(0) } else { self.first_name(text) };
        if let Some(first) = first {
            text.truncate(first);
            text.push_str(MASK);
        }
        first.is_some()
    }

    /// The position of the first personal name in quotes before a colon, in any string.
    fn first_name(&self, text: &str) -> Option<usize> {
        let mut chars: Vec<(usize, char)> = text.char_indices().collect();
        let mut escapes = 0;
        while chars.iter().any(|(_, char)| *char == '\\') {
            if escapes == MAX_ESCAPES {
                return Some(0);
            }
            chars = unescaped(&chars);
            escapes += 1;
        }
        let is_quote = |(_, char): &(usize, char)| matches!(char, '"' | '\'');
        let is_space = |(_, char): &(usize, char)| char.is_whitespace() || char.is_control() || *char == '\u{feff}';
        let colons = chars.iter().enumerate().filter(|(_, (_, char))| matches!(char, ':' | '='));
        colons.map(|(colon, _)| &chars[..colon]).find_map(|before| {
            let end = before.iter().rposition(|char| !is_space(char)).filter(|&end| is_quote(&before[end]))?;
            let start = before[..end].iter().rposition(is_quote);
            let name: String = before[start.map_or(0, |start| start + 1)..end].iter().map(|(_, char)| char).collect();
            self.is_personal(&name).then(|| start.map_or(0, |start| before[start].0))
        })
    }
}

/// The string without one layer of escapes (of JSON, Rust's `Debug` or Python): each character with its position.
fn unescaped(chars: &[(usize, char)]) -> Vec<(usize, char)> {
    let mut plain = Vec::with_capacity(chars.len());
    let mut rest = chars;
    while let [(place, char), after @ ..] = rest {
        rest = after;
        let mut char = *char;
        if char == '\\' {
            let [(_, escaped), after @ ..] = rest else { break };
            rest = after;
            let (decoded, length) = match escaped {
                'b' | 'f' | 'n' | 'r' | 't' | 'v' => (' ', 0),
                'u' | 'x' => decoded(*escaped, rest).unwrap_or((*escaped, 0)),
                escaped => (*escaped, 0),
            };
            (char, rest) = (decoded, &rest[length..]);
        }
        plain.push((*place, char));
    }
    plain
}

/// The character after `\u` or `\x`, and the length of its code.
fn decoded(kind: char, rest: &[(usize, char)]) -> Option<(char, usize)> {
    let (start, length, end) = match (kind, rest) {
        ('x', _) => (0, 2, 2),
        (_, [(_, '{'), digits @ ..]) => {
            let length = digits.iter().take(7).position(|(_, char)| *char == '}')?;
            (1, length, length + 2)
        }
        _ => (0, 4, 4),
    };
    let digits: String = rest.get(start..start + length)?.iter().map(|(_, char)| char).collect();
    let code = u32::from_str_radix(&digits, 16).ok()?;
    Some((char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), end))
}
