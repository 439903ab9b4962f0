//! Until when each student has paid: the table that decides who may read the course material.

#[cfg(test)]
mod tests;

use aws_sdk_dynamodb::types::AttributeValue;
use aws_services::Unavailable;

/// The table of entitlements: an item is a student who has paid at least once, with these attributes.
///
/// - `student_id`, a text: the hash key, and the student's attribute `custom:student_id` in the user pool.
/// - `paid_until`, a number: Unix time in seconds. The student has paid if it is later than now.
/// - `occurred_at`, a text: the UTC time of the newest payment event, `YYYY-MM-DDTHH:MM:SS.mmmZ`, so that texts sort by
///   time.
#[derive(Clone, Debug)]
pub struct Entitlements {
    /// The client of DynamoDB.
    pub dynamodb: aws_sdk_dynamodb::Client,
    /// The table's name.
    pub table: String,
}

impl Entitlements {
    /// The Unix time, in seconds, until which the student has paid; `None` if the student never paid. The read is
    /// consistent: a payment that has been recorded counts.
    ///
    /// # Errors
    /// DynamoDB failed, or the item has no whole number `paid_until`.
    pub async fn paid_until(&self, student_id: &str) -> Result<Option<i64>, Unavailable> {
        let output = self
            .dynamodb
            .get_item()
            .table_name(&self.table)
            .key("student_id", AttributeValue::S(student_id.into()))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| Unavailable::from_sdk("DynamoDB", &error))?;
        let Some(item) = output.item else { return Ok(None) };
        let number = item.get("paid_until").and_then(|value| value.as_n().ok()?.parse().ok());
        number.map(Some).ok_or_else(|| Unavailable::new("DynamoDB", "an item without a whole number `paid_until`"))
    }
}
