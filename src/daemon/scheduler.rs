//! Which policies are due. Pure: what is known and what time it is, in; whom to start and whom to skip, out.
//!
//! Not for waiting (`bell`) and not for running (`planner`). A *tick* is an instant of a policy's schedule; it *rings*
//! its jitter later. Ticks that have rung do not ring again, unless the clock was wrong when they did; several that were missed
//! become one, the newest.
//!
//! Policies that share a project share its runs: what both let go is then sent once, and its listings are read once.
//! Those that share none have runs of their own, side by side, so that a project that does not answer delays nobody else.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use sha2::{Digest, Sha256};

use crate::config::{PolicyEntry, Schedule};
use crate::ledger::LastBegun;
use crate::retention::{PolicyName, ProjectName, Zone};

/// A tick noticed later than this was missed: the host slept, or its clock was set forward. It is made up for only where
/// the policy wants that.
const LATE: TimeDelta = TimeDelta::minutes(5);
/// A tick that has rung and lies further ahead than this rang by a wrong clock, and rings again when it comes. Nothing was
/// deleted then: the guard wants a clock that is no further off than this.
const AHEAD: TimeDelta = TimeDelta::minutes(5);

/// Why a policy runs now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trigger {
    /// A tick was missed.
    CatchUp,
    /// Its schedule.
    Cron,
    /// Whoever started the daemon wants one run at once (`demo`).
    Start,
}

impl Trigger {
    /// The name in the ledger.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CatchUp => "catch-up",
            Self::Cron => "cron",
            Self::Start => "start",
        }
    }
}

/// The projects that the runs of a policy ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProjectSet {
    /// Every project of the configuration.
    Everywhere,
    /// These.
    Only(BTreeSet<ProjectName>),
}

impl ProjectSet {
    fn meets(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Only(own), Self::Only(other)) => !own.is_disjoint(other),
            _ => true,
        }
    }

    fn join(self, other: &Self) -> Self {
        match (self, other) {
            (Self::Only(own), Self::Only(other)) => Self::Only(&own | other),
            _ => Self::Everywhere,
        }
    }
}

/// When a policy runs, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timing {
    /// The projects that its runs ask.
    pub reach: ProjectSet,
    /// Its schedule; `None`: only `apply` runs it.
    pub schedule: Option<Schedule>,
    /// The zone of the schedule.
    pub zone: Zone,
    /// How long after a tick it rings.
    pub delay: TimeDelta,
    /// Whether a missed tick is made up for.
    pub catch_up: bool,
}

impl Timing {
    /// The timing of a policy on a host: its jitter is spread by a hash of both names, so that it stays the same from
    /// tick to tick and from start to start.
    pub fn of(entry: &PolicyEntry, host: &str) -> Self {
        let projects = entry.policy.select.projects.as_ref();
        Self {
            reach: projects.map_or(ProjectSet::Everywhere, |only| {
                ProjectSet::Only(only.iter().cloned().collect())
            }),
            schedule: entry.schedule.clone(),
            zone: entry.policy.zone,
            delay: delay(host, &entry.policy.name, entry.jitter.approximate_seconds()),
            catch_up: entry.catch_up,
        }
    }

    /// The first tick after `after`.
    fn next_after(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.schedule.as_ref()?.next_after(after, self.zone)
    }

    /// Where the schedule is at `now`: behind it by the delay.
    fn seen_from(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        now.checked_sub_signed(self.delay).unwrap_or(now)
    }

    /// When a tick rings.
    fn fire(&self, tick: DateTime<Utc>) -> DateTime<Utc> {
        tick.checked_add_signed(self.delay).unwrap_or(tick)
    }
}

/// A delay of 0 to `jitter` seconds.
fn delay(host: &str, policy: &PolicyName, jitter: u64) -> TimeDelta {
    let mut hash = Sha256::new();
    // The length keeps ("ab", "c") from being ("a", "bc").
    hash.update((host.len() as u64).to_be_bytes());
    hash.update(host);
    hash.update(policy.as_str());
    let digest = hash.finalize();
    let number = digest
        .iter()
        .take(8)
        .fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    // A jitter of a year is the longest anybody can mean; it fits.
    let seconds = number % jitter.saturating_add(1).min(400 * 86_400);
    TimeDelta::seconds(i64::try_from(seconds).unwrap_or(0))
}

/// What is known of one policy.
#[derive(Clone, Debug)]
struct PolicySlot {
    timing: Timing,
    /// The tick that rings next.
    next: Option<DateTime<Utc>>,
    /// The newest tick that has rung, or a time before which none needs to ring any more.
    rung: Option<DateTime<Utc>>,
    /// It rang and has not begun.
    waiting: Option<Waiting>,
    /// A run that it shared failed as a whole, and nobody knows through whom: it has its next ones to itself.
    alone: bool,
}

/// A policy that waits for its run.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    trigger: Trigger,
    /// Its place in the queue: who has waited longer is not overtaken.
    ticket: u64,
}

/// Names a run under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RunKey(u64);

/// A run that is to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduledRun {
    /// For [`Scheduler::done`].
    pub key: RunKey,
    /// Whose it is.
    pub policies: Vec<PolicyName>,
    /// Why it is made; of several reasons the strongest.
    pub trigger: Trigger,
    /// What it may ask.
    reach: ProjectSet,
    alone: bool,
}

impl ScheduledRun {
    fn has(&self, policy: &PolicyName) -> bool {
        self.policies.contains(policy)
    }

    /// Whether a policy must wait for its end.
    fn bars(&self, policy: &PolicyName, reach: &ProjectSet) -> bool {
        // By name, too: an edit may have sent the policy elsewhere since.
        self.reach.meets(reach) || self.has(policy)
    }
}

impl PolicySlot {
    /// Forgets what has rung by a clock that was ahead; waiting for that time to come would be no runs for as long.
    fn forget_ticks_ahead(&mut self, now: DateTime<Utc>) {
        let timing = &self.timing;
        self.rung = self.rung.filter(|rung| timing.fire(*rung) - now <= AHEAD);
    }

    /// Plans the next tick as seen at `now`, never one that has rung.
    fn plan(&mut self, now: DateTime<Utc>) {
        let from = self.timing.seen_from(now);
        let from = self.rung.map_or(from, |rung| from.max(rung));
        self.next = self.timing.next_after(from);
    }
}

/// A tick that did not become a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SkippedTick {
    /// The policy was running, or waiting for its turn already.
    Busy(PolicyName),
    /// It was noticed too late, and the policy does not want to catch up.
    Missed(PolicyName, DateTime<Utc>),
}

/// Every policy and its time.
#[derive(Clone, Debug, Default)]
pub struct Scheduler {
    places: BTreeMap<PolicyName, PolicySlot>,
    /// The time that was seen last.
    latest: Option<DateTime<Utc>>,
    /// The runs under way, perhaps of policies that are no longer here.
    under_way: Vec<ScheduledRun>,
    /// The last number that was given to a run or to somebody who waits.
    number: u64,
}

impl Scheduler {
    /// Takes these policies on. Those whose timing stays keep their next tick; what waits or runs goes on doing so.
    pub fn adopt(&mut self, timings: impl IntoIterator<Item = (PolicyName, Timing)>, now: DateTime<Utc>) {
        let mut before = std::mem::take(&mut self.places);
        for (policy, timing) in timings {
            let mut place = match before.remove(&policy) {
                Some(place) if place.timing == timing => {
                    // What went wrong may have been edited away.
                    self.places.insert(policy, PolicySlot { alone: false, ..place });
                    continue;
                }
                Some(place) => PolicySlot { timing, ..place },
                None => PolicySlot {
                    timing,
                    next: None,
                    rung: None,
                    waiting: None,
                    alone: false,
                },
            };
            place.alone = false;
            place.plan(now);
            self.places.insert(policy, place);
        }
    }

    /// Tells of a policy's last run, from the ledger: a tick that rang since was missed, and one that was interrupted is as
    /// good as missed. True when it will be made up for.
    pub fn catch_up(&mut self, policy: &PolicyName, last: &LastBegun, now: DateTime<Utc>) -> bool {
        let running = self.is_running(policy);
        let Some(place) = self.places.get_mut(policy) else {
            return false;
        };
        let timing = &place.timing;
        let missed = timing
            .next_after(timing.seen_from(last.at))
            .is_some_and(|tick| timing.fire(tick) <= now);
        let is_wanted = missed || (last.is_interrupted && timing.schedule.is_some());
        let due = is_wanted && timing.catch_up && place.waiting.is_none() && !running;
        // A run dated ahead of now was made under a wrong clock, and says nothing.
        if last.at <= now {
            let settled = timing.seen_from(if due { now } else { last.at });
            place.rung = place.rung.max(Some(settled));
        }
        if due {
            place.waiting = Some(Waiting {
                trigger: Trigger::CatchUp,
                ticket: next(&mut self.number),
            });
        }
        due
    }

    /// Lets every policy wait for its turn, now.
    pub fn start_all(&mut self) {
        for place in self.places.values_mut() {
            let ticket = next(&mut self.number);
            let trigger = Trigger::Start;
            place.waiting.get_or_insert(Waiting { trigger, ticket });
        }
    }

    /// Rings every tick that is due. Those of idle policies wait for [`Self::take`]; the others are returned. The flag
    /// says that the clock was set back so far that it was wrong before.
    pub fn fire(&mut self, now: DateTime<Utc>) -> (Vec<SkippedTick>, bool) {
        let mut passed = Vec::new();
        let back = self.latest.map_or(TimeDelta::zero(), |latest| latest - now);
        let far_back = back > AHEAD;
        let Self {
            places,
            under_way,
            number,
            ..
        } = self;
        for (policy, place) in places {
            if back > TimeDelta::zero() {
                // What was planned by a clock that was ahead may be too late.
                place.forget_ticks_ahead(now);
                place.plan(now);
            }
            let Some(first) = place.next.filter(|tick| place.timing.fire(*tick) <= now) else {
                continue;
            };
            // Of a backlog only the newest counts; how many there were does not matter.
            let tick = newest(&place.timing, first, now);
            place.rung = Some(tick);
            place.plan(now);
            let late = now - place.timing.fire(tick) > LATE;
            let trigger = if place.waiting.is_some() || under_way.iter().any(|run| run.has(policy)) {
                passed.push(SkippedTick::Busy(policy.clone()));
                continue;
            } else if !late {
                Trigger::Cron
            } else if place.timing.catch_up {
                Trigger::CatchUp
            } else {
                passed.push(SkippedTick::Missed(policy.clone(), tick));
                continue;
            };
            let ticket = next(number);
            place.waiting = Some(Waiting { trigger, ticket });
        }
        self.latest = Some(now);
        (passed, far_back)
    }

    /// The runs that can begin now: of everybody who waits and shares no project with a run under way, nor with anybody
    /// who has waited longer. They run until [`Self::done`].
    pub fn take(&mut self) -> Vec<ScheduledRun> {
        let mut queue: Vec<(u64, &PolicyName, &mut PolicySlot)> = Vec::new();
        for (policy, place) in &mut self.places {
            if let Some(waiting) = place.waiting {
                queue.push((waiting.ticket, policy, place));
            }
        }
        queue.sort_unstable_by_key(|(ticket, ..)| *ticket);
        let mut runs: Vec<ScheduledRun> = Vec::new();
        let mut kept_free: Vec<ProjectSet> = Vec::new();
        for (ticket, policy, place) in queue {
            let reach = &place.timing.reach;
            let (shared, others): (Vec<ScheduledRun>, Vec<ScheduledRun>) =
                runs.into_iter().partition(|run| run.reach.meets(reach));
            runs = others;
            let barred = self.under_way.iter().any(|run| run.bars(policy, reach))
                || kept_free.iter().any(|kept| kept.meets(reach))
                || (place.alone && !shared.is_empty())
                || shared.iter().any(|run| run.alone);
            if barred {
                kept_free.push(reach.clone());
                runs.extend(shared);
                continue;
            }
            let Some(waiting) = place.waiting.take() else { continue };
            let mut run = ScheduledRun {
                key: RunKey(ticket),
                policies: vec![policy.clone()],
                trigger: waiting.trigger,
                reach: reach.clone(),
                alone: place.alone,
            };
            // It may be what joins several.
            for other in shared {
                run.policies.extend(other.policies);
                run.trigger = run.trigger.max(other.trigger);
                run.reach = run.reach.join(&other.reach);
            }
            runs.push(run);
        }
        for run in &mut runs {
            run.policies.sort_unstable();
        }
        runs.sort_by_key(|run| run.key);
        self.under_way.extend(runs.iter().cloned());
        runs
    }

    /// A run is over.
    pub fn done(&mut self, key: RunKey) {
        self.under_way.retain(|run| run.key != key);
    }

    /// A run failed as a whole, through one of its policies and nobody knows which: they run once more, each on its own,
    /// and so until the configuration changes. False for a run of one.
    pub fn part(&mut self, run: &ScheduledRun) -> bool {
        if run.policies.len() < 2 {
            return false;
        }
        for policy in &run.policies {
            if let Some(place) = self.places.get_mut(policy) {
                let (trigger, ticket) = (run.trigger, next(&mut self.number));
                place.alone = true;
                place.waiting.get_or_insert(Waiting { trigger, ticket });
            }
        }
        true
    }

    fn is_running(&self, policy: &PolicyName) -> bool {
        self.under_way.iter().any(|run| run.has(policy))
    }

    /// When the next tick rings.
    pub fn next_fire(&self) -> Option<DateTime<Utc>> {
        self.places
            .values()
            .filter_map(|place| Some(place.timing.fire(place.next?)))
            .min()
    }

    /// When each policy rings next; `None` for one without a schedule.
    pub fn next_fires(&self) -> impl Iterator<Item = (&PolicyName, Option<DateTime<Utc>>)> {
        self.places
            .iter()
            .map(|(policy, place)| (policy, place.next.map(|tick| place.timing.fire(tick))))
    }

    /// Whether a policy rang and waits for its turn.
    pub fn is_waiting(&self, policy: &PolicyName) -> bool {
        self.places.get(policy).is_some_and(|place| place.waiting.is_some())
    }
}

/// The number after the last one.
fn next(number: &mut u64) -> u64 {
    *number += 1;
    *number
}

/// The newest tick that rings at `now` or earlier, `first` being one. Searched by halves: a year of missed seconds takes
/// as many steps as it has bits.
fn newest(timing: &Timing, first: DateTime<Utc>, now: DateTime<Utc>) -> DateTime<Utc> {
    let end = timing.seen_from(now);
    let tick_until_end = |after: i64| {
        let after = DateTime::from_timestamp(after, 0)?;
        timing.next_after(after).filter(|tick| *tick <= end)
    };
    let (mut low, mut high, mut newest) = (first.timestamp(), end.timestamp(), first);
    while low < high {
        let middle = low + (high - low) / 2;
        match tick_until_end(middle) {
            Some(tick) => {
                newest = tick;
                low = tick.timestamp();
            }
            None => high = middle,
        }
    }
    newest
}

#[cfg(test)]
#[path = "scheduler_tests.rs"]
mod tests;
