//! A batch of any text: what is no batch is refused, and each record of a batch is accounted for.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|batch: &[u8]| {
    if let Ok(batch) = serde_json::from_slice(batch) {
        handlers_fuzz::archive(batch);
    }
});
