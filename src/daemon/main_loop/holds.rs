//! The main loop and what ends soon, holds and freezes: each is logged and sent once.

use chrono::{DateTime, TimeDelta, Utc};

use super::MainLoop;
use crate::notify::ending_soon;

/// How often holds and freezes are checked.
const CHECK_EVERY: TimeDelta = TimeDelta::hours(1);

impl MainLoop {
    /// Has holds and freezes read from time to time; warnings follow when that is done.
    pub(super) fn check_holds(&mut self, now: DateTime<Utc>) {
        let early = self
            .next_holds_check
            .is_some_and(|at| now < at && at - now <= CHECK_EVERY);
        if early || !self.run_tasks.is_empty() || self.ledger_probe.ledger().is_none() {
            return;
        }
        self.next_holds_check = Some(now + CHECK_EVERY);
        self.status_stale = true;
    }

    /// Of the holds and freezes that were read last.
    pub(super) fn warn_of_what_ends(&mut self, now: DateTime<Utc>) {
        let (holds, freezes) = self.status.placed_holds_and_freezes();
        let mut soon = ending_soon(&self.config(), &holds, &freezes, now);
        soon.retain(|ending| self.warned_of_end.insert(ending.key.clone()));
        for ending in &soon {
            tracing::warn!(
                what = ending.what,
                reason = ending.reason,
                owner = ending.owner,
                until = %ending.until,
                "ends soon; then the policies decide, after the grace period"
            );
        }
        if let Some(ledger) = self.ledger_probe.ledger() {
            self.notifier.ending(&soon, now, &ledger);
        }
    }
}
