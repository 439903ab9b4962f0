//! Items in a canonical form, so that they can be compared and summed.

use std::borrow::Cow;
use std::fmt::{self, Formatter};
use std::marker::PhantomData;
use std::mem::swap;
use std::ops::RangeInclusive;

use chrono::{DateTime, Datelike, NaiveDate, Utc};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use crate::number;
use crate::table::{Column, Table, Type};

/// Accepted years of a time. Times far outside of this range overflow in readers of Parquet.
const YEARS: RangeInclusive<i32> = 1900..=9999;

/// An item that fits its table. Two images are equal if their texts are equal.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    /// The item's key in the table.
    pub key: Key,
    /// The UTC date of the item; `None` in a table without dates.
    pub date: Option<NaiveDate>,
    /// Canonical DynamoDB JSON, from [`Item::into_text`].
    pub text: String,
}

/// An item's key in its table: the hash key's text and, if there is one, the range key's.
///
/// The values are texts, because two texts that mean the same time are different keys. DynamoDB normalises numbers;
/// binary values are base64.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Key(pub Vec<String>);

/// An attribute of an item is missing, or does not have the type of its column.
#[derive(Debug, Error)]
#[error("not a valid {item}, because {attribute} is not {expected}")]
pub struct Misfit {
    item: &'static str,
    attribute: &'static str,
    expected: &'static str,
}

/// The value of a column in a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// No value: the attribute is absent, or `NULL`.
    Null,
    /// Of [`Type::Text`].
    Text(Cow<'a, str>),
    /// Of [`Type::Integer`].
    Integer(i64),
    /// Of [`Type::Decimal`]: the number, multiplied by ten to the power of the scale.
    Decimal(i128),
    /// Of [`Type::Boolean`].
    Boolean(bool),
    /// Of [`Type::Time`].
    Time(DateTime<Utc>),
}

/// An item in DynamoDB JSON:
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_AttributeValue.html>.
///
/// Its texts are borrowed, because the archive parses every image of the stream.
#[derive(Deserialize, Serialize)]
#[serde(transparent)]
pub struct Item<'a>(#[serde(borrow)] Attributes<'a>);

/// Sorted by name, and each name once: the last of those in the text. A list, because it costs less than a map, and is
/// mostly sorted in the text.
struct Attributes<'a>(Vec<(Text<'a>, Attribute<'a>)>);

#[derive(Deserialize, Serialize)]
enum Attribute<'a> {
    #[serde(borrow)]
    S(Text<'a>),
    N(Text<'a>),
    B(Text<'a>),
    #[serde(rename = "BOOL")]
    Bool(bool),
    #[serde(rename = "NULL")]
    Null(bool),
    M(Attributes<'a>),
    L(Vec<Attribute<'a>>),
    #[serde(rename = "SS")]
    StringSet(Vec<Text<'a>>),
    #[serde(rename = "NS")]
    NumberSet(Vec<Text<'a>>),
    #[serde(rename = "BS")]
    BinarySet(Vec<Text<'a>>),
}

#[derive(Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> Attributes<'a> {
    fn get(&self, name: &str) -> Option<&Attribute<'a>> {
        let index = self.0.binary_search_by(|(other, _)| (*other.0).cmp(name)).ok()?;
        Some(&self.0[index].1)
    }

    /// A set has no order: the table and its stream may return its elements in different orders.
    fn sort_sets(&mut self) {
        self.0.iter_mut().for_each(|(_, attribute)| attribute.sort_sets());
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Attributes<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read<'a>(PhantomData<&'a ()>);

        impl<'de: 'a, 'a> Visitor<'de> for Read<'a> {
            type Value = Attributes<'a>;

            fn expecting(&self, formatter: &mut Formatter) -> fmt::Result {
                formatter.write_str("a map of attributes")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                // More than most items have: growing would copy them.
                let mut attributes = Vec::with_capacity(8);
                while let Some(attribute) = map.next_entry::<Text, Attribute>()? {
                    attributes.push(attribute);
                }
                if !attributes.is_sorted_by(|(a, _), (b, _)| a < b) {
                    attributes.sort_by(|(a, _), (b, _)| a.cmp(b));
                    attributes.dedup_by(|later, earlier| {
                        let is_same = later.0 == earlier.0;
                        if is_same {
                            swap(later, earlier);
                        }
                        is_same
                    });
                }
                Ok(Attributes(attributes))
            }
        }

        deserializer.deserialize_map(Read(PhantomData))
    }
}

impl Serialize for Attributes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, attribute)| (name, attribute)))
    }
}

impl<'a> Attribute<'a> {
    fn sort_sets(&mut self) {
        match self {
            Self::StringSet(set) | Self::NumberSet(set) | Self::BinarySet(set) => set.sort_unstable(),
            Self::M(attributes) => attributes.sort_sets(),
            Self::L(list) => list.iter_mut().for_each(Self::sort_sets),
            _ => {}
        }
    }

    fn value(&self, kind: Type) -> Option<Value<'a>> {
        Some(match (kind, self) {
            (Type::Text, Self::S(text)) => Value::Text(text.0.clone()),
            (Type::Time, Self::S(text)) => Value::Time(time(&text.0)?),
            (Type::Integer, Self::N(number)) => Value::Integer(number::scaled(&number.0, 0)?.try_into().ok()?),
            (Type::Decimal { scale }, Self::N(number)) => Value::Decimal(number::scaled(&number.0, scale)?),
            (Type::Boolean, Self::Bool(boolean)) => Value::Boolean(*boolean),
            _ => return None,
        })
    }
}

fn time(text: &str) -> Option<DateTime<Utc>> {
    text.parse().ok().filter(|time: &DateTime<Utc>| YEARS.contains(&time.year()))
}

impl<'a> Item<'a> {
    /// Canonical DynamoDB JSON: keys and sets are sorted.
    ///
    /// # Errors
    /// Never in practice: `serde_json` fails only for map keys that are not texts.
    pub fn into_text(mut self) -> serde_json::Result<String> {
        self.0.sort_sets();
        serde_json::to_string(&self)
    }

    /// The item's key; `None` if the item has none. Also accepts the stream's `Keys`.
    pub fn key(&self, table: &Table) -> Option<Key> {
        let attributes = [Some(table.hash_key), table.range_key];
        let text = |name| match self.0.get(name)? {
            Attribute::S(text) | Attribute::N(text) | Attribute::B(text) => Some(text.0.clone().into_owned()),
            _ => None,
        };
        Some(Key(attributes.into_iter().flatten().map(text).collect::<Option<_>>()?))
    }

    /// The values of the item's columns.
    ///
    /// # Errors
    /// If the item doesn't fit the table.
    pub fn values(&self, table: &Table) -> Result<Vec<Value<'a>>, Misfit> {
        // `collect` would start with a smaller allocation, and grow it.
        let mut values = Vec::with_capacity(table.columns.len());
        for column in table.columns {
            values.push(self.value(table, column)?);
        }
        Ok(values)
    }

    /// Whether [`Item::values`] succeeds.
    pub fn fits(&self, table: &Table) -> bool {
        table.columns.iter().all(|column| self.value(table, column).is_ok())
    }

    fn value(&self, table: &Table, column: &Column) -> Result<Value<'a>, Misfit> {
        let value = match self.0.get(column.name) {
            None | Some(Attribute::Null(_)) => column.is_optional.then_some(Value::Null),
            Some(attribute) => attribute.value(column.kind),
        };
        value.ok_or(Misfit { item: table.item, attribute: column.name, expected: column.kind.description() })
    }
}

impl Type {
    /// Contains no colon and no value of the item, because the redrive shows it.
    fn description(self) -> &'static str {
        match self {
            Self::Text => "a text",
            Self::Integer => "an integer of 64 bits",
            Self::Decimal { .. } => "a number with at most 38 digits, and no more decimal places than the column",
            Self::Boolean => "a boolean",
            Self::Time => "a time in RFC 3339 form, in the years 1900 to 9999",
        }
    }
}

/// The UTC date of an item with these values; `None` in a table without dates.
pub(crate) fn date(table: &Table, values: &[Value]) -> Option<NaiveDate> {
    match values.get(table.date_index()?) {
        Some(Value::Time(time)) => Some(time.date_naive()),
        _ => None,
    }
}

impl Image {
    /// Reads DynamoDB JSON; `None` if the item doesn't fit the table.
    pub fn parse(table: &Table, text: &str) -> Option<Self> {
        let item: Item = serde_json::from_str(text).ok()?;
        let date = date(table, &item.values(table).ok()?);
        Some(Self { key: item.key(table)?, date, text: item.into_text().ok()? })
    }
}
