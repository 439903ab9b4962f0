//! Sums of changes, which can be compared with sums of a table's items.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::ops::AddAssign;
use std::str::FromStr;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;

/// Sums of changes by UTC date: that of their items, or that of the changes ([`crate::Table::date`]).
pub type Days = BTreeMap<NaiveDate, Net>;

/// A sum of changes: the net number of items added, and a checksum of which.
///
/// The sum of all changes to a table's items equals the sum of the items themselves, in any order.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Net {
    count: i64,
    /// The sum of the new images' hashes minus the sum of the old images' hashes.
    checksum: u64,
}

/// A text is not in the displayed form of a [`Net`].
#[derive(Debug, Error)]
#[error("not a count and a checksum: {0}")]
pub struct NotANet(String);

impl Net {
    /// The net number of items added.
    pub fn count(&self) -> i64 {
        self.count
    }

    /// The sum of one change, from the texts of its old and its new [`Image`](crate::Image).
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
