//! See `src/notifications.rs`.
#![cfg_attr(fuzzing, no_main)]

fuzzing::program!(fuzz_notifications::notifications::check);
