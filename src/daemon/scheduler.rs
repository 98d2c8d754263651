//! Which policies are due. Pure: state and time in, runs to start out.
//!
//! Not for waiting until a tick is due (`ticker`) nor for running (`run_task`). A *tick* is an instant of a policy's
//! schedule; it *fires* after the policy's jitter. A tick that has fired does not fire again, unless the clock was wrong
//! when it did; of several missed ticks only the newest counts.
//!
//! Policies that share a project share its runs: deletions that both allow are sent once, and listings are read once.
//! Policies without a common project run side by side, so that a project that does not answer delays no other.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use super::timing::{ProjectSet, Timing};
use crate::ledger::LastBegun;
use crate::retention::PolicyName;

/// A tick noticed later than this was missed: the host was suspended, or its clock was set forward. It runs late only where the
/// policy has `catch_up: true`.
const LATE: TimeDelta = TimeDelta::minutes(5);
/// A fired tick that lies further ahead than this fired by a wrong clock, and fires again when its time comes. Nothing was
/// deleted the first time: the guard refuses a clock that is further off than this.
const AHEAD: TimeDelta = TimeDelta::minutes(5);

/// Why a policy runs now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trigger {
    /// A tick was missed.
    CatchUp,
    /// Its schedule.
    Cron,
    /// The daemon was asked to run every policy at once (`demo`).
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

/// What is known of one policy.
#[derive(Clone, Debug)]
struct PolicySlot {
    timing: Timing,
    /// The tick that fires next.
    next: Option<DateTime<Utc>>,
    /// The newest tick that has fired, or a time before which none needs to fire.
    last_fired: Option<DateTime<Utc>>,
    /// Its tick has fired and its run has not started.
    waiting: Option<Waiting>,
    /// A run that it shared failed as a whole, and the policy at fault is unknown: its next runs are its own.
    isolated: bool,
}

/// Why a policy waits for its run, and since when.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    trigger: Trigger,
    /// Its place in the queue: a policy that has waited longer goes first.
    ticket: u64,
}

/// Names a run under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RunKey(u64);

/// A run that is to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduledRun {
    /// For [`Scheduler::finished`].
    pub key: RunKey,
    /// Its policies.
    pub policies: Vec<PolicyName>,
    /// Why it runs; of several reasons the strongest.
    pub trigger: Trigger,
    /// The newest tick of each that has fired.
    pub ticks: Vec<(PolicyName, DateTime<Utc>)>,
    /// The projects that it lists.
    projects: ProjectSet,
    isolated: bool,
}

impl ScheduledRun {
    fn has(&self, policy: &PolicyName) -> bool {
        self.policies.contains(policy)
    }

    /// Whether a policy must wait until it ends.
    fn blocks(&self, policy: &PolicyName, projects: &ProjectSet) -> bool {
        // By name, too: an edit may have moved the policy to other projects since.
        self.projects.overlaps(projects) || self.has(policy)
    }
}

impl PolicySlot {
    /// Forgets a tick that fired while the clock was ahead: otherwise nothing would fire until that time comes.
    fn forget_ticks_ahead(&mut self, now: DateTime<Utc>) {
        let timing = &self.timing;
        self.last_fired = self
            .last_fired
            .filter(|last_fired| timing.fires_at(*last_fired) - now <= AHEAD);
    }

    /// Plans the next tick as seen at `now`, never one that has fired already.
    fn plan(&mut self, now: DateTime<Utc>) {
        let from = self.timing.schedule_time(now);
        let from = self.last_fired.map_or(from, |last_fired| from.max(last_fired));
        self.next = self.timing.next_after(from);
    }
}

/// A tick that did not become a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SkippedTick {
    /// The policy was running, or waiting for its run.
    Busy(PolicyName),
    /// It was noticed too late, and the policy has `catch_up: false`.
    Missed(PolicyName, DateTime<Utc>),
}

/// Every policy with its schedule, and the runs in progress.
#[derive(Clone, Debug, Default)]
pub struct Scheduler {
    slots: BTreeMap<PolicyName, PolicySlot>,
    /// The time that was seen last.
    latest: Option<DateTime<Utc>>,
    /// The runs in progress, some perhaps of policies that were removed.
    running: Vec<ScheduledRun>,
    /// The last ticket.
    number: u64,
}

impl Scheduler {
    /// Replaces the policies. Those with unchanged timing keep their next tick; what waits or runs goes on.
    pub fn adopt(&mut self, timings: impl IntoIterator<Item = (PolicyName, Timing)>, now: DateTime<Utc>) {
        let mut before = std::mem::take(&mut self.slots);
        for (policy, timing) in timings {
            let mut slot = match before.remove(&policy) {
                Some(slot) if slot.timing == timing => {
                    // The edit may have fixed what failed.
                    self.slots.insert(
                        policy,
                        PolicySlot {
                            isolated: false,
                            ..slot
                        },
                    );
                    continue;
                }
                Some(slot) => PolicySlot { timing, ..slot },
                None => PolicySlot {
                    timing,
                    next: None,
                    last_fired: None,
                    waiting: None,
                    isolated: false,
                },
            };
            slot.isolated = false;
            slot.plan(now);
            self.slots.insert(policy, slot);
        }
    }

    /// Takes in a policy's last run, from the ledger: a tick since then was missed, and an interrupted run counts as
    /// missed. True when the policy will run late for it.
    pub fn catch_up(&mut self, policy: &PolicyName, last: &LastBegun, now: DateTime<Utc>) -> bool {
        let running = self.is_running(policy);
        let Some(slot) = self.slots.get_mut(policy) else {
            return false;
        };
        let timing = &slot.timing;
        let missed = timing
            .next_after(timing.schedule_time(last.at))
            .is_some_and(|tick| timing.fires_at(tick) <= now);
        let is_wanted = missed || ((last.is_interrupted || last.is_open) && timing.schedule.is_some());
        let due = is_wanted && timing.catch_up && slot.waiting.is_none() && !running;
        // A run dated ahead of now was made under a wrong clock and tells nothing.
        if last.at <= now {
            // Where no tick was missed it is that run's own that is made up for.
            let settled = timing.schedule_time(if due && missed { now } else { last.at });
            slot.last_fired = slot.last_fired.max(Some(settled));
        }
        if due {
            slot.waiting = Some(Waiting {
                trigger: Trigger::CatchUp,
                ticket: next(&mut self.number),
            });
        }
        due
    }

    /// Makes every policy due now.
    pub fn start_all(&mut self) {
        for slot in self.slots.values_mut() {
            let ticket = next(&mut self.number);
            let trigger = Trigger::Start;
            slot.waiting.get_or_insert(Waiting { trigger, ticket });
        }
    }

    /// Follows a clock that was set back; true when it was so far ahead that it was wrong.
    pub fn follow_clock(&mut self, now: DateTime<Utc>) -> bool {
        let back = self.latest.map_or(TimeDelta::zero(), |latest| latest - now);
        if back > TimeDelta::zero() {
            for slot in self.slots.values_mut() {
                // A tick planned while the clock was ahead may be too late.
                slot.forget_ticks_ahead(now);
                slot.plan(now);
            }
        }
        self.latest = Some(now);
        back > AHEAD
    }

    /// Fires every tick that is due. Idle policies then wait for [`Self::start_due`]; the ticks of others are returned as
    /// skipped. The flag is that of [`Self::follow_clock`].
    pub fn fire(&mut self, now: DateTime<Utc>) -> (Vec<SkippedTick>, bool) {
        let was_ahead = self.follow_clock(now);
        let mut skipped = Vec::new();
        let Self {
            slots, running, number, ..
        } = self;
        for (policy, slot) in slots {
            let Some(first) = slot.next.filter(|tick| slot.timing.fires_at(*tick) <= now) else {
                continue;
            };
            // Of a backlog only the newest tick counts.
            let tick = newest(&slot.timing, first, now);
            slot.last_fired = Some(tick);
            slot.plan(now);
            let late = now - slot.timing.fires_at(tick) > LATE;
            let trigger = if slot.waiting.is_some() || running.iter().any(|run| run.has(policy)) {
                skipped.push(SkippedTick::Busy(policy.clone()));
                continue;
            } else if !late {
                Trigger::Cron
            } else if slot.timing.catch_up {
                Trigger::CatchUp
            } else {
                skipped.push(SkippedTick::Missed(policy.clone(), tick));
                continue;
            };
            let ticket = next(number);
            slot.waiting = Some(Waiting { trigger, ticket });
        }
        (skipped, was_ahead)
    }

    /// The runs that can start now: of every waiting policy that shares no project with a run in progress, nor with a
    /// policy that has waited longer. They count as in progress until [`Self::finished`].
    pub fn start_due(&mut self) -> Vec<ScheduledRun> {
        let mut queue: Vec<(u64, &PolicyName, &mut PolicySlot)> = Vec::new();
        for (policy, slot) in &mut self.slots {
            if let Some(waiting) = slot.waiting {
                queue.push((waiting.ticket, policy, slot));
            }
        }
        queue.sort_unstable_by_key(|(ticket, ..)| *ticket);
        let mut runs: Vec<ScheduledRun> = Vec::new();
        let mut reserved: Vec<ProjectSet> = Vec::new();
        for (ticket, policy, slot) in queue {
            let projects = &slot.timing.projects;
            let (shared, others): (Vec<ScheduledRun>, Vec<ScheduledRun>) =
                runs.into_iter().partition(|run| run.projects.overlaps(projects));
            runs = others;
            let blocked = self.running.iter().any(|run| run.blocks(policy, projects))
                || reserved.iter().any(|kept| kept.overlaps(projects))
                || (slot.isolated && !shared.is_empty())
                || shared.iter().any(|run| run.isolated);
            if blocked {
                reserved.push(projects.clone());
                runs.extend(shared);
                continue;
            }
            let Some(waiting) = slot.waiting.take() else { continue };
            let mut run = ScheduledRun {
                key: RunKey(ticket),
                policies: vec![policy.clone()],
                trigger: waiting.trigger,
                ticks: slot.last_fired.map(|tick| (policy.clone(), tick)).into_iter().collect(),
                projects: projects.clone(),
                isolated: slot.isolated,
            };
            // It may be what connects several runs.
            for other in shared {
                run.policies.extend(other.policies);
                run.ticks.extend(other.ticks);
                run.trigger = run.trigger.max(other.trigger);
                run.projects = run.projects.union(&other.projects);
            }
            runs.push(run);
        }
        for run in &mut runs {
            run.policies.sort_unstable();
        }
        runs.sort_by_key(|run| run.key);
        self.running.extend(runs.iter().cloned());
        runs
    }

    /// A run has ended.
    pub fn finished(&mut self, key: RunKey) {
        self.running.retain(|run| run.key != key);
    }

    /// A shared run failed as a whole and the policy at fault is unknown: its policies run again at once, each on its own,
    /// and stay apart until the configuration changes. False for a run of one policy.
    pub fn isolate(&mut self, run: &ScheduledRun) -> bool {
        if run.policies.len() < 2 {
            return false;
        }
        for policy in &run.policies {
            if let Some(slot) = self.slots.get_mut(policy) {
                let (trigger, ticket) = (run.trigger, next(&mut self.number));
                slot.isolated = true;
                slot.waiting.get_or_insert(Waiting { trigger, ticket });
            }
        }
        true
    }

    fn is_running(&self, policy: &PolicyName) -> bool {
        self.running.iter().any(|run| run.has(policy))
    }

    /// When the next tick fires.
    pub fn next_fire(&self) -> Option<DateTime<Utc>> {
        self.slots
            .values()
            .filter_map(|slot| Some(slot.timing.fires_at(slot.next?)))
            .min()
    }

    /// When each policy fires next; `None` for one without a schedule.
    pub fn next_fires(&self) -> impl Iterator<Item = (&PolicyName, Option<DateTime<Utc>>)> {
        self.slots
            .iter()
            .map(|(policy, slot)| (policy, slot.next.map(|tick| slot.timing.fires_at(tick))))
    }

    /// Whether a policy's tick has fired and its run has not started.
    pub fn is_waiting(&self, policy: &PolicyName) -> bool {
        self.slots.get(policy).is_some_and(|slot| slot.waiting.is_some())
    }
}

/// The number after the last one.
fn next(number: &mut u64) -> u64 {
    *number += 1;
    *number
}

/// The newest tick that fires at `now` or earlier, `first` being one. Binary search: a year of missed seconds takes 25
/// steps.
fn newest(timing: &Timing, first: DateTime<Utc>, now: DateTime<Utc>) -> DateTime<Utc> {
    let end = timing.schedule_time(now);
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
#[path = "scheduler_missed_tests.rs"]
mod missed_tests;
#[cfg(test)]
#[path = "scheduler_projects_tests.rs"]
mod projects_tests;
#[cfg(test)]
#[path = "scheduler_tests.rs"]
mod tests;
