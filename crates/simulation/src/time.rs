//! Virtual time, and the tasks that run in it. It stands still while a task can run, and then jumps to the next event.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ffi::CStr;
use std::future::{Future, poll_fn};
use std::mem;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_smithy_async::rt::sleep::{AsyncSleep, Sleep as SdkSleep};
use futures_util::StreamExt;
use futures_util::future::{Either, LocalBoxFuture, select};
use futures_util::stream::FuturesUnordered;
use libc::{c_int, clockid_t, timespec};

/// 2026-11-20T23:50:00Z, since 1970.
const BEGINNING: Duration = Duration::from_secs(1_795_218_600);

thread_local! {
    /// The time since the beginning of this thread's simulation, if one is running.
    static NOW: Cell<Option<Duration>> = const { Cell::new(None) };
    /// The waiting tasks, by time and by the order of their requests.
    static TIMERS: RefCell<BTreeMap<(Duration, u64), Waker>> = const { RefCell::new(BTreeMap::new()) };
    static LAST_TIMER: Cell<u64> = const { Cell::new(0) };
    static SPAWNED: RefCell<Vec<LocalBoxFuture<'static, ()>>> = const { RefCell::new(Vec::new()) };
}

/// Whether a task can run.
struct Ready(AtomicBool);

impl Wake for Ready {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Relaxed);
    }
}

/// Runs a future, and the tasks that it spawns, in a new virtual time.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    NOW.set(Some(Duration::ZERO));
    assert_eq!(SystemTime::now(), UNIX_EPOCH + BEGINNING, "the linker has taken another clock_gettime");
    TIMERS.take();
    SPAWNED.take();
    let mut future = pin!(future);
    let mut tasks: FuturesUnordered<LocalBoxFuture<'static, ()>> = FuturesUnordered::new();
    let mut all = pin!(poll_fn(|cx| {
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(output);
        }
        loop {
            tasks.extend(SPAWNED.take());
            let progress = tasks.poll_next_unpin(cx);
            if !matches!(progress, Poll::Ready(Some(()))) && SPAWNED.with_borrow(Vec::is_empty) {
                return Poll::Pending;
            }
        }
    }));
    let ready = Arc::new(Ready(AtomicBool::new(true)));
    let waker = Waker::from(Arc::clone(&ready));
    loop {
        while ready.0.swap(false, Relaxed) {
            if let Poll::Ready(output) = all.as_mut().poll(&mut Context::from_waker(&waker)) {
                end();
                return output;
            }
        }
        let next = TIMERS.with_borrow_mut(BTreeMap::pop_first);
        let ((at, _), waiting) = next.expect("somebody waits for something that never happens");
        NOW.set(Some(at));
        waiting.wake();
    }
}

/// Gives this thread the system's time again.
pub fn end() {
    NOW.set(None);
}

/// The time since the beginning of the simulation.
pub fn elapsed() -> Duration {
    NOW.get().unwrap_or_default()
}

/// Sets the time since the beginning of the simulation, for a simulation with a runtime and a virtual time of its own.
pub fn set_elapsed(elapsed: Duration) {
    NOW.set(Some(elapsed));
}

/// Runs a future to its end, concurrently with the others.
pub fn spawn(future: impl Future<Output = ()> + 'static) {
    SPAWNED.with_borrow_mut(|spawned| spawned.push(Box::pin(future)));
}

/// The future's output; `None` if it takes longer than this.
pub async fn timeout<T>(duration: Duration, future: impl Future<Output = T>) -> Option<T> {
    match select(pin!(future), sleep(duration)).await {
        Either::Left((output, _)) => Some(output),
        Either::Right(_) => None,
    }
}

/// Waits for this time.
pub fn sleep(duration: Duration) -> Sleep {
    Sleep { until: elapsed() + duration, timer: None }
}

/// A future that ends at its time, made by [`sleep()`].
#[derive(Debug)]
pub struct Sleep {
    until: Duration,
    timer: Option<u64>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if elapsed() >= self.until {
            return Poll::Ready(());
        }
        let timer = *self.timer.get_or_insert_with(|| {
            LAST_TIMER.set(LAST_TIMER.get() + 1);
            LAST_TIMER.get()
        });
        TIMERS.with_borrow_mut(|timers| timers.insert((self.until, timer), cx.waker().clone()));
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(timer) = self.timer {
            TIMERS.with_borrow_mut(|timers| timers.remove(&(self.until, timer)));
        }
    }
}

/// The SDK's sleep: for its retries and its time-outs.
#[derive(Clone, Debug)]
pub struct VirtualTime;

impl AsyncSleep for VirtualTime {
    fn sleep(&self, duration: Duration) -> SdkSleep {
        SdkSleep::new(sleep(duration))
    }
}

/// Replaces the C library's function of this name, because handlers and the SDK ask the operating system for the time.
/// The linker takes this definition; no clock has to be passed through the simulated code.
///
/// # Safety
/// `time` has to be valid for a write, as for the C library's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(clock: clockid_t, time: *mut timespec) -> c_int {
    let elapsed = (clock == libc::CLOCK_REALTIME).then(|| NOW.get()).flatten();
    let Some(elapsed) = elapsed else { return system_clock()(clock, time) };
    let now = BEGINNING + elapsed;
    // SAFETY: the caller's promise.
    unsafe {
        (*time).tv_sec = now.as_secs() as libc::time_t;
        (*time).tv_nsec = now.subsec_nanos().into();
    }
    0
}

type ClockGettime = extern "C" fn(clockid_t, *mut timespec) -> c_int;

fn system_clock() -> ClockGettime {
    static SYSTEM: OnceLock<ClockGettime> = OnceLock::new();
    const NAME: &CStr = c"clock_gettime";
    // SAFETY: the next definition after this one is the C library's, which has this type.
    *SYSTEM.get_or_init(|| unsafe {
        let address = libc::dlsym(libc::RTLD_NEXT, NAME.as_ptr());
        assert!(!address.is_null(), "the C library has clock_gettime");
        mem::transmute::<*mut libc::c_void, ClockGettime>(address)
    })
}
