//! The planner's eye on holds that end soon: each is told once.

use chrono::{DateTime, TimeDelta, Utc};

use super::MainLoop;
use crate::retention::{Hold, HoldTarget, Pattern};

/// A hold that ends within this time is worth a warning.
const ENDS_SOON: TimeDelta = TimeDelta::days(7);
/// How often to look for such holds.
const HOLDS_EVERY: TimeDelta = TimeDelta::hours(1);

impl MainLoop {
    /// From time to time the holds are read; their warnings follow when they were.
    pub(super) fn want_holds(&mut self, now: DateTime<Utc>) {
        let early = self.next_holds.is_some_and(|at| now < at && at - now <= HOLDS_EVERY);
        if early || !self.turns.is_empty() || self.store.ledger().is_none() {
            return;
        }
        self.next_holds = Some(now + HOLDS_EVERY);
        self.refresh = true;
    }

    /// Of those that were read last.
    pub(super) fn warn_of_ending_holds(&mut self, now: DateTime<Utc>) {
        let placed = self.shared_status.placed_holds();
        let config = self.config();
        for hold in config.holds.iter().chain(&placed) {
            let Some(until) = hold.until.filter(|until| *until > now && *until - now <= ENDS_SOON) else {
                continue;
            };
            if self.warned.insert(format!("{} {until}", what_is_held(hold))) {
                tracing::warn!(
                    hold = what_is_held(hold),
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
fn what_is_held(hold: &Hold) -> String {
    match (&hold.id, &hold.target) {
        (Some(id), _) => id.clone(),
        (None, HoldTarget::Backup(id)) => id.to_string(),
        (None, HoldTarget::Matching { instance, name }) => {
            let part = |pattern: &Option<Pattern>| pattern.as_ref().map_or("*".to_owned(), ToString::to_string);
            format!("instance {} name {}", part(instance), part(name))
        }
    }
}
