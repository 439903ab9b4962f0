//! See `src/archive_records.rs`.
#![cfg_attr(fuzzing, no_main)]

fuzzing::program!(fuzz_appointments::archive_records::check);
