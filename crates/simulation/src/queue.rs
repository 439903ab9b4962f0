//! A queue of SQS whose messages invoke a function.

use std::time::Duration;

use lambda_runtime::Context;

use crate::invocation::{invoke, invoke_undisturbed};
use crate::time::sleep;
use crate::world::log;

/// A queue and its function, as a template sets them.
#[derive(Clone, Copy, Debug)]
pub struct Queue {
    /// `Timeout` of the function.
    pub timeout: Duration,
    /// `VisibilityTimeout` of the queue.
    pub visibility_timeout: Duration,
}

impl Queue {
    /// Delivers a message after `delay`, and again after each visibility timeout until `handle` has handled it. If its attempts are
    /// limited, the last one has no faults. `name` is that of the message in the log.
    pub async fn deliver<F: Future<Output = bool>>(
        &self,
        name: &str,
        delay: Duration,
        attempts: Option<usize>,
        handle: impl Fn(Context) -> F,
    ) {
        sleep(delay).await;
        for attempt in 1.. {
            log(|| format!("message {name} is delivered"));
            let is_handled = match attempts {
                Some(attempts) if attempt >= attempts => invoke_undisturbed(self.timeout, &handle).await,
                _ => invoke(self.timeout, &handle).await,
            };
            if is_handled == Ok(true) {
                log(|| "the message is handled".into());
                return;
            }
            sleep(self.visibility_timeout).await;
        }
    }
}
