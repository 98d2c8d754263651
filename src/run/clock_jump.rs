//! A wall clock that is watched during a run.

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use crate::retention::plan::ClockCheck;

/// Where the wall clock stood when the run began, beside the monotonic clock.
///
/// The API's `Date` tells whether our clock is right *now*; a clock that was wrong when `now` was read and has been set
/// right since passes that test, with every decision still made by the wrong time. So a jump during the run counts as
/// a wrong clock, in either direction.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClockJumpDetector {
    wall: DateTime<Utc>,
    at: Instant,
}

impl ClockJumpDetector {
    pub(super) fn now() -> Self {
        Self {
            wall: crate::clock::now(),
            at: Instant::now(),
        }
    }

    /// A good check, unless the wall clock jumped since.
    pub(super) fn check(self, api: ClockCheck) -> ClockCheck {
        let passed = chrono::TimeDelta::from_std(self.at.elapsed()).unwrap_or(chrono::TimeDelta::MAX);
        let jumped = (crate::clock::now() - self.wall)
            .checked_sub(&passed)
            .map_or(ClockCheck::Skew(chrono::TimeDelta::MAX), ClockCheck::Skew);
        if api.is_good() && !jumped.is_good() {
            jumped
        } else {
            api
        }
    }
}
