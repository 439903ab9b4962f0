use std::any::Any;
use std::collections::VecDeque;
use std::fmt::Display;
use std::panic::AssertUnwindSafe;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use lambda_runtime::Diagnostic;
use thiserror::Error;
use tracing::warn;

use super::{BatchResponse, Record};

/// Calls a handler for each record of a batch, and builds the response from the failures.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct BatchProcessor {
    source: Source,
    after_failure: AfterFailure,
    concurrency: usize,
    raise_on_entire_batch_failure: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Source {
    Sqs,
    SqsFifo,
    Stream,
}

/// How to continue after a record has failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum AfterFailure {
    /// Handle all records, and report each failed one.
    Continue,
    /// Start no other record. For a queue, the records that were not started are reported as failed, too. For a stream,
    /// only the failed record with the lowest sequence number is reported: Lambda restarts there.
    Stop,
    /// Start no later record of the same message group, and report these as failed; continue with other groups. A record
    /// without a group, e.g. of a stream, is a group by itself.
    SkipGroup,
}

/// No record of the batch succeeded, so the invocation fails and Lambda retries the whole batch.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error(
    "no record of the batch succeeded: {failed} failed, each with a warning in the log; {not_tried} were not started"
)]
#[non_exhaustive]
pub struct BatchProcessingError {
    /// Number of records that failed.
    pub failed: usize,
    /// Number of records that were not started, because of [`AfterFailure::Stop`] or [`AfterFailure::SkipGroup`].
    pub not_tried: usize,
}

impl From<BatchProcessingError> for Diagnostic {
    fn from(error: BatchProcessingError) -> Self {
        // The name in Powertools for Python.
        Self { error_type: "BatchProcessingError".into(), error_message: error.to_string() }
    }
}

impl BatchProcessor {
    /// For a standard SQS queue: after a failure it [continues](AfterFailure::Continue).
    pub const fn sqs() -> Self {
        Self::new(Source::Sqs, AfterFailure::Continue)
    }

    /// For a FIFO queue: after a failure it [stops](AfterFailure::Stop), so that no message overtakes another.
    pub const fn sqs_fifo() -> Self {
        Self::new(Source::SqsFifo, AfterFailure::Stop)
    }

    /// For a Kinesis data stream or a DynamoDB stream: after a failure it [stops](AfterFailure::Stop), because Lambda will
    /// deliver all later records again.
    pub const fn stream() -> Self {
        Self::new(Source::Stream, AfterFailure::Stop)
    }

    const fn new(source: Source, after_failure: AfterFailure) -> Self {
        Self { source, after_failure, concurrency: 1, raise_on_entire_batch_failure: true }
    }

    /// Sets how to continue after a record has failed.
    pub const fn after_failure(self, after_failure: AfterFailure) -> Self {
        Self { after_failure, ..self }
    }

    /// Sets the maximum number of records that are handled concurrently, in one thread. The default and minimum is one.
    ///
    /// Within a message group of a FIFO queue, the order is kept. A stream's records are not kept in order.
    pub const fn concurrency(self, concurrency: usize) -> Self {
        Self { concurrency, ..self }
    }

    /// Sets whether [`process`](Self::process) returns an error if no record succeeded. This is the default: then failures
    /// count in the function's error metric, and a stream's mapping can bisect the batch. Otherwise, they are only reported
    /// in the response.
    pub const fn raise_on_entire_batch_failure(self, raise: bool) -> Self {
        Self { raise_on_entire_batch_failure: raise, ..self }
    }

    /// Calls the handler for each record, in the order of the batch.
    ///
    /// A record fails if its handler returns an error, or panics where panics unwind. Each failure is logged as one
    /// warning with the record's identifier and the error. After a failure under [`AfterFailure::Stop`], running handlers
    /// still finish.
    pub async fn process<'a, F, E>(
        &self,
        records: &'a [Record],
        handler: impl Fn(&'a Record) -> F,
    ) -> Result<BatchResponse, BatchProcessingError>
    where
        F: Future<Output = Result<(), E>>,
        E: Display,
    {
        let handler = &handler;
        let grouped = self.source == Source::SqsFifo || self.after_failure == AfterFailure::SkipGroup;
        let mut waiting: VecDeque<Waiting<'a>> = records
            .iter()
            .enumerate()
            .map(|(index, record)| {
                let group = grouped.then(|| record.message_group_id()).flatten();
                Waiting { index, record, group }
            })
            .collect();
        let mut running = FuturesUnordered::new();
        let mut busy_groups: Vec<String> = Vec::new();
        let mut succeeded = vec![false; records.len()];
        let mut failed = 0;
        loop {
            while running.len() < self.concurrency.max(1)
                && let Some(next) = waiting.iter().position(|waiting| !waiting.is_in(&busy_groups))
                && let Some(Waiting { index, record, group }) = waiting.remove(next)
            {
                busy_groups.extend(group.clone());
                running.push(async move { (index, record, group, attempt(handler, record).await) });
            }
            let Some((index, record, group, outcome)) = running.next().await else { break };
            busy_groups.retain(|busy| Some(busy) != group.as_ref());
            let Err(failure) = outcome else {
                succeeded[index] = true;
                continue;
            };
            failed += 1;
            log(record, &failure);
            match self.after_failure {
                AfterFailure::Continue => {}
                AfterFailure::Stop => waiting.clear(),
                AfterFailure::SkipGroup => waiting.retain(|waiting| !waiting.is_in(group.as_slice())),
            }
        }
        if failed > 0 && !succeeded.contains(&true) && self.raise_on_entire_batch_failure {
            return Err(BatchProcessingError { failed, not_tried: records.len() - failed });
        }
        let mut response = BatchResponse::default();
        for (record, _) in records.iter().zip(succeeded).filter(|(_, succeeded)| !succeeded) {
            response.add_failure(record);
            // The records that were not started come after it.
            if self.source == Source::Stream && self.after_failure == AfterFailure::Stop {
                break;
            }
        }
        Ok(response)
    }
}

/// A record that is not started, and its group if the order matters.
struct Waiting<'a> {
    index: usize,
    record: &'a Record,
    group: Option<String>,
}

impl Waiting<'_> {
    fn is_in(&self, groups: &[String]) -> bool {
        self.group.as_ref().is_some_and(|group| groups.contains(group))
    }
}

/// The error of a handler, or its panic message.
enum Failure<E> {
    Error(E),
    Panic(Box<dyn Any + Send>),
}

async fn attempt<'a, F, E>(handler: &impl Fn(&'a Record) -> F, record: &'a Record) -> Result<(), Failure<E>>
where
    F: Future<Output = Result<(), E>>,
{
    // As after a panic of a whole invocation, state that the handler shares with others can be inconsistent.
    match AssertUnwindSafe(async { handler(record).await }).catch_unwind().await {
        Ok(result) => result.map_err(Failure::Error),
        Err(panic) => Err(Failure::Panic(panic)),
    }
}

fn log<E: Display>(record: &Record, failure: &Failure<E>) {
    let error: &dyn Display = match failure {
        Failure::Error(error) => error,
        Failure::Panic(panic) => match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
            (Some(message), _) => message,
            (_, Some(message)) => message,
            _ => &"a panic without a message",
        },
    };
    match record.identifier() {
        Some(item_identifier) => warn!(item_identifier, %error, "record failed"),
        None => warn!(%error, "record failed, and has no identifier: Lambda will retry the whole batch"),
    }
}
