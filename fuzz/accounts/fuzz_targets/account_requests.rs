//! See `src/account_requests.rs`.
#![cfg_attr(fuzzing, no_main)]

fuzzing::program!(fuzz_accounts::account_requests::check);
