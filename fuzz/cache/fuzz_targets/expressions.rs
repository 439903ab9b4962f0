//! See `src/expressions.rs`.
#![cfg_attr(fuzzing, no_main)]

fuzzing::program!(fuzz_cache::expressions::check);
