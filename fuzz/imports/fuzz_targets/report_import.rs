//! See `src/report_import.rs`.
#![cfg_attr(fuzzing, no_main)]

fuzzing::program!(fuzz_imports::report_import::check);
