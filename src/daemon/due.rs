//! Which policies are due. Pure: what is known and what time it is, in; whom to start and whom to skip, out.
//!
//! Not for waiting (`bell`) and not for running (`planner`). A *tick* is an instant of a policy's schedule; it *rings*
//! its jitter later. Ticks that have rung do not ring again, also when the clock is set back; several that were missed
//! become one, the newest.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use sha2::{Digest, Sha256};

use crate::config::{PolicyEntry, Schedule};
use crate::retention::PolicyName;

/// A tick noticed later than this was missed: the host slept, or its clock was set forward. It is made up for only where
/// the policy wants that.
const LATE: TimeDelta = TimeDelta::minutes(5);
/// A clock that goes back further than this was wrong before, not after: what was planned by it is forgotten. Waiting for
/// the wrong time to come again would be no runs for as long.
const FAR_BACK: TimeDelta = TimeDelta::hours(24);

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

/// When a policy runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Its schedule; `None`: only `apply` runs it.
    pub schedule: Option<Schedule>,
    /// The zone of the schedule.
    pub zone: Tz,
    /// How long after a tick it rings.
    pub delay: TimeDelta,
    /// Whether a missed tick is made up for.
    pub catch_up: bool,
}

impl Timing {
    /// The timing of a policy on a host: its jitter is spread by a hash of both names, so that it stays the same from
    /// tick to tick and from start to start.
    pub fn of(entry: &PolicyEntry, host: &str) -> Self {
        Self {
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
    fn ring(&self, tick: DateTime<Utc>) -> DateTime<Utc> {
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
struct Place {
    timing: Timing,
    /// The tick that rings next.
    next: Option<DateTime<Utc>>,
    /// The newest tick that has rung, or a time before which none needs to ring any more.
    rung: Option<DateTime<Utc>>,
    /// It rang and has not begun.
    waiting: Option<Trigger>,
    running: bool,
}

impl Place {
    /// Plans the next tick as seen at `now`, never one that has rung.
    fn plan(&mut self, now: DateTime<Utc>) {
        let from = self.timing.seen_from(now);
        let from = self.rung.map_or(from, |rung| from.max(rung));
        self.next = self.timing.next_after(from);
    }
}

/// A tick that did not become a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Passed {
    /// The policy was running, or waiting for its turn already.
    Busy(PolicyName),
    /// It was noticed too late, and the policy does not want to catch up.
    Missed(PolicyName, DateTime<Utc>),
}

/// Every policy and its time.
#[derive(Clone, Debug, Default)]
pub struct Agenda {
    places: BTreeMap<PolicyName, Place>,
    /// The time that was seen last.
    latest: Option<DateTime<Utc>>,
    /// A pass is under way, perhaps of policies that are no longer here.
    pass: bool,
}

impl Agenda {
    /// Takes these policies on. Those whose timing stays keep their next tick; what waits or runs goes on doing so.
    pub fn adopt(&mut self, timings: impl IntoIterator<Item = (PolicyName, Timing)>, now: DateTime<Utc>) {
        let mut before = std::mem::take(&mut self.places);
        for (policy, timing) in timings {
            let mut place = match before.remove(&policy) {
                Some(place) if place.timing == timing => {
                    self.places.insert(policy, place);
                    continue;
                }
                Some(place) => Place { timing, ..place },
                None => Place {
                    timing,
                    next: None,
                    rung: None,
                    waiting: None,
                    running: false,
                },
            };
            place.plan(now);
            self.places.insert(policy, place);
        }
    }

    /// Tells when a policy's last run began, from the ledger: a tick that rang since was missed. True when it will be
    /// made up for.
    pub fn catch_up(&mut self, policy: &PolicyName, last_begun: DateTime<Utc>, now: DateTime<Utc>) -> bool {
        let Some(place) = self.places.get_mut(policy) else {
            return false;
        };
        let timing = &place.timing;
        let missed = timing
            .next_after(timing.seen_from(last_begun))
            .is_some_and(|tick| timing.ring(tick) <= now);
        let due = missed && timing.catch_up && place.waiting.is_none() && !place.running;
        // A run dated ahead of now was made under a wrong clock, and says nothing.
        if last_begun <= now {
            let settled = timing.seen_from(if due { now } else { last_begun });
            place.rung = place.rung.max(Some(settled));
        }
        if due {
            place.waiting = Some(Trigger::CatchUp);
        }
        due
    }

    /// Lets every policy wait for its turn, now.
    pub fn start_all(&mut self) {
        for place in self.places.values_mut() {
            place.waiting.get_or_insert(Trigger::Start);
        }
    }

    /// Rings every tick that is due. Those of idle policies wait for [`Self::take`]; the others are returned. The flag
    /// says that the clock was set back so far that the agenda was made anew.
    pub fn ring(&mut self, now: DateTime<Utc>) -> (Vec<Passed>, bool) {
        let mut passed = Vec::new();
        let back = self.latest.map_or(TimeDelta::zero(), |latest| latest - now);
        let far_back = back > FAR_BACK;
        for (policy, place) in &mut self.places {
            if far_back {
                place.rung = None;
            }
            if back > TimeDelta::zero() {
                // What was planned by a clock that was ahead may be too late; what has rung does not ring again.
                place.plan(now);
            }
            let Some(first) = place.next.filter(|tick| place.timing.ring(*tick) <= now) else {
                continue;
            };
            // Of a backlog only the newest counts; how many there were does not matter.
            let tick = newest(&place.timing, first, now);
            place.rung = Some(tick);
            place.plan(now);
            let late = now - place.timing.ring(tick) > LATE;
            if place.running || place.waiting.is_some() {
                passed.push(Passed::Busy(policy.clone()));
            } else if !late {
                place.waiting = Some(Trigger::Cron);
            } else if place.timing.catch_up {
                place.waiting = Some(Trigger::CatchUp);
            } else {
                passed.push(Passed::Missed(policy.clone(), tick));
            }
        }
        self.latest = Some(now);
        (passed, far_back)
    }

    /// Everybody who waits, in one pass; nobody while a pass is under way. They run until [`Self::done`].
    pub fn take(&mut self) -> Option<(Vec<PolicyName>, Trigger)> {
        if self.pass {
            return None;
        }
        let mut policies = Vec::new();
        let mut why = Trigger::CatchUp;
        for (policy, place) in &mut self.places {
            if let Some(trigger) = place.waiting.take() {
                place.running = true;
                why = why.max(trigger);
                policies.push(policy.clone());
            }
        }
        self.pass = !policies.is_empty();
        self.pass.then_some((policies, why))
    }

    /// The pass is over.
    pub fn done(&mut self) {
        self.pass = false;
        for place in self.places.values_mut() {
            place.running = false;
        }
    }

    /// When the next tick rings.
    pub fn next_ring(&self) -> Option<DateTime<Utc>> {
        self.places
            .values()
            .filter_map(|place| Some(place.timing.ring(place.next?)))
            .min()
    }

    /// When each policy rings next; `None` for one without a schedule.
    pub fn next_rings(&self) -> impl Iterator<Item = (&PolicyName, Option<DateTime<Utc>>)> {
        self.places
            .iter()
            .map(|(policy, place)| (policy, place.next.map(|tick| place.timing.ring(tick))))
    }

    /// Whether a policy rang and waits for its turn.
    pub fn is_waiting(&self, policy: &PolicyName) -> bool {
        self.places.get(policy).is_some_and(|place| place.waiting.is_some())
    }
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
#[path = "due_tests.rs"]
mod tests;
