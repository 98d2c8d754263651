//! The main loop and holds that end soon: each is logged once.

use chrono::{DateTime, TimeDelta, Utc};

use super::MainLoop;
use crate::retention::{Hold, HoldTarget, Pattern};

/// A hold that ends within this time is logged as a warning.
const ENDS_SOON: TimeDelta = TimeDelta::days(7);
/// How often holds are checked.
const CHECK_EVERY: TimeDelta = TimeDelta::hours(1);

impl MainLoop {
    /// Has the holds read from time to time; warnings follow when that is done.
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

    /// Of the holds that were read last.
    pub(super) fn warn_of_expiring_holds(&mut self, now: DateTime<Utc>) {
        let placed = self.status.placed_holds();
        let config = self.config();
        for hold in config.holds.iter().chain(&placed) {
            let Some(until) = hold.until.filter(|until| *until > now && *until - now <= ENDS_SOON) else {
                continue;
            };
            if self.warned_holds.insert(format!("{} {until}", hold_name(hold))) {
                tracing::warn!(
                    hold = hold_name(hold),
                    reason = hold.reason,
                    owner = hold.owner,
                    %until,
                    "a hold ends soon; then the policies decide, after their grace"
                );
            }
        }
    }
}

/// A hold's name for people: its id, else what it holds.
fn hold_name(hold: &Hold) -> String {
    match (&hold.id, &hold.target) {
        (Some(id), _) => id.clone(),
        (None, HoldTarget::Backup(id)) => id.to_string(),
        (None, HoldTarget::Matching { instance, name }) => {
            let part = |pattern: &Option<Pattern>| pattern.as_ref().map_or("*".to_owned(), ToString::to_string);
            format!("instance {} name {}", part(instance), part(name))
        }
    }
}
