//! Any trace header has a valid parent or none.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|header: &str| powertools::tracer::fuzz_header(header));
