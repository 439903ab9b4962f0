//! See `src/check_import.rs`.
#![cfg_attr(fuzzing, no_main)]

fuzzing::program!(fuzz_imports::check_import::check);
