//! A batch of any text: what is no batch is refused, and each record of a batch is accounted for.

/// Checks the promise above.
pub fn check(batch: &[u8]) {
    if let Ok(batch) = serde_json::from_slice(batch) {
        crate::archive(batch);
    }
}
