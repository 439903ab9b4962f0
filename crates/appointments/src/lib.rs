//! The appointment and the format in which its changes are archived.

pub mod archive;
pub mod image;

use std::borrow::Cow;

use chrono::{DateTime, NaiveDate, Utc};

/// A booked slot, as an item of the appointments table holds it.
///
/// `advisor_id` and `starts_at` are the table's key, so a slot exists once.
#[derive(Clone, Debug, PartialEq)]
pub struct Appointment<'a> {
    /// The advisor whose slot it is; the table's hash key.
    pub advisor_id: Cow<'a, str>,
    /// When the slot begins; the table's range key, RFC 3339.
    pub starts_at: DateTime<Utc>,
    /// The student who booked it: `sub` of the verified token.
    pub student_id: Cow<'a, str>,
    /// What the student wants to talk about.
    pub topic: Option<Cow<'a, str>>,
}

impl Appointment<'_> {
    /// The UTC date of the slot.
    pub fn date(&self) -> NaiveDate {
        self.starts_at.date_naive()
    }
}
