//! Attribute values, keys and items.

use std::collections::HashMap;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;

use super::cbor::{Decoder, Encoder, Kind, MAX_DEPTH, Malformed};
use super::number::Number;

const STRING_SET: u64 = 3321;
const NUMBER_SET: u64 = 3322;
const BINARY_SET: u64 = 3323;

/// An item, or a key.
pub type Item = HashMap<String, AttributeValue>;

/// The request is not valid, and was not sent. The text is for people; it names attributes, but no values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(pub String);

fn number(text: &str) -> Result<Number, Invalid> {
    let problem = "A number has to be in the range of DynamoDB's, with at most 38 significant digits";
    Number::parse(text).ok_or_else(|| Invalid(problem.to_owned()))
}

/// Writes a value. Maps are written in the order of their names.
pub fn encode_value(value: &AttributeValue, encoder: &mut Encoder) -> Result<(), Invalid> {
    encode_nested(value, encoder, 0)
}

fn encode_nested(value: &AttributeValue, encoder: &mut Encoder, depth: usize) -> Result<(), Invalid> {
    if depth == MAX_DEPTH {
        return Err(Invalid("Nesting Levels have exceeded supported limits".to_owned()));
    }
    let not_empty = |length: usize| match length {
        0 => Err(Invalid("A set has to have at least one value".to_owned())),
        _ => Ok(length),
    };
    match value {
        AttributeValue::S(text) => encoder.text(text),
        AttributeValue::N(text) => number(text)?.encode(encoder),
        AttributeValue::B(bytes) => encoder.bytes(bytes.as_ref()),
        AttributeValue::Bool(value) => encoder.bool(*value),
        AttributeValue::Null(_) => encoder.null(),
        AttributeValue::Ss(values) => {
            encoder.tag(STRING_SET);
            encoder.array(not_empty(values.len())?);
            values.iter().for_each(|value| encoder.text(value));
        }
        AttributeValue::Ns(values) => {
            encoder.tag(NUMBER_SET);
            encoder.array(not_empty(values.len())?);
            for value in values {
                number(value)?.encode(encoder);
            }
        }
        AttributeValue::Bs(values) => {
            encoder.tag(BINARY_SET);
            encoder.array(not_empty(values.len())?);
            values.iter().for_each(|value| encoder.bytes(value.as_ref()));
        }
        AttributeValue::L(values) => {
            encoder.array(values.len());
            for value in values {
                encode_nested(value, encoder, depth + 1)?;
            }
        }
        AttributeValue::M(values) => {
            encoder.map(values.len());
            let mut pairs: Vec<_> = values.iter().collect();
            pairs.sort_unstable_by_key(|(name, _)| *name);
            for (name, value) in pairs {
                encoder.text(name);
                encode_nested(value, encoder, depth + 1)?;
            }
        }
        _ => return Err(Invalid("A value has a type that this client does not know".to_owned())),
    }
    Ok(())
}

/// Reads a value.
pub fn decode_value(decoder: &mut Decoder) -> Result<AttributeValue, Malformed> {
    decode_nested(decoder, 0)
}

fn decode_nested(decoder: &mut Decoder, depth: usize) -> Result<AttributeValue, Malformed> {
    if depth == MAX_DEPTH {
        return Err(Malformed("nested too deeply"));
    }
    Ok(match decoder.kind()? {
        Kind::Text => AttributeValue::S(decoder.text()?.into_owned()),
        Kind::Bytes => AttributeValue::B(Blob::new(decoder.bytes()?.into_owned())),
        Kind::Bool => AttributeValue::Bool(decoder.bool()?),
        Kind::Null => {
            decoder.null()?;
            AttributeValue::Null(true)
        }
        Kind::Number => AttributeValue::N(Number::decode(decoder)?.to_string()),
        Kind::Array => {
            let mut values = Vec::new();
            decoder.each(|decoder| {
                values.push(decode_nested(decoder, depth + 1)?);
                Ok::<_, Malformed>(())
            })?;
            AttributeValue::L(values)
        }
        Kind::Map => {
            let mut values = HashMap::new();
            decoder.pairs(|decoder| {
                let name = decoder.text()?.into_owned();
                values.insert(name, decode_nested(decoder, depth + 1)?);
                Ok::<_, Malformed>(())
            })?;
            AttributeValue::M(values)
        }
        Kind::Tag => {
            let mut ahead = decoder.clone();
            let tag = ahead.tag()?;
            if !(STRING_SET..=BINARY_SET).contains(&tag) {
                return Ok(AttributeValue::N(Number::decode(decoder)?.to_string()));
            }
            *decoder = ahead;
            match tag {
                STRING_SET => AttributeValue::Ss(set(decoder, |decoder| Ok(decoder.text()?.into_owned()))?),
                NUMBER_SET => AttributeValue::Ns(set(decoder, |decoder| Ok(Number::decode(decoder)?.to_string()))?),
                _ => AttributeValue::Bs(set(decoder, |decoder| Ok(Blob::new(decoder.bytes()?.into_owned())))?),
            }
        }
    })
}

fn set<T>(decoder: &mut Decoder, read: impl Fn(&mut Decoder) -> Result<T, Malformed>) -> Result<Vec<T>, Malformed> {
    let mut values = Vec::new();
    decoder.each(|decoder| {
        values.push(read(decoder)?);
        Ok::<_, Malformed>(())
    })?;
    Ok(values)
}

/// The type of a key attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyType {
    /// Binary.
    B,
    /// Number.
    N,
    /// String.
    S,
}

impl KeyType {
    /// The name that DynamoDB gives the type.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::B => "B",
            Self::N => "N",
            Self::S => "S",
        }
    }

    /// The type of this name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::B, Self::N, Self::S].into_iter().find(|of| of.as_str() == name)
    }
}

/// A table's key attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySchema {
    /// Name and type of the partition key.
    pub hash: (String, KeyType),
    /// Name and type of the sort key, if the table has one.
    pub range: Option<(String, KeyType)>,
}

impl KeySchema {
    /// Reads a map of names and types, the partition key first.
    pub fn read(decoder: &mut Decoder) -> Result<Self, Malformed> {
        let mut attributes = Vec::new();
        decoder.pairs(|decoder| {
            let name = decoder.text()?.into_owned();
            let of = KeyType::parse(&decoder.text()?).ok_or(Malformed("a key of an unknown type"))?;
            attributes.push((name, of));
            Ok::<_, Malformed>(())
        })?;
        let mut attributes = attributes.into_iter();
        match (attributes.next(), attributes.next(), attributes.next()) {
            (Some(hash), range, None) => Ok(Self { hash, range }),
            _ => Err(Malformed("a key that has not one or two attributes")),
        }
    }

    /// Whether an attribute is part of the key.
    pub fn contains(&self, name: &str) -> bool {
        self.hash.0 == name || self.range.as_ref().is_some_and(|range| range.0 == name)
    }

    /// The number of key attributes.
    pub fn attributes(&self) -> usize {
        1 + usize::from(self.range.is_some())
    }

    /// An error unless `key` has the key attributes and no others.
    pub fn check(&self, key: &Item) -> Result<(), Invalid> {
        if key.len() == self.attributes() && key.keys().all(|name| self.contains(name)) {
            Ok(())
        } else {
            Err(Invalid("The provided key element does not match the schema".to_owned()))
        }
    }

    /// The key of an item.
    pub fn key_of(&self, item: &Item) -> Item {
        item.iter().filter(|(name, _)| self.contains(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// The names of an item's other attributes, in the order in which their values are sent.
    pub fn other_names(&self, item: &Item) -> Vec<String> {
        let mut names: Vec<_> = item.keys().filter(|name| !self.contains(name)).cloned().collect();
        names.sort_unstable();
        names
    }

    /// The key of an item or of a key, in bytes.
    pub fn encode(&self, item: &Item) -> Result<Vec<u8>, Invalid> {
        let attribute = |(name, of): &(String, KeyType)| {
            let value = item.get(name).ok_or_else(|| {
                Invalid(format!("One of the required keys was not given a value: the key attribute {name} is missing"))
            })?;
            let (type_matches, empty) = match (of, value) {
                (KeyType::S, AttributeValue::S(text)) => (true, text.is_empty()),
                (KeyType::B, AttributeValue::B(bytes)) => (true, bytes.as_ref().is_empty()),
                (KeyType::N, AttributeValue::N(_)) => (true, false),
                _ => (false, false),
            };
            if !type_matches {
                return Err(Invalid(format!("The key attribute {name} has to be of type {}", of.as_str())));
            }
            if empty {
                return Err(Invalid(format!("The key attribute {name} is empty")));
            }
            Ok(value)
        };
        let mut encoder = Encoder::default();
        let hash = attribute(&self.hash)?;
        match (hash, &self.range) {
            (AttributeValue::S(text), None) => encoder.raw(text.as_bytes()),
            (AttributeValue::B(bytes), None) => encoder.raw(bytes.as_ref()),
            _ => encode_value(hash, &mut encoder)?,
        }
        if let Some(range) = &self.range {
            match attribute(range)? {
                AttributeValue::S(text) => encoder.raw(text.as_bytes()),
                AttributeValue::B(bytes) => encoder.raw(bytes.as_ref()),
                AttributeValue::N(text) => number(text)?.encode_lexical(&mut encoder.buffer),
                _ => {}
            }
        }
        Ok(encoder.buffer)
    }

    /// Reads a key.
    pub fn decode(&self, bytes: &[u8]) -> Result<Item, Malformed> {
        let mut decoder = Decoder::new(bytes);
        let mut key = HashMap::new();
        let (name, of) = &self.hash;
        let Some((range_name, range_of)) = &self.range else {
            let value = match of {
                KeyType::N => {
                    let value = Number::decode(&mut decoder)?;
                    decoder.finish()?;
                    AttributeValue::N(value.to_string())
                }
                _ => raw(bytes, *of)?,
            };
            key.insert(name.clone(), value);
            return Ok(key);
        };
        let value = match of {
            KeyType::S => AttributeValue::S(decoder.text()?.into_owned()),
            KeyType::B => AttributeValue::B(Blob::new(decoder.bytes()?.into_owned())),
            KeyType::N => AttributeValue::N(Number::decode(&mut decoder)?.to_string()),
        };
        key.insert(name.clone(), value);
        let value = match range_of {
            KeyType::N => AttributeValue::N(Number::decode_lexical(decoder.rest())?.to_string()),
            of => raw(decoder.rest(), *of)?,
        };
        key.insert(range_name.clone(), value);
        Ok(key)
    }
}

fn raw(bytes: &[u8], of: KeyType) -> Result<AttributeValue, Malformed> {
    Ok(match of {
        KeyType::S => {
            let text = std::str::from_utf8(bytes).map_err(|_| Malformed("text that is no UTF-8"))?;
            AttributeValue::S(text.to_owned())
        }
        _ => AttributeValue::B(Blob::new(bytes)),
    })
}

/// Writes an item's attributes outside its key: the id of the list of their names, then their values.
pub fn encode_attributes(item: &Item, names: &[String], list: i64, encoder: &mut Encoder) -> Result<(), Invalid> {
    encoder.int(list);
    for name in names {
        let value = item.get(name).ok_or_else(|| Invalid(format!("the attribute {name} is missing")))?;
        encode_value(value, encoder)?;
    }
    Ok(())
}

/// Writes a key of an index: names and values. The map has to be indefinite, as the Python client's encoder says.
pub fn encode_compound_key(key: &Item, encoder: &mut Encoder) -> Result<(), Invalid> {
    encoder.indefinite_map();
    let mut pairs: Vec<_> = key.iter().collect();
    pairs.sort_unstable_by_key(|(name, _)| *name);
    for (name, value) in pairs {
        encoder.text(name);
        encode_value(value, encoder)?;
    }
    encoder.end();
    Ok(())
}

/// Reads names and values.
pub fn decode_compound_key(decoder: &mut Decoder) -> Result<Item, Malformed> {
    let mut key = HashMap::new();
    decoder.pairs(|decoder| {
        let name = decoder.text()?.into_owned();
        key.insert(name, decode_value(decoder)?);
        Ok::<_, Malformed>(())
    })?;
    Ok(key)
}
