//! The messages of the queue of reminders: which e-mail a student gets about which appointment.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// A message of the queue.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Message {
    /// The student has booked the slot.
    Booked(Appointment),
    /// The student has cancelled; the slot is free again.
    Cancelled(Appointment),
    /// Staff have withdrawn the slot.
    Withdrawn(Appointment),
    /// The appointment is tomorrow, unless the booking has changed since.
    Remind(Booking),
    /// SES accepted an e-mail.
    EmailSent {
        /// The values of the tag [`EMAIL_ID`]; an e-mail has exactly one.
        email_ids: [String; 1],
    },
}

/// The tag that names an e-mail in SES's event `Email Sent`.
pub const EMAIL_ID: &str = "email_id";

/// The fields of [`Appointment`] that no log may hold.
pub const PERSONAL_FIELDS: [&str; 2] = ["student_email", "topic"];

/// A student's booking of a slot.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Booking {
    /// With `starts_at`, the key of the slot.
    pub advisor_id: String,
    /// RFC 3339, in UTC.
    pub starts_at: String,
    /// The student's attribute `custom:student_id` in the user pool.
    pub student_id: String,
    /// Rises with each change of the slot, also if it is withdrawn and offered again.
    #[serde(default)]
    pub changes: u32,
}

/// A booked slot, as the table of slots has it.
#[derive(Clone, Deserialize, PartialEq, Serialize)]
pub struct Appointment {
    /// The booking.
    #[serde(flatten)]
    pub booking: Booking,
    /// `starts_at` in seconds since 1970.
    pub starts: i64,
    /// The duration.
    pub duration_minutes: u32,
    /// A room, or the address of a meeting.
    pub place: String,
    /// A name in the tz database, which need not have it.
    pub time_zone: String,
    /// The address in the student's token; empty if that has none.
    pub student_email: String,
    /// What the student wants to talk about.
    pub topic: Option<String>,
}

/// Without personal data.
impl std::fmt::Debug for Appointment {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Appointment").field("booking", &self.booking).finish_non_exhaustive()
    }
}

/// The subject of an e-mail.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// [`Message::Booked`]
    Booked,
    /// [`Message::Cancelled`]
    Cancelled,
    /// [`Message::Withdrawn`]
    Withdrawn,
    /// [`Message::Remind`]
    Reminder,
}

impl Booking {
    /// Identifies an e-mail, however often its message is repeated: 64 hexadecimal digits, which are also a tag of SES and the
    /// name of a schedule.
    pub fn email_id(&self, kind: Kind) -> String {
        let json = serde_json::to_vec(&(kind, self)).expect("it has no map and no number that JSON does not have");
        hex::encode(Sha256::digest(json))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_e_mail_about_each_change_has_an_id_of_its_own() {
        let booking = Booking { advisor_id: "a~1".into(), starts_at: "2".into(), student_id: "3".into(), changes: 4 };
        let id = booking.email_id(Kind::Booked);
        assert_eq!((id.len(), &id), (64, &booking.clone().email_id(Kind::Booked)));
        for other in [
            Booking { advisor_id: "a".into(), starts_at: "~12".into(), ..booking.clone() },
            Booking { student_id: "30".into(), ..booking.clone() },
            Booking { changes: 5, ..booking.clone() },
        ] {
            assert_ne!(other.email_id(Kind::Booked), id);
        }
        assert_ne!(booking.email_id(Kind::Reminder), id);
    }
}
