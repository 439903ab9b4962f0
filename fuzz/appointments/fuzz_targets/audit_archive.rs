//! See `src/audit_archive.rs`.
#![cfg_attr(fuzzing, no_main)]

fuzzing::program!(fuzz_appointments::audit_archive::check);
