//! The time of day, as all code of a simulation sees it.
//!
//! `tokio` keeps virtual time, but handlers and the SDK ask the operating system for the date. So the system's function is
//! defined here once more, and the linker takes this one: no clock has to be handed through the code that is simulated.

use std::cell::Cell;
use std::ffi::CStr;
use std::mem;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use libc::{c_int, clockid_t, timespec};
use tokio::time::Instant;

type ClockGettime = extern "C" fn(clockid_t, *mut timespec) -> c_int;

thread_local! {
    /// When the simulation of this thread began, by `tokio`'s clock, and which time of day that was.
    static BEGINNING: Cell<Option<(Instant, Duration)>> = const { Cell::new(None) };
}

/// Begins the virtual time of this thread, whose `tokio` runtime is paused.
pub fn begin(time_of_day: SystemTime) {
    let since_1970 = time_of_day.duration_since(SystemTime::UNIX_EPOCH).expect("simulations begin after 1970");
    BEGINNING.set(Some((Instant::now(), since_1970)));
}

/// Gives this thread the system's time again.
pub fn end() {
    BEGINNING.set(None);
}

/// Milliseconds since the simulation began.
pub fn elapsed() -> u128 {
    BEGINNING.get().map_or(0, |(beginning, _)| beginning.elapsed().as_millis())
}

/// Replaces the C library's function of this name.
///
/// # Safety
/// `time` has to be valid for a write, as for the C library's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(clock: clockid_t, time: *mut timespec) -> c_int {
    let virtual_time = (clock == libc::CLOCK_REALTIME).then(|| BEGINNING.get()).flatten();
    let Some((beginning, since_1970)) = virtual_time else { return system_clock()(clock, time) };
    let now = since_1970 + beginning.elapsed();
    // SAFETY: the caller's promise.
    unsafe {
        (*time).tv_sec = now.as_secs() as libc::time_t;
        (*time).tv_nsec = now.subsec_nanos().into();
    }
    0
}

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
