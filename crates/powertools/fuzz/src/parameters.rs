//! Answers of the extension, and values that aren't what the function takes them for.

/// Checks the promise above.
pub fn check(answer: &[u8]) {
    powertools::parameters::fuzz_answer(answer);
}
