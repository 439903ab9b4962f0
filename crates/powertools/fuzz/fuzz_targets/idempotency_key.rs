//! See `src/idempotency_key.rs`.
#![cfg_attr(fuzzing, no_main)]

fuzzing::program!(powertools_fuzz::idempotency_key::check);
