//! Answers of the extension, and values of an unexpected form.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|answer: &[u8]| powertools::parameters::fuzz_answer(answer));
