//! Tables that tests archive: what is archived is a value, so no test needs a school's.

use crate::table::{Column, Table};

/// A table whose key is a text and a time, by which the ledger sums.
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

/// A table without dates, whose key is a number.
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
