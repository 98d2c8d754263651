//! One policy looking at one instance: who takes part, what the rules and the floor keep, and when that will change.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::decision::{Decision, ExpireReason, KeepReason, KeptBy, Verdict};
use super::rules::{FoundReasons, apply_rule};
use super::series::{Member, series_of};
use crate::retention::backup::FUTURE_TOLERANCE;
use crate::retention::{
    Backup, BackupKind, BackupStatus, DeletedInstances, Doubt, Hold, Instance, InstanceLife, Policy,
};

/// The most moments at which holds end (or future dates arrive) that `expires_at` looks past; beyond them it says
/// "never", which is the careful answer.
const MOST_EVENTS: usize = 366;

/// Which holds cover which backups, asked once per instance and not once per policy.
pub(super) struct CoveringHolds<'a> {
    /// Backup index → covering holds; empty for nearly all instances.
    by_backup: BTreeMap<usize, Vec<&'a Hold>>,
}

impl<'a> CoveringHolds<'a> {
    pub(super) fn over(instance: &Instance, backups: &[Backup], holds: &'a [Hold]) -> Self {
        let mut by_backup: BTreeMap<usize, Vec<&Hold>> = BTreeMap::new();
        for hold in holds {
            for (index, _) in backups
                .iter()
                .enumerate()
                .filter(|(_, backup)| hold.covers(instance, backup))
            {
                by_backup.entry(index).or_default().push(hold);
            }
        }
        Self { by_backup }
    }

    fn active(&self, index: usize, at: DateTime<Utc>) -> impl Iterator<Item = &'a Hold> {
        let holds = self.by_backup.get(&index).map_or(&[][..], Vec::as_slice);
        holds.iter().copied().filter(move |hold| hold.is_active(at))
    }
}

/// A verdict at one moment, and until when it stands by itself.
struct TimedVerdict {
    verdict: Verdict,
    /// When age alone would turn a kept one into an expired one.
    ages_out_at: Option<DateTime<Utc>>,
}

/// How a backup takes part at one moment.
enum Eligibility {
    OutOfScope,
    /// Never touched, never counted.
    Untouched(Vec<KeepReason>),
    Completed(DateTime<Utc>),
    Failed(DateTime<Utc>),
}

/// One policy looking at one instance.
pub(super) struct Evaluator<'a> {
    pub(super) policy: &'a Policy,
    pub(super) instance: &'a Instance,
    pub(super) backups: &'a [Backup],
    pub(super) held: &'a CoveringHolds<'a>,
}

impl Evaluator<'_> {
    /// Decides every backup in the policy's scope.
    pub(super) fn decide(&self, now: DateTime<Utc>) -> Vec<Decision> {
        let mut decisions: Vec<Decision> = Vec::with_capacity(self.backups.len());
        let mut open: Vec<usize> = Vec::new();
        let events = self.events(now);
        for (index, fate) in self.fates(now).into_iter().enumerate() {
            let Some(fate) = fate else { continue };
            let first_event = events.first().copied();
            let kept = matches!(fate.verdict, Verdict::Keep(_));
            let expires_at = fate
                .ages_out_at
                .filter(|at| kept && first_event.is_none_or(|event| *at < event));
            if kept && expires_at.is_none() && first_event.is_some() {
                open.push(decisions.len());
            }
            decisions.push(Decision {
                backup: index,
                verdict: fate.verdict,
                expires_at,
            });
        }
        self.look_past(&events, &mut decisions, open);
        decisions
    }

    /// Finds `expires_at` of the kept ones whose fate depends on the end of holds and the arrival of future dates, by
    /// deciding again at each of these moments.
    fn look_past(&self, events: &[DateTime<Utc>], decisions: &mut [Decision], mut open: Vec<usize>) {
        for (nth, &event) in events.iter().enumerate() {
            if open.is_empty() {
                return;
            }
            let fates = self.fates(event);
            let next = events.get(nth + 1).copied();
            open.retain(|&place| {
                let decision = &mut decisions[place];
                let Some(fate) = &fates[decision.backup] else {
                    return false;
                };
                decision.expires_at = match fate.verdict {
                    Verdict::Expire(_) => Some(event),
                    Verdict::Keep(_) => fate
                        .ages_out_at
                        .filter(|at| next.is_none_or(|next| *at < next))
                        .map(|at| at.max(event)),
                };
                decision.expires_at.is_none()
            });
        }
    }

    /// The moments after `now` at which the calendar alone changes who takes part.
    fn events(&self, now: DateTime<Utc>) -> Vec<DateTime<Utc>> {
        let hold_ends = self.held.by_backup.values().flatten().filter_map(|hold| hold.until);
        let begins = self.backups.iter().filter_map(|backup| backup.begin);
        // Nearly all lie in the past and are sorted out before anything is subtracted.
        let arrivals = begins
            .filter(|begin| *begin > now)
            .filter_map(|begin| begin.checked_sub_signed(FUTURE_TOLERANCE));
        let mut events: Vec<_> = hold_ends.chain(arrivals).filter(|at| *at > now).collect();
        events.sort_unstable();
        events.dedup();
        events.truncate(MOST_EVENTS);
        events
    }

    /// The verdict on every backup at one moment; `None` where it is out of scope.
    fn fates(&self, at: DateTime<Utc>) -> Vec<Option<TimedVerdict>> {
        let mut fates: Vec<Option<TimedVerdict>> = Vec::with_capacity(self.backups.len());
        let mut completed: Vec<Member> = Vec::with_capacity(self.backups.len());
        let mut failed: Vec<(DateTime<Utc>, usize)> = Vec::new();
        for index in 0..self.backups.len() {
            fates.push(match self.standing(index, at) {
                Eligibility::Untouched(reasons) => Some(TimedVerdict {
                    verdict: Verdict::Keep(reasons),
                    ages_out_at: None,
                }),
                Eligibility::OutOfScope => None,
                Eligibility::Completed(begin) => {
                    completed.push(Member::new(begin, index, self.policy.zone));
                    None
                }
                Eligibility::Failed(begin) => {
                    failed.push((begin, index));
                    None
                }
            });
        }
        // Newest first, ties by ascending id.
        completed.sort_unstable_by(|a, b| {
            let by_id = || self.backups[a.index].id.cmp(&self.backups[b.index].id);
            b.begin.cmp(&a.begin).then_with(by_id)
        });
        let newest = completed.first().map(|member| member.begin);
        for (begin, index) in &failed {
            fates[*index] = Some(self.fate_of_failed(*begin, newest, at));
        }
        self.evaluate_completed(&completed, at, &mut fates);
        if let Some((ends_at, over)) = self.end_of_deleted_instance(at) {
            let completed = completed.iter().map(|member| member.index);
            let counted = completed.chain(failed.iter().map(|(_, index)| *index));
            counted.for_each(|index| settle_deleted_instance(&mut fates[index], ends_at, over));
        }
        fates
    }

    fn standing(&self, index: usize, at: DateTime<Utc>) -> Eligibility {
        let backup = &self.backups[index];
        let known_kind = match backup.kind {
            BackupKind::Manual => true,
            BackupKind::Auto | BackupKind::Fragment | BackupKind::Incremental => return Eligibility::OutOfScope,
            BackupKind::Other(_) => false,
        };
        if !self.policy.select.takes_backup(backup) {
            return Eligibility::OutOfScope;
        }
        let mut reasons: Vec<KeepReason> = self
            .held
            .active(index, at)
            .map(|hold| KeepReason::of(KeptBy::Hold(Box::new(hold.clone()))))
            .collect();
        if self
            .policy
            .keep
            .names()
            .iter()
            .any(|pattern| pattern.matches(&backup.name))
        {
            reasons.push(KeepReason::of(KeptBy::Names));
        }
        if matches!(backup.status, BackupStatus::Building | BackupStatus::Deleting) {
            reasons.push(KeepReason::of(KeptBy::InProgress));
        }
        let is_unknown = matches!(backup.status, BackupStatus::Other(_))
            || !backup.databases.is_known()
            || backup.doubt == Some(Doubt::NoName)
            // It would be part of a URL.
            || !(backup.engine.is_deleted_in_batches() || backup.id.is_plain());
        if !known_kind || is_unknown {
            reasons.push(KeepReason::of(KeptBy::UnknownStatus));
        }
        if !self.policy.select.takes_engine(self.instance, backup) {
            reasons.push(KeepReason::of(KeptBy::UnknownEngine));
        }
        match backup.doubt {
            None | Some(Doubt::NoName | Doubt::NoEnd) => {}
            Some(Doubt::Changed) => reasons.push(KeepReason::of(KeptBy::Changed)),
            Some(Doubt::Contested) => reasons.push(KeepReason::of(KeptBy::Contested)),
            Some(Doubt::InUse) => reasons.push(KeepReason::of(KeptBy::InUse)),
        }
        let Some(begin) = backup.begin else {
            reasons.push(KeepReason::of(KeptBy::UnknownTime));
            return Eligibility::Untouched(reasons);
        };
        if begin.signed_duration_since(at) > FUTURE_TOLERANCE {
            reasons.push(KeepReason::of(KeptBy::FutureDated));
        } else if backup.believed_begin().is_none() || backup.doubt == Some(Doubt::NoEnd) {
            reasons.push(KeepReason::of(KeptBy::UnknownTime));
        }
        match backup.status {
            _ if !reasons.is_empty() => Eligibility::Untouched(reasons),
            BackupStatus::Failed => Eligibility::Failed(begin),
            _ => Eligibility::Completed(begin),
        }
    }

    /// For a deleted instance under `expire_after`: when everything of it goes, and whether that is over.
    fn end_of_deleted_instance(&self, at: DateTime<Utc>) -> Option<(Option<DateTime<Utc>>, bool)> {
        let (InstanceLife::Deleted { missed_since }, DeletedInstances::ExpireAfter(span)) =
            (self.instance.life, self.policy.select.deleted_instances)
        else {
            return None;
        };
        let zone = self.policy.zone;
        let over = span.before(at, zone).is_some_and(|edge| missed_since < edge);
        Some((span.boundary_after(missed_since, zone), over))
    }

    fn fate_of_failed(&self, begin: DateTime<Utc>, newest: Option<DateTime<Utc>>, at: DateTime<Utc>) -> TimedVerdict {
        let zone = self.policy.zone;
        let superseded = newest.is_some_and(|newest| newest > begin);
        if superseded
            && self
                .policy
                .failed_after
                .before(at, zone)
                .is_some_and(|edge| begin < edge)
        {
            return TimedVerdict {
                verdict: Verdict::Expire(ExpireReason::Failed),
                ages_out_at: None,
            };
        }
        let ages_out_at = if superseded {
            self.policy.failed_after.boundary_after(begin, zone)
        } else {
            None
        };
        TimedVerdict {
            verdict: Verdict::Keep(vec![KeepReason::of(KeptBy::TooNewFailed)]),
            ages_out_at,
        }
    }

    /// Applies the rules and the floor to every series and writes the fates of the counted COMPLETED backups.
    fn evaluate_completed(&self, completed: &[Member], at: DateTime<Utc>, fates: &mut [Option<TimedVerdict>]) {
        let zone = self.policy.zone;
        let floor = usize::try_from(self.policy.min_backups.get()).unwrap_or(usize::MAX);
        let mut reasons = FoundReasons::default();
        let mut floors = FoundReasons::default();
        for (series, places) in series_of(self.backups, completed) {
            for rule in self.policy.keep.rules() {
                apply_rule(*rule, zone, completed, &places, &series, &mut reasons);
            }
            for (slot, &place) in (1..).zip(places.iter().take(floor)) {
                floors.add(place, KeptBy::Floor, slot, &series, false);
            }
        }
        let oldest_allowed = self.policy.max_age.and_then(|age| age.before(at, zone));
        let (mut reasons, mut floors) = (reasons.by_place(), floors.by_place());
        for (place, member) in completed.iter().enumerate() {
            let (reasons, floor) = (reasons.take(place), floors.take(place));
            let too_old = oldest_allowed.is_some_and(|edge| member.begin < edge);
            let on_floor = !floor.is_empty();
            let verdict = match (too_old, reasons.is_empty()) {
                (false, false) => Verdict::Keep(reasons),
                _ if on_floor => {
                    fates[member.index] = Some(TimedVerdict {
                        verdict: Verdict::Keep(floor),
                        ages_out_at: None,
                    });
                    continue;
                }
                (true, _) => Verdict::Expire(ExpireReason::MaxAge),
                (false, true) => Verdict::Expire(ExpireReason::NotKept),
            };
            let ages = matches!(verdict, Verdict::Keep(_)) && !on_floor;
            let ages_out_at = self
                .policy
                .max_age
                .filter(|_| ages)
                .and_then(|age| age.boundary_after(member.begin, zone));
            fates[member.index] = Some(TimedVerdict { verdict, ages_out_at });
        }
    }
}

/// Under `expire_after` a deleted instance keeps everything until that is over, and then nothing. What no rule keeps
/// meanwhile is shown as kept by the floor: the contract has no name of its own for it, and this reading keeps more.
fn settle_deleted_instance(fate: &mut Option<TimedVerdict>, ends_at: Option<DateTime<Utc>>, over: bool) {
    let Some(fate) = fate else { return };
    if over {
        fate.verdict = Verdict::Expire(ExpireReason::InstanceDeleted);
    } else if matches!(fate.verdict, Verdict::Expire(_)) {
        fate.verdict = Verdict::Keep(vec![KeepReason::of(KeptBy::Floor)]);
    }
    fate.ages_out_at = ends_at;
}
