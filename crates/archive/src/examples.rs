//! Tables for tests. They are not a school's, because the archive takes any table as a value.

use crate::table::{Column, Table};

/// A table with a text and a time as its key. The ledger sums by the time's date.
pub const LOANS: Table = Table {
    name: "loans",
    item: "loan",
    hash_key: "book_id",
    range_key: Some("due_at"),
    date: Some("due_at"),
    columns: &[
        Column::text("book_id"),
        Column::time("due_at"),
        Column::text("reader_id").unique(),
        Column::text("note").optional(),
    ],
}
.checked();

/// A table without dates, with a number as its key.
pub const ORDERS: Table = Table {
    name: "orders",
    item: "order",
    hash_key: "order_id",
    range_key: None,
    date: None,
    columns: &[
        Column::integer("order_id"),
        Column::decimal("total", 2),
        Column::boolean("is_paid"),
        Column::integer("items").optional(),
    ],
}
.checked();
