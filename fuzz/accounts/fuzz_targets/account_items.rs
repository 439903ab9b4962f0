//! See `src/account_items.rs`.
#![cfg_attr(fuzzing, no_main)]

fuzzing::program!(fuzz_accounts::account_items::check);
