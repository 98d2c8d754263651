//! The keep rules on one series. They are restic's (`internal/data/snapshot_policy.go`), with two differences that keep more: a bucket
//! that a zone repeats is recognised although its parts are not neighbours, and months clamp.

use std::iter::Peekable;
use std::vec;

use super::decision::{KeepReason, KeptBy};
use super::series::{Member, Series};
use crate::retention::bucket::Bucket;
use crate::retention::{Count, KeepRule, Zone};

/// Finds what a rule keeps of a series.
pub(super) fn apply_rule(
    rule: KeepRule,
    zone: Zone,
    members: &[Member],
    places: &[usize],
    series: &Series,
    reasons: &mut FoundReasons,
) {
    let Some(newest) = places.first().map(|place| members[*place].begin) else {
        return;
    };
    let (period, slots, span) = match rule {
        KeepRule::Last(count) => (None, count, None),
        KeepRule::Counted(period, count) => (Some(period), count, None),
        KeepRule::Within(span) => (None, Count::All, Some(span)),
        KeepRule::WithinPeriod(period, span) => (Some(period), Count::All, Some(span)),
    };
    let mut left = match slots {
        Count::All => u32::MAX,
        Count::AtMost(count) => count.get(),
    };
    // No edge (no span, or one that reaches before the beginning of time) keeps everything the slots allow.
    let edge = span.and_then(|span| span.before(newest, zone));
    let mut seen: Vec<Bucket> = Vec::new();
    let mut slot = 0;
    for (nth, &place) in places.iter().enumerate() {
        let member = &members[place];
        if left == 0 || edge.is_some_and(|edge| member.begin <= edge) {
            return;
        }
        let is_new = period.is_none_or(|period| see(&mut seen, Bucket::of(period, member.begin, &member.wall)));
        // The oldest stays too while slots are left: it stretches the history as far as the rule allows.
        let oldest = !is_new && nth + 1 == places.len();
        if is_new || oldest {
            left -= 1;
            slot += 1;
            reasons.add(place, KeptBy::Rule(rule), slot, series, oldest);
        }
    }
}

/// Whether a bucket is met for the first time; remembers it in `seen`, latest first.
///
/// Buckets come nearly sorted, newest first, so the last one answers almost always. The rest is for zones that put the
/// clock back across midnight: there a day is met, left and met again.
fn see(seen: &mut Vec<Bucket>, bucket: Bucket) -> bool {
    let place = match seen.last() {
        Some(last) if bucket == *last => return false,
        Some(last) if bucket > *last => seen.partition_point(|known| *known > bucket),
        _ => seen.len(),
    };
    let is_new = seen.get(place) != Some(&bucket);
    if is_new {
        seen.insert(place, bucket);
    }
    is_new
}

/// Reasons as they are found, with the place of the backup that each keeps. One list for all: most backups have none.
#[derive(Default)]
pub(super) struct FoundReasons(Vec<(usize, KeepReason)>);

impl FoundReasons {
    /// Notes a reason.
    pub(super) fn add(&mut self, place: usize, keeper: KeptBy, slot: u32, series: &Series, oldest: bool) {
        let (slot, series) = (Some(slot), Some(series.clone()));
        let reason = KeepReason {
            keeper,
            slot,
            series,
            oldest,
        };
        self.0.push((place, reason));
    }

    /// Ready to be taken place after place; the reasons of one place stay in the order in which they were found.
    pub(super) fn by_place(mut self) -> ReasonsByPosition {
        self.0.sort_by_key(|(place, _)| *place);
        ReasonsByPosition(self.0.into_iter().peekable())
    }
}

/// The reasons, place after place.
pub(super) struct ReasonsByPosition(Peekable<vec::IntoIter<(usize, KeepReason)>>);

impl ReasonsByPosition {
    /// The reasons of a place; places must be asked in ascending order.
    pub(super) fn take(&mut self, place: usize) -> Vec<KeepReason> {
        let mut reasons = Vec::new();
        while let Some((_, reason)) = self.0.next_if(|(of, _)| *of == place) {
            reasons.push(reason);
        }
        reasons
    }
}
