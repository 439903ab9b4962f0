//! The texts of the e-mails. No header holds anything that was typed, and what a line of a text holds can't begin another line.

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use reminders::{Appointment, Kind};

/// The time of an appointment.
pub struct Time {
    pub starts: DateTime<Utc>,
    pub ends: DateTime<Utc>,
    zone: Tz,
}

impl Time {
    /// In the appointment's zone, or in UTC if the tz database doesn't have that; `None` if the start is not a time.
    pub fn of(appointment: &Appointment) -> Option<Self> {
        let starts = DateTime::from_timestamp(appointment.starts, 0)?;
        let ends = starts.checked_add_signed(TimeDelta::minutes(appointment.duration_minutes.into()))?;
        Some(Self { starts, ends, zone: appointment.time_zone.parse().unwrap_or(Tz::UTC) })
    }

    fn start(&self) -> String {
        self.starts.with_timezone(&self.zone).format("%A, %-d %B %Y, %H:%M").to_string()
    }

    /// Such as `Monday, 6 May 2030, 11:00 to 11:30 (Europe/Berlin)`.
    fn range(&self) -> String {
        let end = self.ends.with_timezone(&self.zone).format("%H:%M");
        format!("{} to {end} ({})", self.start(), self.zone)
    }
}

pub fn subject(kind: Kind, time: &Time) -> String {
    let start = time.start();
    match kind {
        Kind::Booked => format!("Booked: your appointment on {start}"),
        Kind::Cancelled => format!("Cancelled: your appointment on {start}"),
        Kind::Withdrawn => format!("Cancelled by the school: your appointment on {start}"),
        Kind::Reminder => format!("Reminder: your appointment on {start}"),
    }
}

pub fn text(kind: Kind, appointment: &Appointment, time: &Time, web_url: Option<&str>) -> String {
    let opening = match kind {
        Kind::Booked => "You have booked an appointment. The attached file adds it to your calendar.",
        Kind::Cancelled => "You have cancelled this appointment. The attached file takes it out of your calendar.",
        Kind::Withdrawn => {
            "The school has had to cancel this appointment. The attached file takes it out of your calendar."
        }
        Kind::Reminder => "You have an appointment soon.",
    };
    let topic = appointment.topic.as_deref().map(|topic| format!("Topic: {}\n", one_line(topic))).unwrap_or_default();
    let action = match kind {
        Kind::Booked | Kind::Reminder => "cancel it",
        Kind::Cancelled | Kind::Withdrawn => "book another one",
    };
    let link = web_url.map(|url| format!("\nTo {action}:\n\n{url}/\n")).unwrap_or_default();
    format!(
        "Hello,\n\n{opening}\n\nWhen: {}\nWhere: {}\nWith: {}\n{topic}{link}",
        time.range(),
        one_line(&appointment.place),
        one_line(&appointment.booking.advisor_id),
    )
}

/// What was typed, on one line.
pub fn one_line(text: &str) -> String {
    text.split(|character: char| character.is_whitespace() || character.is_control())
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}
