//! An invocation, as Lambda runs it: until it returns, times out, or its function is killed.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::task::Poll;
use std::time::{Duration, SystemTime};

use lambda_runtime::Context;

use crate::time::sleep;
use crate::world::log;

/// The end of an invocation that did not return.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum End {
    /// The function was killed.
    Killed,
    /// The invocation timed out.
    TimedOut,
}

const RUNNING: u8 = 0;
const KILLED: u8 = 1;
const TIMED_OUT: u8 = 2;

/// An invocation. Its calls know it.
#[derive(Clone, Debug)]
pub struct Invocation {
    state: Arc<AtomicU8>,
    /// Whether nothing goes wrong in it.
    pub is_undisturbed: bool,
}

tokio::task_local! {
    static CURRENT: Invocation;
}

impl Invocation {
    /// The current invocation.
    pub fn current() -> Self {
        CURRENT.with(Clone::clone)
    }

    /// Kills the function, which stops here.
    pub fn kill(&self) {
        self.state.store(KILLED, Relaxed);
    }

    /// The end of the invocation; `None` if it runs or has returned.
    pub fn end(&self) -> Option<End> {
        match self.state.load(Relaxed) {
            KILLED => Some(End::Killed),
            TIMED_OUT => Some(End::TimedOut),
            _ => None,
        }
    }
}

/// Runs a handler with this time-out.
pub async fn invoke<T, F: Future<Output = T>>(timeout: Duration, handler: impl FnOnce(Context) -> F) -> Result<T, End> {
    run(timeout, false, handler).await
}

/// Runs a handler without faults.
pub async fn invoke_undisturbed<T, F: Future<Output = T>>(
    timeout: Duration,
    handler: impl FnOnce(Context) -> F,
) -> Result<T, End> {
    run(timeout, true, handler).await
}

async fn run<T, F: Future<Output = T>>(
    timeout: Duration,
    is_undisturbed: bool,
    handler: impl FnOnce(Context) -> F,
) -> Result<T, End> {
    let mut context = Context::default();
    let deadline = SystemTime::now() + timeout;
    let since_1970 = deadline.duration_since(SystemTime::UNIX_EPOCH).expect("simulations begin after 1970");
    context.deadline = since_1970.as_millis() as u64;
    let invocation = Invocation { state: Arc::new(AtomicU8::new(RUNNING)), is_undisturbed };
    let mut handler = Box::pin(CURRENT.scope(invocation.clone(), handler(context)));
    let mut timeout = Box::pin(sleep(timeout));
    let result = poll_fn(|cx| {
        if let Poll::Ready(result) = handler.as_mut().poll(cx) {
            return Poll::Ready(Ok(result));
        }
        if let Some(end) = invocation.end() {
            return Poll::Ready(Err(end));
        }
        timeout.as_mut().poll(cx).map(|()| {
            invocation.state.store(TIMED_OUT, Relaxed);
            Err(End::TimedOut)
        })
    })
    .await;
    match result {
        Err(End::Killed) => log(|| "the function is killed".into()),
        Err(End::TimedOut) => log(|| "the invocation's time is over".into()),
        Ok(_) => {}
    }
    result
}
