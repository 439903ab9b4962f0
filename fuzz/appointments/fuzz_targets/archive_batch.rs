//! See `src/archive_batch.rs`.
#![cfg_attr(fuzzing, no_main)]

fuzzing::program!(fuzz_appointments::archive_batch::check);
