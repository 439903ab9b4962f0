//! A batch with any text. It is refused if it is not a batch; otherwise each record is accounted for.

/// Checks the promise above.
pub fn check(event: &[u8]) {
    if let Ok(event) = str::from_utf8(event)
        && serde_json::from_str::<powertools::batch::BatchEvent>(event).is_ok()
    {
        crate::archive(event);
    }
}
