//! Images of appointments, in the one form in which they can be compared and summed.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::ops::AddAssign;
use std::str::FromStr;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use serde_dynamo::{AttributeValue, Item};
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::Appointment;

/// An item that is an appointment. Two images are equal when their texts are.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    /// What the item says.
    pub appointment: Appointment,
    /// The item's key in the table.
    pub key: Key,
    /// Canonical DynamoDB JSON: keys and sets are sorted.
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

impl Image {
    /// `None` for an item that is no appointment.
    pub fn of(item: Item) -> Option<Self> {
        let appointment = serde_dynamo::from_item(item.clone()).ok()?;
        let key = serde_dynamo::from_item(item.clone()).ok()?;
        let mut attributes = item.into_inner();
        attributes.values_mut().for_each(sort_sets);
        let mut json = serde_json::to_value(Item::from(attributes)).ok()?;
        json.sort_all_objects();
        Some(Self { appointment, key, text: json.to_string() })
    }

    /// Reads DynamoDB JSON; `None` for what is no appointment.
    pub fn parse(text: &str) -> Option<Self> {
        Self::of(serde_json::from_str(text).ok()?)
    }

    /// The UTC date of the appointment.
    pub fn date(&self) -> NaiveDate {
        self.appointment.starts_at.date_naive()
    }

    /// The first eight bytes of the text's SHA-256.
    fn hash(&self) -> u64 {
        Sha256::digest(&self.text).iter().take(8).fold(0, |hash, byte| hash << 8 | u64::from(*byte))
    }
}

/// A set has no order of its own: the table and its stream may give one differently.
fn sort_sets(value: &mut AttributeValue) {
    match value {
        AttributeValue::Ss(set) | AttributeValue::Ns(set) => set.sort_unstable(),
        AttributeValue::Bs(set) => set.sort_unstable(),
        AttributeValue::M(map) => map.values_mut().for_each(sort_sets),
        AttributeValue::L(list) => list.iter_mut().for_each(sort_sets),
        _ => {}
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

    /// Adds what a change from `old` to `new` comes to.
    pub fn change(&mut self, old: Option<&Image>, new: Option<&Image>) {
        self.count += i64::from(new.is_some()) - i64::from(old.is_some());
        let hash = |image: Option<&Image>| image.map_or(0, Image::hash);
        self.checksum = self.checksum.wrapping_add(hash(new)).wrapping_sub(hash(old));
    }
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
        assert_eq!(image(&BOOKED.replace("2026-12-01T", "tomorrow, ")), None);
    }

    #[test]
    fn changes_come_to_what_the_table_holds() {
        let changed = BOOKED.replace("s-1", "s-2");
        let (booked, changed) = (image(BOOKED), image(&changed));
        let mut changes = Net::default();
        // In the wrong order.
        changes.change(booked.as_ref(), changed.as_ref());
        changes.change(changed.as_ref(), None);
        changes.change(None, booked.as_ref());
        changes.change(None, changed.as_ref());
        let mut table = Net::default();
        table.change(None, changed.as_ref());
        assert_eq!(changes, table);
        assert_ne!(changes, Net::default());
        assert_eq!(changes.to_string().parse::<Net>().ok(), Some(changes));
        assert_eq!(changed.map(|image| image.date().to_string()).as_deref(), Some("2026-12-02"));
    }
}
