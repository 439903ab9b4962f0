//! A trace header from anywhere names a valid parent or none.

/// Checks the promise above.
pub fn check(data: &[u8]) {
    let Some(header) = fuzzing::input::<&str>(data) else { return };
    powertools::tracer::fuzz_header(header);
}
