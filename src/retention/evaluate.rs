//! The decision: for every backup of one instance, what each policy that claims it says, and why.
//!
//! A pure function of (backups, holds, policies, `now`): same input, same answer, in any order of input. The counted
//! rules are restic's (`internal/data/snapshot_policy.go`), with two differences that keep more: a bucket that a zone
//! repeats is recognised although its parts are not neighbours, and months clamp.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::sync::Arc;
use std::vec;

use chrono::{DateTime, NaiveDateTime, Utc};

use super::backup::FUTURE_TOLERANCE;
use super::bucket::Bucket;
use super::policy::Count;
use super::{
    Backup, BackupKind, BackupStatus, Databases, DeletedInstances, Doubt, Hold, Instance, InstanceLife, KeepRule,
    Policy, PolicyName, Zone,
};

/// The most moments at which holds end (or future dates arrive) that `expires_at` looks past; beyond them it says
/// "never", which is the careful answer.
const MOST_EVENTS: usize = 366;

/// Rules and the floor are applied to every series on its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Series {
    /// All backups that name no database.
    Full,
    /// The full ones and the partial ones that name this database.
    Database(Arc<str>),
}

/// What keeps a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeptBy {
    /// A keep rule of the policy.
    Rule(KeepRule),
    /// `keep.names`.
    Names,
    /// A hold.
    Hold(Box<Hold>),
    /// `min_backups`. Named only where nothing else keeps the backup.
    Floor,
    /// BUILDING or DELETING.
    InProgress,
    /// An unknown status or type, databases that are not known, or no name.
    UnknownStatus,
    /// An engine that is not known, not the instance's, or not one that the policy selects.
    UnknownEngine,
    /// A `begin_time` that cannot be read or believed, or the missing end of a COMPLETED backup.
    UnknownTime,
    /// Dated more than five minutes ahead.
    FutureDated,
    /// It says something else than an earlier run saw of it.
    Changed,
    /// Two instances list it.
    Contested,
    /// FAILED, but not long enough ago, or with no newer COMPLETED one.
    TooNewFailed,
    /// Another policy that selects it and keeps it.
    Policy(PolicyName),
}

/// One reason for keeping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeepReason {
    /// What keeps it.
    pub keeper: KeptBy,
    /// Which of the rule's slots it fills, from 1.
    pub slot: Option<u32>,
    /// In which series.
    pub series: Option<Series>,
    /// Kept as the oldest of its series while the rule has slots left.
    pub oldest: bool,
}

impl KeepReason {
    fn of(keeper: KeptBy) -> Self {
        Self {
            keeper,
            slot: None,
            series: None,
            oldest: false,
        }
    }
}

/// Why a backup may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExpireReason {
    /// No rule keeps it.
    NotKept,
    /// Older than `max_age`, whatever the rules say.
    MaxAge,
    /// FAILED long enough ago.
    Failed,
    /// Its instance is deleted and `expire_after` is over.
    InstanceDeleted,
}

impl ExpireReason {
    /// The reason's name in reports.
    pub fn key(self) -> &'static str {
        match self {
            Self::NotKept => "not_kept",
            Self::MaxAge => "max_age",
            Self::Failed => "failed",
            Self::InstanceDeleted => "instance_deleted",
        }
    }

    /// Whether `max_percent` limits what goes for this reason.
    pub fn is_limited(self) -> bool {
        match self {
            Self::NotKept | Self::MaxAge => true,
            Self::Failed | Self::InstanceDeleted => false,
        }
    }

    /// Reads [`Self::key`].
    pub fn from_key(key: &str) -> Option<Self> {
        [Self::NotKept, Self::MaxAge, Self::Failed, Self::InstanceDeleted]
            .into_iter()
            .find(|reason| reason.key() == key)
    }
}

impl KeptBy {
    /// Whether a backup that this keeps was counted: it took part in the rules and the floor.
    pub fn counts(&self) -> bool {
        matches!(self, Self::Rule(_) | Self::Floor | Self::Policy(_))
    }
}

/// What the policies say of a backup, before grace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It stays; never without a reason.
    Keep(Vec<KeepReason>),
    /// Policy says it may go.
    Expire(ExpireReason),
}

impl Verdict {
    /// Whether the backup is one of those that `max_percent` is a percentage of: COMPLETED, counted by the rules, and not about to
    /// go with all of a deleted instance.
    pub fn is_limited(&self, backup: &Backup) -> bool {
        backup.status == BackupStatus::Completed
            && match self {
                Self::Keep(reasons) => reasons.iter().all(|reason| reason.keeper.counts()),
                Self::Expire(reason) => reason.is_limited(),
            }
    }
}

/// What one policy decides of one backup in its scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Index into the backups that were given.
    pub backup: usize,
    /// The verdict.
    pub verdict: Verdict,
    /// When a kept one would expire if nothing else changed; `None` is never.
    pub expires_at: Option<DateTime<Utc>>,
}

/// Decides every backup of one instance under every policy that claims it.
///
/// The answer has one list per policy, in the order of `policies`; each holds the backups in that policy's scope, in the
/// order of `backups`. A backup that one policy lets go and another keeps is kept in both, with [`KeptBy::Policy`].
pub fn decide(
    instance: &Instance,
    backups: &[Backup],
    holds: &[Hold],
    policies: &[Arc<Policy>],
    now: DateTime<Utc>,
) -> Vec<Vec<Decision>> {
    let held = CoveringHolds::over(instance, backups, holds);
    let mut all: Vec<Vec<Decision>> = policies
        .iter()
        .map(|policy| {
            Evaluator {
                policy,
                instance,
                backups,
                held: &held,
            }
            .decide(now)
        })
        .collect();
    if policies.len() > 1 {
        settle_overlaps(&mut all, policies, backups.len());
    }
    all
}

/// Which holds cover which backups, asked once per instance and not once per policy.
struct CoveringHolds<'a> {
    /// Backup index → covering holds; empty for nearly all instances.
    by_backup: BTreeMap<usize, Vec<&'a Hold>>,
}

impl<'a> CoveringHolds<'a> {
    fn over(instance: &Instance, backups: &[Backup], holds: &'a [Hold]) -> Self {
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
struct Evaluator<'a> {
    policy: &'a Policy,
    instance: &'a Instance,
    backups: &'a [Backup],
    held: &'a CoveringHolds<'a>,
}

impl Evaluator<'_> {
    fn decide(&self, now: DateTime<Utc>) -> Vec<Decision> {
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
        for (series, places) in self.series(completed) {
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

    /// The series with their members as places in `completed`, newest first.
    fn series(&self, completed: &[Member]) -> Vec<(Series, Vec<usize>)> {
        let mut full = Vec::with_capacity(completed.len());
        let mut partial: BTreeMap<&Arc<str>, Vec<usize>> = BTreeMap::new();
        for (place, member) in completed.iter().enumerate() {
            match &self.backups[member.index].databases {
                Databases::Named(names) => {
                    for name in names.iter() {
                        partial.entry(name).or_default().push(place);
                    }
                }
                // Unknown ones do not come here: they are untouched.
                Databases::All | Databases::Absent | Databases::Unreadable | Databases::Unknown => full.push(place),
            }
        }
        let of_database = |(name, own): (&Arc<str>, Vec<usize>)| {
            // Places are positions in one sorted list, so sorting them restores newest first.
            let mut places: Vec<usize> = full.iter().copied().chain(own).collect();
            places.sort_unstable();
            (Series::Database(Arc::clone(name)), places)
        };
        let mut series: Vec<_> = partial.into_iter().map(of_database).collect();
        series.insert(0, (Series::Full, full));
        series
    }
}

/// A counted COMPLETED backup with its time on the zone's wall clock.
struct Member {
    begin: DateTime<Utc>,
    wall: NaiveDateTime,
    index: usize,
}

impl Member {
    fn new(begin: DateTime<Utc>, index: usize, zone: Zone) -> Self {
        Self {
            begin,
            wall: zone.wall(begin),
            index,
        }
    }
}

/// Reasons as they are found, with the place of the backup that each keeps. One list for all: most backups have none.
#[derive(Default)]
struct FoundReasons(Vec<(usize, KeepReason)>);

impl FoundReasons {
    fn add(&mut self, place: usize, keeper: KeptBy, slot: u32, series: &Series, oldest: bool) {
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
    fn by_place(mut self) -> ReasonsByPosition {
        self.0.sort_by_key(|(place, _)| *place);
        ReasonsByPosition(self.0.into_iter().peekable())
    }
}

struct ReasonsByPosition(Peekable<vec::IntoIter<(usize, KeepReason)>>);

impl ReasonsByPosition {
    /// The reasons of a place; places must be asked in ascending order.
    fn take(&mut self, place: usize) -> Vec<KeepReason> {
        let mut reasons = Vec::new();
        while let Some((_, reason)) = self.0.next_if(|(of, _)| *of == place) {
            reasons.push(reason);
        }
        reasons
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

fn apply_rule(
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

/// What one policy lets go and another keeps is kept, and goes when the last of them lets it go.
fn settle_overlaps(all: &mut [Vec<Decision>], policies: &[Arc<Policy>], backups: usize) {
    let mut by_backup: Vec<Vec<(usize, usize)>> = vec![Vec::new(); backups];
    for (policy, decisions) in all.iter().enumerate() {
        for (place, decision) in decisions.iter().enumerate() {
            by_backup[decision.backup].push((policy, place));
        }
    }
    for places in by_backup.into_iter().filter(|places| places.len() > 1) {
        let keepers: Vec<usize> = places
            .iter()
            .filter(|(p, d)| matches!(all[*p][*d].verdict, Verdict::Keep(_)))
            .map(|(p, _)| *p)
            .collect();
        if keepers.is_empty() {
            continue;
        }
        let kept = |(p, d): &(usize, usize)| {
            let decision = &all[*p][*d];
            matches!(decision.verdict, Verdict::Keep(_)).then_some(decision.expires_at)
        };
        // `None` among them is "never", which no time outlasts.
        let ends: Vec<Option<DateTime<Utc>>> = places.iter().filter_map(kept).collect();
        let expires_at = if ends.contains(&None) {
            None
        } else {
            ends.into_iter().flatten().max()
        };
        for (policy, place) in places {
            let decision = &mut all[policy][place];
            if let Verdict::Expire(_) = decision.verdict {
                let reason = |p: &usize| KeepReason::of(KeptBy::Policy(policies[*p].name.clone()));
                decision.verdict = Verdict::Keep(keepers.iter().map(reason).collect());
            }
            decision.expires_at = expires_at;
        }
    }
}

#[cfg(test)]
#[path = "evaluate_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "oracle_tests.rs"]
mod oracle_tests;
