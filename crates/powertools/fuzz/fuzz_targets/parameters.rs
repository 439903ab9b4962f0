//! See `src/parameters.rs`.
#![cfg_attr(fuzzing, no_main)]

fuzzing::program!(powertools_fuzz::parameters::check);
