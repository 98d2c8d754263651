//! The only wall-clock read of the program, below layer 3 `now` is an argument; and how long the daemons of a shared state give each other.

use std::sync::OnceLock;
use std::time::Duration;

use chrono::{DateTime, Utc};

/// The current time.
#[expect(clippy::disallowed_methods, reason = "this is the one door")]
pub fn now() -> DateTime<Utc> {
    Utc::now()
}

/// One of the times by which the daemons of a shared state agree on who may send. Tests of debug builds make all of them shorter by the
/// same factor; no other build can.
pub fn protocol_time(length: Duration) -> Duration {
    static FACTOR: OnceLock<u32> = OnceLock::new();
    let read = || std::env::var("RDS_RETENTIOND_TEST_TIMES").ok()?.parse().ok();
    let factor = *FACTOR.get_or_init(|| if cfg!(debug_assertions) { read().unwrap_or(1) } else { 1 });
    length / factor.max(1)
}
