//! See `src/environment.rs`.
#![cfg_attr(fuzzing, no_main)]

fuzzing::program!(powertools_fuzz::environment::check);
