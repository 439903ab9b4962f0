//! See `src/batch.rs`.
#![cfg_attr(fuzzing, no_main)]

fuzzing::program!(powertools_fuzz::batch::check);
