//! Images of appointments, in the one form in which they can be compared and summed.

use std::borrow::{Borrow, Cow};
use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::ops::{AddAssign, RangeInclusive};
use std::str::FromStr;

use chrono::{DateTime, Datelike, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::Appointment;

/// The years in which an appointment can start. Readers of Parquet overflow at times that are far outside of them.
const YEARS: RangeInclusive<i32> = 1900..=9999;

/// An item that is an appointment. Two images are equal when their texts are.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    /// The item's key in the table.
    pub key: Key,
    /// The UTC date of the appointment.
    pub date: NaiveDate,
    /// What [`Item::into_text`] gives.
    pub text: String,
}

/// An appointment's key in the table: texts, because two texts can be the same time.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Key {
    /// The hash key.
    pub advisor_id: String,
    /// The range key.
    pub starts_at: String,
}

/// An attribute of an item is missing, or isn't what it is in an [`Appointment`].
#[derive(Debug, Error)]
#[error("not an appointment, by its {0}")]
pub struct NotAnAppointment(&'static str);

/// An item, as DynamoDB JSON says it:
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_AttributeValue.html>.
///
/// It borrows its texts: the archive reads every image of the stream.
#[derive(Deserialize, Serialize)]
pub struct Item<'a>(#[serde(borrow)] BTreeMap<Text<'a>, Attribute<'a>>);

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
    M(BTreeMap<Text<'a>, Attribute<'a>>),
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

impl Borrow<str> for Text<'_> {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl Attribute<'_> {
    /// A set has no order of its own: the table and its stream may give one differently.
    fn sort_sets(&mut self) {
        match self {
            Self::StringSet(set) | Self::NumberSet(set) | Self::BinarySet(set) => set.sort_unstable(),
            Self::M(map) => map.values_mut().for_each(Self::sort_sets),
            Self::L(list) => list.iter_mut().for_each(Self::sort_sets),
            _ => {}
        }
    }
}

impl<'a> Item<'a> {
    /// Canonical DynamoDB JSON: keys and sets are sorted.
    ///
    /// # Errors
    /// Never: `serde_json` has errors for keys that are no texts.
    pub fn into_text(mut self) -> serde_json::Result<String> {
        self.0.values_mut().for_each(Attribute::sort_sets);
        serde_json::to_string(&self)
    }

    /// What the item says.
    ///
    /// # Errors
    /// When it isn't an appointment.
    pub fn appointment(&self) -> Result<Appointment<'a>, NotAnAppointment> {
        Ok(Appointment {
            advisor_id: self.text("advisor_id")?,
            starts_at: starts_at(&self.text("starts_at")?).ok_or(NotAnAppointment("starts_at"))?,
            student_id: self.text("student_id")?,
            topic: self.optional_text("topic")?,
        })
    }

    fn optional_text(&self, name: &'static str) -> Result<Option<Cow<'a, str>>, NotAnAppointment> {
        match self.0.get(name) {
            Some(Attribute::S(text)) => Ok(Some(text.0.clone())),
            Some(Attribute::Null(_)) | None => Ok(None),
            Some(_) => Err(NotAnAppointment(name)),
        }
    }

    fn text(&self, name: &'static str) -> Result<Cow<'a, str>, NotAnAppointment> {
        self.optional_text(name)?.ok_or(NotAnAppointment(name))
    }
}

fn starts_at(text: &str) -> Option<DateTime<Utc>> {
    text.parse().ok().filter(|time: &DateTime<Utc>| YEARS.contains(&time.year()))
}

impl Image {
    /// Reads DynamoDB JSON; `None` for what is no appointment.
    pub fn parse(text: &str) -> Option<Self> {
        let item: Item = serde_json::from_str(text).ok()?;
        let date = item.appointment().ok()?.date();
        let text = |name| Some(item.text(name).ok()?.into_owned());
        let key = Key { advisor_id: text("advisor_id")?, starts_at: text("starts_at")? };
        Some(Self { key, date, text: item.into_text().ok()? })
    }
}

/// What changes come to, by the UTC date of their appointments.
pub type Days = BTreeMap<NaiveDate, Net>;

/// What changes come to: how many appointments there are more, and which.
///
/// All changes to a table's items of a date come to the same as the items themselves, in whatever order they are summed.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Net {
    count: i64,
    /// The sum of the hashes of images that came, less those of images that went.
    checksum: u64,
}

/// A text is not the form that [`Net`] is displayed in.
#[derive(Debug, Error)]
#[error("not a count and a checksum: {0}")]
pub struct NotANet(String);

impl Net {
    /// How many appointments there are more.
    pub fn count(&self) -> i64 {
        self.count
    }

    /// What a change comes to: from and to an [`Image`]'s text.
    pub fn between(old: Option<&str>, new: Option<&str>) -> Self {
        Self { count: i64::from(new.is_some()) - i64::from(old.is_some()), checksum: hash(new).wrapping_sub(hash(old)) }
    }
}

/// The first eight bytes of the text's SHA-256.
fn hash(text: Option<&str>) -> u64 {
    text.map_or(0, |text| Sha256::digest(text).iter().take(8).fold(0, |hash, byte| hash << 8 | u64::from(*byte)))
}

impl AddAssign for Net {
    fn add_assign(&mut self, other: Self) {
        self.count += other.count;
        self.checksum = self.checksum.wrapping_add(other.checksum);
    }
}

impl Display for Net {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:+} {:016x}", self.count, self.checksum)
    }
}

impl FromStr for Net {
    type Err = NotANet;

    fn from_str(text: &str) -> Result<Self, NotANet> {
        let parse = || {
            let (count, checksum) = text.split_once(' ')?;
            Some(Self { count: count.parse().ok()?, checksum: u64::from_str_radix(checksum, 16).ok()? })
        };
        parse().ok_or_else(|| NotANet(text.into()))
    }
}

impl TryFrom<String> for Net {
    type Error = NotANet;

    fn try_from(text: String) -> Result<Self, NotANet> {
        text.parse()
    }
}

impl From<Net> for String {
    fn from(net: Net) -> Self {
        net.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(text: &str) -> Option<Image> {
        Image::parse(text)
    }

    const BOOKED: &str =
        r#"{"advisor_id":{"S":"ada"},"starts_at":{"S":"2026-12-01T23:30:00-01:00"},"student_id":{"S":"s-1"}}"#;

    #[test]
    fn images_are_equal_whatever_the_order_of_their_keys_and_sets() {
        let other = r#"{"student_id": {"S": "s-1"}, "tags": {"SS": ["b", "a"]}, "starts_at": {"S": "2026-12-01T09:00:00Z"},
            "list": {"L": [{"NS": ["2", "1"]}, {"M": {"b": {"BS": ["Yg==", "YQ=="]}, "a": {"NULL": true}}}]},
            "advisor_id": {"S": "ada"}}"#;
        let canonical = concat!(
            r#"{"advisor_id":{"S":"ada"},"list":{"L":[{"NS":["1","2"]},{"M":{"a":{"NULL":true},"b":{"BS":["YQ==","Yg=="]}}}]},"#,
            r#""starts_at":{"S":"2026-12-01T09:00:00Z"},"student_id":{"S":"s-1"},"tags":{"SS":["a","b"]}}"#
        );
        assert_eq!(image(other).map(|image| image.text).as_deref(), Some(canonical));
        assert_eq!(image(canonical).map(|image| image.text).as_deref(), Some(canonical));
    }

    #[test]
    fn what_is_no_appointment_is_no_image() {
        assert_eq!(image("{}"), None);
        assert_eq!(image("no JSON"), None);
        for date in ["tomorrow, ", "+12026-12-01T", "-0001-12-01T", "1899-12-01T"] {
            assert_eq!(image(&BOOKED.replace("2026-12-01T", date)), None, "{date}");
        }
        assert!(image(&BOOKED.replace("2026-12-01T", "9999-12-01T")).is_some());
    }

    #[test]
    fn changes_come_to_what_the_table_holds() {
        let changed = BOOKED.replace("s-1", "s-2");
        let (booked, changed) = (Some(BOOKED), Some(changed.as_str()));
        let mut changes = Net::default();
        // In the wrong order.
        changes += Net::between(booked, changed);
        changes += Net::between(changed, None);
        changes += Net::between(None, booked);
        changes += Net::between(None, changed);
        let table = Net::between(None, changed);
        assert_eq!(changes, table);
        assert_ne!(changes, Net::default());
        assert_eq!(changes.to_string().parse::<Net>().ok(), Some(changes));
        assert_eq!(image(BOOKED).map(|image| image.date.to_string()).as_deref(), Some("2026-12-02"));
    }
}
