//! What runs will do to the backups of one instance: when each goes, by which policy and why.
//!
//! Pure: the moments of the runs, the backups assumed to come and the beginnings of grace are arguments. Between two
//! runs nothing is computed that cannot have changed: a decision stands until the first moment at which age, a hold's end
//! or an arrival could change it, so two years of daily runs on a quiet instance cost a handful of decisions. Not
//! simulated, because they cannot be known: the guard's limits, failing requests, deletions by hand.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::backup::FUTURE_TOLERANCE;
use super::streams::{is_in_scope, streams};
use super::{
    Backup, BackupId, BackupKind, BackupStatus, Databases, Decision, Engine, ExpireReason, Hold, Instance, Policy,
    PolicyName, Verdict, decide,
};

/// One instance and what is known or assumed of its future.
#[derive(Clone, Copy)]
pub struct ForecastInput<'a> {
    /// The instance.
    pub instance: &'a Instance,
    /// Its backups now.
    pub backups: &'a [Backup],
    /// The holds in force.
    pub holds: &'a [Hold],
    /// The policies that claim it. Dry-run ones are taken as if they deleted: that is what one wants to know of them.
    pub policies: &'a [Arc<Policy>],
    /// The moments at which each policy runs, ascending; one list a policy.
    pub runs: &'a [&'a [DateTime<Utc>]],
    /// Since when backups have been expired, one map a policy.
    pub grace: &'a [&'a HashMap<BackupId, DateTime<Utc>>],
    /// Now.
    pub from: DateTime<Utc>,
    /// Nothing later is looked at.
    pub until: DateTime<Utc>,
    /// A COMPLETED full backup of the stream that is made most often is assumed so long after its newest one, and again and
    /// again; and then other streams go on at their own intervals ([`super::streams`]).
    pub every: Option<TimeDelta>,
}

/// How a backup goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// The run that deletes it.
    pub at: DateTime<Utc>,
    /// The first run that finds it expired without a break until then.
    pub expired_at: DateTime<Utc>,
    /// The policy that deletes it.
    pub policy: PolicyName,
    /// Why.
    pub reason: ExpireReason,
}

/// A backup in some policy's scope, and its future.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Future {
    /// The backup; of an assumed one name and size are those of its stream's newest real one.
    pub backup: Backup,
    /// Whether it does not exist yet.
    pub assumed: bool,
    /// How it goes; `None` when it stays beyond the horizon.
    pub departure: Option<Expiry>,
}

/// Simulates the runs over one instance. The real backups come first, in their order, then the assumed ones as they come.
pub fn forecast(input: &ForecastInput<'_>) -> Vec<Future> {
    let mut simulation = Simulation::new(input);
    while let Some(at) = simulation.next_run() {
        simulation.run(at);
    }
    // What comes after the last run is there at the end all the same.
    simulation.arrive(input.until);
    simulation.futures
}

struct Simulation<'a> {
    input: &'a ForecastInput<'a>,
    futures: Vec<Future>,
    /// What is still there, and where it stands in `futures`.
    present: Vec<Backup>,
    places: Vec<usize>,
    arrivals: Arrivals,
    /// Per policy, what is expired now: place in `present`, and why.
    expired: Vec<Vec<(usize, ExpireReason)>>,
    /// Per policy, since when (by place in `futures`).
    grace: Vec<HashMap<usize, DateTime<Utc>>>,
    /// Per policy, how many of its runs are past.
    past: Vec<usize>,
    /// Per policy, whether it has not run since the last decision.
    unseen: Vec<bool>,
    /// Until when the last decision stands by itself; `None` is for ever.
    stands_until: Option<DateTime<Utc>>,
    stale: bool,
}

impl<'a> Simulation<'a> {
    fn new(input: &'a ForecastInput<'a>) -> Self {
        let real: Vec<&Backup> = input
            .backups
            .iter()
            .filter(|backup| is_in_scope(input.policies, backup))
            .collect();
        let future = |backup: &&Backup| Future {
            backup: (*backup).clone(),
            assumed: false,
            departure: None,
        };
        let begun = |known: &&HashMap<BackupId, DateTime<Utc>>| -> HashMap<usize, DateTime<Utc>> {
            let since = |(place, backup): (usize, &&Backup)| {
                // A beginning in the future was written by a wrong clock and counts as none, as in a run.
                let since = known.get(&backup.id).filter(|since| **since <= input.from)?;
                Some((place, *since))
            };
            real.iter().enumerate().filter_map(since).collect()
        };
        let policies = input.policies.len();
        Self {
            input,
            futures: real.iter().map(future).collect(),
            present: real.iter().map(|backup| (*backup).clone()).collect(),
            places: (0..real.len()).collect(),
            arrivals: Arrivals::after(input),
            expired: vec![Vec::new(); policies],
            grace: input.grace.iter().map(begun).collect(),
            past: vec![0; policies],
            unseen: vec![true; policies],
            stands_until: None,
            stale: true,
        }
    }

    /// The first run, of any policy, at which something may happen.
    fn next_run(&self) -> Option<DateTime<Utc>> {
        let next = |policy: usize| {
            let runs = &self.input.runs[policy][self.past[policy]..];
            let first = match self.wakes(policy) {
                Wake::NextRun => 0,
                Wake::From(at) => runs.partition_point(|run| *run < at),
                Wake::Never => return None,
            };
            runs.get(first).copied()
        };
        let soonest = (0..self.input.policies.len()).filter_map(next).min();
        soonest.filter(|at| *at <= self.input.until)
    }

    fn wakes(&self, policy: usize) -> Wake {
        if self.stale || self.unseen[policy] {
            return Wake::NextRun;
        }
        let Policy { grace, zone, .. } = &*self.input.policies[policy];
        let due = self.grace[policy]
            .values()
            .filter_map(|since| grace.boundary_after(*since, *zone))
            .min();
        let moments = [self.stands_until, self.arrivals.next(), due];
        moments.into_iter().flatten().min().map_or(Wake::Never, Wake::From)
    }

    /// What has come by then.
    fn arrive(&mut self, at: DateTime<Utc>) {
        for backup in self.arrivals.take_until(at) {
            self.places.push(self.futures.len());
            self.futures.push(Future {
                backup: backup.clone(),
                assumed: true,
                departure: None,
            });
            self.present.push(backup);
            self.stale = true;
        }
    }

    fn run(&mut self, at: DateTime<Utc>) {
        self.arrive(at);
        if self.stale || self.stands_until.is_some_and(|until| at >= until) {
            self.decide(at);
        }
        let mut going: Vec<usize> = Vec::new();
        for policy in 0..self.input.policies.len() {
            let runs = self.input.runs[policy];
            let past = self.past[policy] + runs[self.past[policy]..].partition_point(|run| *run <= at);
            let rings = past.checked_sub(1).is_some_and(|last| runs[last] == at);
            self.past[policy] = past;
            if rings {
                self.unseen[policy] = false;
                self.act(policy, at, &mut going);
            }
        }
        if going.is_empty() {
            return;
        }
        going.sort_unstable();
        going.dedup();
        for place in going.into_iter().rev() {
            self.present.remove(place);
            self.places.remove(place);
        }
        self.stale = true;
    }

    fn decide(&mut self, at: DateTime<Utc>) {
        let ForecastInput {
            instance,
            holds,
            policies,
            ..
        } = self.input;
        let decided = decide(instance, &self.present, holds, policies, at);
        // `max_age` ends strictly after its boundary: a run on that very second keeps, and the next second does not.
        let next_second = at.checked_add_signed(TimeDelta::seconds(1)).unwrap_or(at);
        let ends = decided.iter().flatten().filter_map(|decision| decision.expires_at);
        let ends = ends.map(|end| end.max(next_second));
        let held_until = holds.iter().filter_map(|hold| hold.until);
        let dates = self.present.iter().filter_map(|backup| backup.begin);
        let believed_from = dates.filter_map(|begin| begin.checked_sub_signed(FUTURE_TOLERANCE));
        let changes = ends.chain(held_until).chain(believed_from);
        self.stands_until = changes.filter(|change| *change > at).min();
        let expired = |decision: &Decision| match decision.verdict {
            Verdict::Expire(reason) => Some((decision.backup, reason)),
            Verdict::Keep(_) => None,
        };
        self.expired = decided
            .iter()
            .map(|of_policy| of_policy.iter().filter_map(expired).collect())
            .collect();
        self.unseen.fill(true);
        self.stale = false;
    }

    /// One policy's run: grace begins, goes on, ends or is cleared, exactly as `run` does it.
    fn act(&mut self, policy: usize, at: DateTime<Utc>, going: &mut Vec<usize>) {
        let Policy { grace, zone, name, .. } = &*self.input.policies[policy];
        let known = std::mem::take(&mut self.grace[policy]);
        for &(place, reason) in &self.expired[policy] {
            let future = self.places[place];
            let since = known.get(&future).copied().unwrap_or(at);
            if grace.before(at, *zone).is_some_and(|edge| since <= edge) {
                // Two policies may let it go in the same minute: the first in the configuration's order deletes it.
                self.futures[future].departure.get_or_insert_with(|| Expiry {
                    at,
                    expired_at: since,
                    policy: name.clone(),
                    reason,
                });
                going.push(place);
            } else {
                self.grace[policy].insert(future, since);
            }
        }
    }
}

/// From when on a policy's runs must be looked at.
enum Wake {
    NextRun,
    From(DateTime<Utc>),
    Never,
}

/// The backups that are assumed to come, stream by stream.
struct Arrivals {
    coming: Vec<Coming>,
    made: u32,
}

/// The next backup of a stream.
struct Coming {
    next: Option<DateTime<Utc>>,
    every: TimeDelta,
    template: Backup,
}

impl Arrivals {
    /// The stream that is made most often comes at the assumed interval, the others at their own.
    fn after(input: &ForecastInput<'_>) -> Self {
        let Some(every) = input.every.filter(|every| *every > TimeDelta::zero()) else {
            return Self {
                coming: Vec::new(),
                made: 0,
            };
        };
        let known = streams(input.policies, input.backups, input.from);
        let mut coming: Vec<Coming> = known
            .into_iter()
            .enumerate()
            .filter_map(|(nth, stream)| {
                let every = if nth == 0 { Some(every) } else { stream.interval };
                every.map(|every| Coming::after(input.from, stream.newest, every))
            })
            .collect();
        if coming.is_empty() {
            coming.push(Coming::after(input.from, unknown(), every));
        }
        Self { coming, made: 0 }
    }

    fn next(&self) -> Option<DateTime<Utc>> {
        self.coming.iter().filter_map(|stream| stream.next).min()
    }

    fn take_until(&mut self, until: DateTime<Utc>) -> Vec<Backup> {
        let mut arrived: Vec<Backup> = self
            .coming
            .iter_mut()
            .flat_map(|stream| stream.take_until(until))
            .collect();
        arrived.sort_by_key(|backup| backup.begin);
        for backup in &mut arrived {
            self.made += 1;
            backup.id = BackupId::from(format!("assumed-{:06}", self.made));
        }
        arrived
    }
}

impl Coming {
    fn after(from: DateTime<Utc>, template: Backup, every: TimeDelta) -> Self {
        let newest = template.begin.unwrap_or(from);
        let missed = (from - newest).num_seconds().max(0) / every.num_seconds().max(1);
        let steps = i32::try_from(missed + 1).ok();
        let next = steps.and_then(|steps| newest.checked_add_signed(every.checked_mul(steps)?));
        Self { next, every, template }
    }

    fn take_until(&mut self, until: DateTime<Utc>) -> Vec<Backup> {
        let mut arrived = Vec::new();
        while let Some(begin) = self.next.filter(|next| *next <= until) {
            arrived.push(Backup {
                begin: Some(begin),
                end: None,
                ..self.template.clone()
            });
            self.next = begin.checked_add_signed(self.every);
        }
        arrived
    }
}

/// What is assumed where nothing is there to be like.
fn unknown() -> Backup {
    Backup {
        id: BackupId::from("assumed"),
        name: Arc::from("assumed"),
        kind: BackupKind::Manual,
        engine: Engine::SqlServer,
        status: BackupStatus::Completed,
        begin: None,
        end: None,
        size_bytes: 0,
        databases: Databases::All,
        doubt: None,
    }
}

#[cfg(test)]
#[path = "forecast_assumed_tests.rs"]
mod assumed_tests;
#[cfg(test)]
#[path = "forecast_tests.rs"]
mod tests;
