//! A batch of any shape: each record that fails is reported, or the whole batch fails, and nothing panics.

use std::collections::HashSet;

use futures_util::FutureExt;
use powertools::batch::{BatchEvent, BatchProcessor};

/// Checks the promise above.
pub fn check(event: &[u8]) {
    let Ok(event) = serde_json::from_slice::<BatchEvent>(event) else { return };
    let identifiers: HashSet<_> = event.records.iter().filter_map(|record| record.identifier()).collect();
    for processor in [BatchProcessor::sqs().concurrency(3), BatchProcessor::sqs_fifo(), BatchProcessor::stream()] {
        let handled =
            processor.process(
                &event.records,
                async |record| {
                    if record.raw().get().len() % 2 == 0 { Ok(()) } else { Err("odd") }
                },
            );
        if let Ok(response) = handled.now_or_never().expect("nothing waits") {
            let mut reported =
                response.batch_item_failures.iter().filter_map(|failure| failure.item_identifier.as_ref());
            assert!(reported.all(|identifier| identifiers.contains(identifier)));
            serde_json::to_string(&response).expect("a response is JSON");
        }
    }
}
