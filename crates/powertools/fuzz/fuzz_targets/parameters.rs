//! Answers of the extension, and values that aren't what the function takes them for.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|answer: &[u8]| powertools::parameters::fuzz_answer(answer));
