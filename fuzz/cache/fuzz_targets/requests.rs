//! See `src/requests.rs`.
#![cfg_attr(fuzzing, no_main)]

fuzzing::program!(fuzz_cache::requests::check);
