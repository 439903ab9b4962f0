//! See `src/trace_header.rs`.
#![cfg_attr(fuzzing, no_main)]

fuzzing::program!(powertools_fuzz::trace_header::check);
