//! The description of an archived table.

use chrono::NaiveDate;

/// The maximum number of digits of a DynamoDB number and of a Parquet decimal.
pub(crate) const DIGITS: u32 = 38;

/// Columns of every archive, before and after the table's own columns.
pub(crate) const EVENT_COLUMNS: [&str; 5] = ["event_id", "event_source", "event_name", "sequence_number", "event_time"];
pub(crate) const IMAGES: [&str; 2] = ["new_image", "old_image"];

/// A DynamoDB table, and the columns of its archive.
#[derive(Debug)]
pub struct Table {
    /// The first folder of its objects' keys.
    pub name: &'static str,
    /// The name of one item, in the Parquet schema and in the reasons of refused records.
    pub item: &'static str,
    /// The attribute that is the hash key: text, number or binary.
    pub hash_key: &'static str,
    /// The attribute that is the range key: text, number or binary.
    pub range_key: Option<&'static str>,
    /// The column by whose UTC date the ledger sums the items: a time, and a part of the key, so that an item's date
    /// never changes. Without one, the ledger sums by the date of the change, and reconciliation compares the table as a
    /// whole.
    pub date: Option<&'static str>,
    /// Attributes that have a column. An item without one of them goes to quarantine, unless the column is optional.
    pub columns: &'static [Column],
}

/// An attribute that has a column in the archive.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    pub(crate) name: &'static str,
    pub(crate) kind: Type,
    pub(crate) is_optional: bool,
    pub(crate) is_unique: bool,
}

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Type {
    /// From `S`.
    Text,
    /// From `N`: 64 bits, signed.
    Integer,
    /// From `N`: 38 digits, `scale` of them after the decimal point. It is a number, so that readers can sum it; the
    /// images keep the original digits.
    Decimal {
        /// Digits after the decimal point.
        scale: u32,
    },
    /// From `BOOL`.
    Boolean,
    /// From `S`: RFC 3339, years 1900 to 9999; milliseconds.
    Time,
}

impl Column {
    /// From an attribute of type `S`.
    pub const fn text(name: &'static str) -> Self {
        Self::new(name, Type::Text)
    }

    /// From an attribute of type `N`: 64 bits, signed.
    pub const fn integer(name: &'static str) -> Self {
        Self::new(name, Type::Integer)
    }

    /// From an attribute of type `N`: 38 digits, `scale` of them after the decimal point.
    pub const fn decimal(name: &'static str, scale: u32) -> Self {
        Self::new(name, Type::Decimal { scale })
    }

    /// From an attribute of type `BOOL`.
    pub const fn boolean(name: &'static str) -> Self {
        Self::new(name, Type::Boolean)
    }

    /// From an attribute of type `S`: an RFC 3339 time in the years 1900 to 9999.
    pub const fn time(name: &'static str) -> Self {
        Self::new(name, Type::Time)
    }

    /// The attribute may be absent, or `NULL`.
    pub const fn optional(mut self) -> Self {
        self.is_optional = true;
        self
    }

    /// The column has no dictionary, because hardly a value occurs twice in an object.
    pub const fn unique(mut self) -> Self {
        self.is_unique = true;
        self
    }

    const fn new(name: &'static str, kind: Type) -> Self {
        Self { name, kind, is_optional: false, is_unique: false }
    }
}

impl Table {
    /// Returns the table, for a constant.
    ///
    /// # Panics
    /// At compile time, if the table can't be archived; the message says why.
    pub const fn checked(self) -> Self {
        let mut date_is_known = self.date.is_none();
        let mut index = 0;
        while index < self.columns.len() {
            let column = self.columns[index];
            if let Type::Decimal { scale } = column.kind {
                assert!(scale <= DIGITS, "a decimal column has more than 38 decimal places");
            }
            assert!(!contains(&EVENT_COLUMNS, column.name), "a column has the name of one that the archive adds");
            assert!(!contains(&IMAGES, column.name), "a column has the name of one that the archive adds");
            if let Some(date) = self.date
                && is_same(date, column.name)
            {
                date_is_known = matches!(column.kind, Type::Time) && !column.is_optional;
            }
            index += 1;
        }
        assert!(date_is_known, "`date` is not the name of a required column of times");
        if let Some(date) = self.date {
            let is_range_key = match self.range_key {
                Some(range_key) => is_same(date, range_key),
                None => false,
            };
            assert!(is_range_key || is_same(date, self.hash_key), "`date` is not a part of the key");
        }
        self
    }

    /// The prefix of the keys of all archive objects of this table.
    pub fn prefix(&self) -> String {
        format!("{}/", self.name)
    }

    /// The prefix of the keys of a partition's objects. A partition holds the changes of one UTC date.
    pub fn partition_prefix(&self, dt: NaiveDate) -> String {
        format!("{}/dt={dt}/", self.name)
    }

    /// The partition of an archive object, from its key; `None` if the key is not that of an archive object of this
    /// table.
    pub fn dt(&self, key: &str) -> Option<NaiveDate> {
        let (dt, _) = key.strip_prefix(self.name)?.strip_prefix("/dt=")?.split_once('/')?;
        dt.parse().ok()
    }

    /// The prefix of the keys of quarantine objects, which hold records that can never be archived.
    pub fn quarantine_prefix(&self) -> String {
        format!("quarantine/{}/", self.name)
    }

    /// The index of the date among an item's values.
    pub(crate) fn date_index(&self) -> Option<usize> {
        let date = self.date?;
        self.columns.iter().position(|column| column.name == date)
    }
}

const fn contains(names: &[&str], name: &str) -> bool {
    let mut index = 0;
    while index < names.len() {
        if is_same(names[index], name) {
            return true;
        }
        index += 1;
    }
    false
}

/// `==` is not a `const fn`.
const fn is_same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut index = 0;
    while index < a.len() && index < b.len() && a[index] == b[index] {
        index += 1;
    }
    index == a.len() && index == b.len()
}
