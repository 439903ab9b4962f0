//! See `src/idempotency_record.rs`.
#![cfg_attr(fuzzing, no_main)]

fuzzing::program!(powertools_fuzz::idempotency_record::check);
