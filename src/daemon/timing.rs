//! When a policy's ticks are, when they fire, and which projects its runs list.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};

use crate::config::{PolicyEntry, Schedule};
use crate::retention::{ProjectName, Zone};

/// The projects that the runs of a policy list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProjectSet {
    /// Every project of the configuration.
    Everywhere,
    /// These.
    Only(BTreeSet<ProjectName>),
}

impl ProjectSet {
    /// Whether both have a project in common.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Only(own), Self::Only(other)) => !own.is_disjoint(other),
            _ => true,
        }
    }

    /// The projects of both.
    pub(super) fn union(self, other: &Self) -> Self {
        match (self, other) {
            (Self::Only(own), Self::Only(other)) => Self::Only(&own | other),
            _ => Self::Everywhere,
        }
    }
}

/// When a policy runs, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timing {
    /// The projects that its runs list.
    pub projects: ProjectSet,
    /// Its schedule; `None`: only `apply` runs it.
    pub schedule: Option<Schedule>,
    /// The zone of the schedule.
    pub zone: Zone,
    /// Jitter: how long after a tick it fires.
    pub delay: TimeDelta,
    /// Whether a missed tick runs late.
    pub catch_up: bool,
}

impl Timing {
    /// The timing of a policy on a host: its jitter is spread by a hash of both names, so that it stays the same from
    /// tick to tick and from start to start.
    pub fn of(entry: &PolicyEntry, host: &str) -> Self {
        let projects = entry.policy.select.projects.as_ref();
        Self {
            projects: projects.map_or(ProjectSet::Everywhere, |only| {
                ProjectSet::Only(only.iter().cloned().collect())
            }),
            schedule: entry.schedule.clone(),
            zone: entry.policy.zone,
            delay: entry.delay(host),
            catch_up: entry.catch_up,
        }
    }

    /// The first tick after `after`.
    pub(super) fn next_after(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.schedule.as_ref()?.next_after(after, self.zone)
    }

    /// The time at which the schedule is read: `now` less the delay.
    pub(super) fn schedule_time(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        now.checked_sub_signed(self.delay).unwrap_or(now)
    }

    /// When a tick fires.
    pub(super) fn fires_at(&self, tick: DateTime<Utc>) -> DateTime<Utc> {
        tick.checked_add_signed(self.delay).unwrap_or(tick)
    }
}
