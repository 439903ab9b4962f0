//! The calendar file of an e-mail (RFC 5545), which puts an appointment into a calendar or takes it out (RFC 5546).

use aws_sdk_sesv2::primitives::Blob;
use aws_sdk_sesv2::types::{Attachment, AttachmentContentDisposition, AttachmentContentTransferEncoding};
use chrono::{DateTime, Utc};
use icalendar::{Calendar, Component, Event, EventLike, EventStatus, Property};
use reminders::{Appointment, Kind};

use crate::texts::{Time, one_line};

/// The attached file; none for a reminder, because the calendar has the appointment.
pub fn file(
    kind: Kind,
    appointment: &Appointment,
    time: &Time,
    organizer: &str,
    now: DateTime<Utc>,
) -> Option<Attachment> {
    // A request would ask for an answer, which nobody reads.
    let (method, status) = match kind {
        Kind::Booked => ("PUBLISH", EventStatus::Confirmed),
        Kind::Cancelled | Kind::Withdrawn => ("CANCEL", EventStatus::Cancelled),
        Kind::Reminder => return None,
    };
    let booking = &appointment.booking;
    let event = Event::new()
        .uid(&format!("{}~{}~{}@registrar", booking.advisor_id, booking.starts_at, booking.student_id))
        .timestamp(now)
        .sequence(booking.changes)
        .status(status)
        .starts(time.starts)
        .ends(time.ends)
        .summary(&format!("Appointment with {}", one_line(&booking.advisor_id)))
        .location(&one_line(&appointment.place))
        .append_property(Property::new("ORGANIZER", format!("mailto:{organizer}")))
        .done();
    let mut calendar = Calendar::new();
    calendar.append_property(Property::new("METHOD", method)).push(event);
    let attachment = Attachment::builder()
        .raw_content(Blob::new(calendar.to_string()))
        .file_name("appointment.ics")
        // The registration of text/calendar demands the method: https://www.iana.org/assignments/media-types/text/calendar
        .content_type(format!("text/calendar; charset=UTF-8; method={method}"))
        .content_disposition(AttachmentContentDisposition::Attachment)
        .content_transfer_encoding(AttachmentContentTransferEncoding::Base64)
        .build();
    Some(attachment.expect("it has a name and content"))
}
