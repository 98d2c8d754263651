//! The only wall-clock read of the program, below layer 3 `now` is an argument; and how long the daemons of a shared state give each other.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

/// How far the time of `demo --watch` is ahead of the host's, in milliseconds; zero in every other process.
static AHEAD: AtomicI64 = AtomicI64::new(0);

/// The current time.
#[expect(clippy::disallowed_methods, reason = "this is the one door")]
pub fn now() -> DateTime<Utc> {
    Utc::now() + TimeDelta::milliseconds(AHEAD.load(Ordering::SeqCst))
}

/// Sets the time of this process forward. For `demo --watch` alone, where the API is in the same process and nothing real can expire:
/// `tests/it/layers.rs` knows the one caller. Between runs only, as a clock that is set during a run stops its deletions.
pub fn set_forward(by: TimeDelta) {
    AHEAD.fetch_add(by.num_milliseconds().max(0), Ordering::SeqCst);
}

/// Whether the time of this process was set forward.
pub fn is_ahead() -> bool {
    AHEAD.load(Ordering::SeqCst) > 0
}

/// One of the times by which the daemons of a shared state agree on who may send. Tests of debug builds make all of them shorter by the
/// same factor; no other build can.
pub fn protocol_time(length: Duration) -> Duration {
    static FACTOR: OnceLock<u32> = OnceLock::new();
    let read = || std::env::var("RDS_RETENTIOND_TEST_TIMES").ok()?.parse().ok();
    let factor = *FACTOR.get_or_init(|| if cfg!(debug_assertions) { read().unwrap_or(1) } else { 1 });
    length / factor.max(1)
}
