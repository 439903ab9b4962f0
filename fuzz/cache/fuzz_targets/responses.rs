//! See `src/responses.rs`.
#![cfg_attr(fuzzing, no_main)]

fuzzing::program!(fuzz_cache::responses::check);
