//! Which grace periods go on and which restart (contract, section 2, 10).
//!
//! Writes nothing, so that `plan`, `why` and `forecast` say what a run will do.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use crate::config::PolicyEntry;
use crate::ledger::{self, GracePeriod, Ledger, RunFilter};
use crate::retention::report::{Restart, RunResult};
use crate::retention::{BackupId, Hold, Instance, InstanceId, Mode, Policy, ProjectName};

/// A backup may go unseen for so long in any case.
const UNSEEN: TimeDelta = TimeDelta::days(7);
/// And for so many times the longest distance between two ticks.
const TICKS: i32 = 3;
/// Of a policy without a schedule, so much in any case: the runs of a weekly cron job are a little more than a week apart.
const UNSEEN_WITHOUT_TICKS: TimeDelta = TimeDelta::days(8);
/// And so many of its last runs say how far apart they are.
const LAST_RUNS: usize = 6;
/// So many rows of the ledger are read to find them.
const RUNS_READ: u32 = 60;

/// The grace periods of one policy, by instance.
#[derive(Clone, Debug, Default)]
pub struct GracePeriods(HashMap<(ProjectName, InstanceId), OfInstance>);

/// Those of one instance.
#[derive(Clone, Debug, Default)]
pub struct OfInstance {
    /// Since when, of those that go on.
    pub running: HashMap<BackupId, DateTime<Utc>>,
    /// Those that restart with the next run that finds the backup expired, and why.
    pub restarting: HashMap<BackupId, Restart>,
    /// When each was last seen expired.
    seen: HashMap<BackupId, DateTime<Utc>>,
}

impl OfInstance {
    /// Whether a backup has one, even one that restarts.
    pub(super) fn has(&self, backup: &BackupId) -> bool {
        self.seen.contains_key(backup)
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }

    /// Those that are not listed, and when they last were.
    pub(super) fn absent(&self, listed: &BTreeSet<&BackupId>) -> Vec<(BackupId, DateTime<Utc>)> {
        let absent = self.seen.iter().filter(|(backup, _)| !listed.contains(backup));
        absent.map(|(backup, at)| (backup.clone(), *at)).collect()
    }
}

/// How many backups in the grace period are due at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DueCounts {
    /// Their grace period is over then.
    pub due: u64,
    /// It goes on.
    pub later: u64,
    /// When the first one is over.
    pub first_due_at: Option<DateTime<Utc>>,
}

impl GracePeriods {
    /// Reads those of a policy; `holds` are the configuration's.
    pub fn load(
        ledger: &Ledger,
        entry: &PolicyEntry,
        holds: &[Hold],
        now: DateTime<Utc>,
    ) -> Result<Self, ledger::Error> {
        let periods = ledger.grace(&entry.policy.name)?;
        if periods.is_empty() {
            return Ok(Self::default());
        }
        // Those of the configuration that was read last may have gone since.
        let mut ended = ledger.configured_holds()?;
        ended.extend_from_slice(holds);
        let is_overdue = |period: &GracePeriod| now - last_seen(period, now) > UNSEEN;
        let most = match periods.iter().find(|period| is_overdue(period)) {
            Some(_) => longest_unseen(ledger, entry, now)?,
            None => UNSEEN,
        };
        let mut by_instance: HashMap<_, OfInstance> = HashMap::new();
        for period in periods {
            let why = restart(&period, &ended, now, most);
            let GracePeriod {
                project,
                instance,
                backup,
                since,
                seen,
                ..
            } = period;
            let of = by_instance.entry((project, instance)).or_default();
            of.seen.insert(backup.clone(), seen);
            match why {
                Some(why) => drop(of.restarting.insert(backup, why)),
                None => drop(of.running.insert(backup, since)),
            }
        }
        Ok(Self(by_instance))
    }

    /// How many of the policy's periods will be over at `by`. At most so many go then: what is held, kept or contested meanwhile
    /// stays.
    pub fn due_by(&self, policy: &Policy, by: DateTime<Utc>) -> DueCounts {
        let mut counts = DueCounts::default();
        for since in self.0.values().flat_map(|of| of.running.values()) {
            let due_at = policy.grace.boundary_after(*since, policy.zone);
            if due_at.is_some_and(|due_at| due_at <= by) {
                counts.due += 1;
            } else {
                counts.later += 1;
            }
            counts.first_due_at = counts.first_due_at.into_iter().chain(due_at).min();
        }
        counts
    }

    /// Those of one instance, taken out.
    pub(super) fn take(&mut self, instance: &Instance) -> OfInstance {
        let key = (instance.project.clone(), instance.id.clone());
        self.0.remove(&key).unwrap_or_default()
    }

    /// Those of one instance.
    pub fn of(&self, instance: &Instance) -> Option<&OfInstance> {
        self.0.get(&(instance.project.clone(), instance.id.clone()))
    }
}

/// Why a period does not go on, if it does not; `most` is how long it may go unseen.
fn restart(period: &GracePeriod, holds: &[Hold], now: DateTime<Utc>, most: TimeDelta) -> Option<Restart> {
    let covers = |hold: &Hold| {
        hold.has_held_after(period.since) && hold.covers_names(period.instance.as_str(), &period.backup, &period.name)
    };
    if period.since > now {
        // Written by a wrong clock.
        Some(Restart::StartAhead)
    } else if period.restarts || holds.iter().any(covers) {
        Some(Restart::HoldEnded)
    } else if now - last_seen(period, now) > most {
        Some(Restart::NotSeen)
    } else {
        None
    }
}

/// When an enforcing run last saw the backup expired; one that is dated ahead of now says nothing.
fn last_seen(period: &GracePeriod, now: DateTime<Utc>) -> DateTime<Utc> {
    if period.seen <= now { period.seen } else { period.since }
}

/// How long a backup may go unseen. A policy that only `apply` runs has no ticks: its last runs stand in for them.
fn longest_unseen(ledger: &Ledger, entry: &PolicyEntry, now: DateTime<Utc>) -> Result<TimeDelta, ledger::Error> {
    if let Some(schedule) = &entry.schedule {
        return Ok(UNSEEN.max(schedule.longest_distance(entry.policy.zone, now) * TICKS));
    }
    let runs = ledger.runs(&RunFilter {
        policy: Some(entry.policy.name.clone()),
        limit: Some(RUNS_READ),
    })?;
    let enforced = runs.iter().filter(|run| {
        run.started_at <= now && run.mode == Mode::Enforce && run.result.is_some_and(RunResult::has_read)
    });
    let last: Vec<DateTime<Utc>> = enforced.map(|run| run.started_at).take(LAST_RUNS).collect();
    let distances = last.windows(2).map(|pair| pair[0] - pair[1]);
    Ok(distances
        .map(|distance| distance * TICKS)
        .fold(UNSEEN_WITHOUT_TICKS, TimeDelta::max))
}
