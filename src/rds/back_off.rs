//! How long to wait before a request is tried again.

use std::time::Duration;

/// How long to wait before attempt number `attempt` (from 1): full jitter, doubling from `base`; never less than the API asked for.
pub(crate) fn back_off(base: Duration, attempt: u32, asked: Option<Duration>) -> Duration {
    let most = base.saturating_mul(1 << attempt.saturating_sub(1).min(6));
    asked.unwrap_or_default() + most.mul_f64(fastrand::f64())
}
