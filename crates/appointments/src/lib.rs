//! The appointments table, as it is archived. `docs/appointments/your-table.md` shows how to archive another.

use archive::{Column, Table};

/// An item is a booked slot: the key is the advisor and the time, so a slot exists once.
pub const TABLE: Table = Table {
    name: "appointments",
    item: "appointment",
    hash_key: "advisor_id",
    range_key: Some("starts_at"),
    date: Some("starts_at"),
    columns: &[
        Column::text("advisor_id"),
        Column::time("starts_at"),
        // The student's attribute `custom:student_id` in the user pool.
        Column::text("student_id").unique(),
        Column::text("topic").optional(),
    ],
}
.checked();
