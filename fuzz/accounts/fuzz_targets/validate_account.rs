//! See `src/validate_account.rs`.
#![cfg_attr(fuzzing, no_main)]

fuzzing::program!(fuzz_accounts::validate_account::check);
