//! What fuzzing calls in this module: spans, the decision, the guard. Not in the program that is shipped.
//!
//! Structured input is read from bytes by [`Tape`]; an exhausted tape gives zeros, so every input is a good one.

#![expect(
    clippy::missing_panics_doc,
    reason = "a target panics where a promise is broken: that is its answer"
)]

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt::Write as _;
use std::num::NonZeroU32;
use std::sync::{Arc, LazyLock};

use chrono::{DateTime, TimeDelta, Utc};

use super::oracle::{minus, oracle};
use super::plan::{ClockCheck, Conditions, InstanceDue};
use super::{
    ApprovedPlan, Backup, BackupId, BackupKind, BackupStatus, Batch, Candidate, Count, Databases, Decision,
    DeletedInstances, Doubt, Engine, ExpireReason, Freeze, FreezeSources, Freezes, Hold, HoldTarget, Instance,
    InstanceLife, KeepRule, KeepRules, Limits, Mode, OverLimit, Pattern, Period, Plan, Policy, Selector, Span, Verdict,
    Zone, decide,
};

/// Bytes as a source of choices.
pub struct Tape<'a>(&'a [u8]);

impl<'a> Tape<'a> {
    /// A tape of these bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *first
    }

    /// A number of so many bytes.
    pub fn number(&mut self, bytes: u32) -> u64 {
        (0..bytes).fold(0, |number, _| (number << 8) | u64::from(self.byte()))
    }

    /// A number below another one, at most 255.
    pub fn below(&mut self, end: u8) -> u8 {
        self.byte() % end
    }

    /// Yes, once in so many.
    pub fn once_in(&mut self, times: u8) -> bool {
        self.byte() % times == times - 1
    }

    /// One of these.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        let at = if choices.len() > 256 {
            self.number(2)
        } else {
            self.number(1)
        };
        choices[usize::try_from(at).unwrap_or(0) % choices.len()]
    }

    /// What is left.
    pub fn rest(self) -> &'a [u8] {
        self.0
    }
}

/// Any zone there is; mostly those with odd transitions.
pub fn zone(tape: &mut Tape<'_>) -> Zone {
    static ODD: LazyLock<Vec<Zone>> = LazyLock::new(|| {
        [
            "Europe/Berlin",
            "Asia/Kolkata",
            "Australia/Lord_Howe",
            "America/St_Johns",
            "Asia/Singapore",
            "America/Asuncion",
            "Africa/Cairo",
            "Asia/Beirut",
            "Pacific/Apia",
        ]
        .map(Zone::of)
        .into_iter()
        .chain([Zone::UTC])
        .collect()
    });
    static ALL: LazyLock<Vec<Zone>> = LazyLock::new(|| Zone::compiled_names().map(Zone::of).collect());
    if tape.once_in(3) {
        tape.pick(&ALL)
    } else {
        tape.pick(&ODD)
    }
}

/// A moment between 1990 and 2060, to the second; mostly close to an odd one.
pub fn moment(tape: &mut Tape<'_>) -> DateTime<Utc> {
    const ODD: [i64; 10] = [
        1_792_886_400, // 2026-10-25T00:00:00Z, the end of summer time in Europe
        1_774_742_400, // 2026-03-29T00:00:00Z
        1_289_095_200, // 2010-11-07T02:00:00Z, St John's folds at midnight
        1_775_314_800, // 2026-04-04T15:00:00Z, Lord Howe's half hour
        1_798_761_600, // 2027-01-01T00:00:00Z
        1_325_239_200, // 2011-12-30T10:00:00Z, the day that Apia left out
        1_709_164_800, // 2024-02-29T00:00:00Z
        1_774_915_200, // 2026-03-31T00:00:00Z
        1_772_236_800, // 2026-02-28T00:00:00Z
        1_711_756_800, // 2024-03-30T00:00:00Z
    ];
    let near = tape.pick(&ODD);
    let number = |tape: &mut Tape<'_>, bytes| i64::try_from(tape.number(bytes)).unwrap_or(0);
    let seconds = match tape.below(4) {
        0 => near + number(tape, 1) * 60,
        1 => near + number(tape, 2) - 0x8000,
        2 => near + (number(tape, 2) - 0x8000) * 600,
        _ => 631_152_000 + number(tape, 4) % 2_208_988_800,
    };
    DateTime::from_timestamp(seconds, 0).unwrap_or_default()
}

/// A span of at most three units.
pub fn span(tape: &mut Tape<'_>) -> Span {
    let mut text = String::new();
    let choice = tape.byte();
    for (bit, unit, most) in [
        (1, "y", 12),
        (2, "mo", 30),
        (4, "w", 60),
        (8, "d", 200),
        (16, "h", 200),
        (32, "s", 255),
    ] {
        if choice & bit != 0 {
            // Writing to a String cannot fail.
            let _ = write!(text, "{}{unit}", tape.below(most));
        }
    }
    Span::parse(if text.is_empty() { "0s" } else { &text }).unwrap_or(Span::ZERO)
}

/// A text as a span: what is read is written the same way, and subtraction is what the oracle says.
///
/// The first eight bytes choose zone and moment.
pub fn spans(data: &[u8]) {
    let (head, text) = data.split_at(data.len().min(8));
    let mut tape = Tape::new(head);
    let (zone, at) = (zone(&mut tape), moment(&mut tape));
    let Ok(text) = std::str::from_utf8(text) else { return };
    let span = match Span::parse(text) {
        Ok(span) => span,
        Err(why) => {
            assert!(!why.to_string().is_empty());
            return;
        }
    };
    let written = span.to_string();
    assert_eq!(Span::parse(&written), Ok(span), "{text:?} was written as {written:?}");
    assert_eq!(span.is_zero(), span.approximate_seconds() == 0);
    let before = span.before(at, zone);
    assert!(
        before.is_none_or(|before| before <= at),
        "{span} before {at} in {zone} is {before:?}"
    );
    // The oracle's arithmetic ends where text dates do; beyond, nothing but no panic is asked.
    if span.approximate_seconds() < 1_000 * 31_556_952 {
        assert_eq!(before, minus(at, &span, zone), "{span} before {at} in {zone}");
    }
    if let Some(end) = span.boundary_after(at, zone) {
        check_boundary(span, at, zone, end);
    }
}

/// The boundary is the first second at which subtraction reaches the moment.
fn check_boundary(span: Span, at: DateTime<Utc>, zone: Zone, end: DateTime<Utc>) {
    let reached = |end: DateTime<Utc>| span.before(end, zone).is_some_and(|before| before >= at);
    assert!(reached(end), "{span} after {at} in {zone} is not over at {end}");
    for step in [1, 60, 600, 1_800, 3_600, 7_200, 43_200, 86_400, 2 * 86_400, 3 * 86_400] {
        let earlier = end - TimeDelta::seconds(step);
        assert!(
            !reached(earlier),
            "{span} after {at} in {zone} is over at {earlier}, not first at {end}"
        );
    }
}

fn count(tape: &mut Tape<'_>) -> Count {
    match NonZeroU32::new(u32::from(tape.below(8))) {
        Some(count) => Count::AtMost(count),
        None => Count::All,
    }
}

fn rule(tape: &mut Tape<'_>) -> KeepRule {
    match tape.below(4) {
        0 => KeepRule::Last(count(tape)),
        1 => KeepRule::Counted(tape.pick(&Period::ALL), count(tape)),
        2 => KeepRule::Within(span(tape)),
        _ => KeepRule::WithinPeriod(tape.pick(&Period::ALL), span(tape)),
    }
}

fn globs(tape: &mut Tape<'_>) -> Vec<Pattern> {
    let globs = ["n1*", "n*2", "?3", "n[0-4]*", "*"];
    (0..tape.below(2))
        .filter_map(|_| Pattern::parse(tape.pick(&globs)).ok())
        .collect()
}

pub(crate) fn policy(tape: &mut Tape<'_>, nth: u8) -> Policy {
    let rules = (0..=tape.below(3)).map(|_| rule(tape)).collect();
    let names = if tape.once_in(4) { globs(tape) } else { Vec::new() };
    let select = Selector {
        backup_names: tape.once_in(6).then(|| globs(tape)),
        exclude_backup_names: if tape.once_in(6) { globs(tape) } else { Vec::new() },
        deleted_instances: match tape.below(3) {
            0 => DeletedInstances::Ignore,
            1 => DeletedInstances::Include,
            _ => DeletedInstances::ExpireAfter(span(tape)),
        },
        ..Selector::default()
    };
    Policy {
        name: format!("p{nth}").into(),
        mode: Mode::Enforce,
        zone: zone(tape),
        select,
        keep: KeepRules::new(rules, names).expect("at least one rule"),
        max_age: tape.once_in(3).then(|| span(tape)),
        failed_after: span(tape),
        min_backups: NonZeroU32::new(1 + u32::from(tape.below(4))).unwrap_or(NonZeroU32::MIN),
        grace: Span::ZERO,
        require_backup_within: None,
        limits: Limits::default(),
    }
}

pub(crate) fn backup(tape: &mut Tape<'_>, nth: u8) -> Backup {
    let odd = tape.byte();
    let begin = (odd != 252).then(|| moment(tape));
    Backup {
        // Not in the order of making, and one often a prefix of another.
        id: format!("{:x}b{nth}", nth.wrapping_mul(37)).into(),
        name: format!("n{}", tape.below(40)).into(),
        kind: match odd {
            255 => BackupKind::Other("odd".into()),
            254 => BackupKind::Auto,
            _ => BackupKind::Manual,
        },
        engine: if odd == 253 {
            Engine::Other("MySQL".into())
        } else {
            Engine::SqlServer
        },
        status: match odd {
            200..=215 => BackupStatus::Failed,
            216..=219 => BackupStatus::Building,
            220..=223 => BackupStatus::Deleting,
            224..=227 => BackupStatus::Other("ODD".into()),
            _ => BackupStatus::Completed,
        },
        begin,
        end: match odd {
            249 => begin.map(|begin| begin - TimeDelta::seconds(1)),
            250 => begin.map(|begin| begin + TimeDelta::days(7) + TimeDelta::nanoseconds(1)),
            41..=60 => begin.map(|begin| begin + TimeDelta::days(7)),
            _ => None,
        },
        size_bytes: 1024,
        databases: match odd {
            251 => Databases::Unknown,
            252 => Databases::Unreadable,
            0..=40 => Databases::from_names([["sales", "hr", "hr2"][usize::from(odd) % 3]]),
            41..=50 => Databases::from_names(["sales", "hr"]),
            _ => Databases::All,
        },
        doubt: match odd {
            247 => Some(Doubt::Changed),
            248 => Some(Doubt::Contested),
            61 => Some(Doubt::NoName),
            62 => Some(Doubt::NoEnd),
            _ => None,
        },
    }
}

pub(crate) fn hold(tape: &mut Tape<'_>, backups: &[Backup]) -> Hold {
    let target = match backups.len() {
        several @ 1.. if !tape.once_in(3) => HoldTarget::Backup(backups[usize::from(tape.byte()) % several].id.clone()),
        _ => HoldTarget::Matching {
            instance: None,
            name: Pattern::parse(tape.pick(&["n1*", "n?", "nothing"])).ok(),
        },
    };
    Hold {
        id: None,
        target,
        reason: "r".to_owned(),
        owner: None,
        until: tape.once_in(2).then(|| moment(tape)),
    }
}

pub(crate) fn instance(id: &str, life: InstanceLife) -> Instance {
    Instance {
        engine: Engine::SqlServer,
        project: "p".into(),
        id: id.into(),
        name: "mssql".into(),
        tags: Vec::new(),
        enterprise_project: None,
        life,
    }
}

/// Policies, backups and holds from a tape: the decision is what the oracle says, in any order of input; what must never go
/// stays; and `expires_at` is when it goes.
pub fn decision(data: &[u8]) {
    let tape = &mut Tape::new(data);
    let now = moment(tape);
    let life = if tape.once_in(4) {
        InstanceLife::Deleted {
            missed_since: moment(tape),
        }
    } else {
        InstanceLife::Listed
    };
    let policies: Vec<Arc<Policy>> = (0..=tape.below(3)).map(|nth| Arc::new(policy(tape, nth))).collect();
    let backups: Vec<Backup> = (0..tape.below(40)).map(|nth| backup(tape, nth)).collect();
    let holds: Vec<Hold> = (0..tape.below(4)).map(|_| hold(tape, &backups)).collect();
    let instance = instance("i1in04", life);

    let all = decide(&instance, &backups, &holds, &policies, now);
    let by_reference: Vec<&Policy> = policies.iter().map(|policy| &**policy).collect();
    assert_eq!(
        fates(&all, backups.len()),
        oracle(&instance, &backups, &holds, &by_reference, now),
        "decided, and the oracle's word; {policies:#?} {backups:#?} {holds:#?} at {now}"
    );
    for (policy, decisions) in policies.iter().zip(&all) {
        never_touched(&instance, &backups, &holds, decisions, now);
        floor(policy, &instance, &backups, decisions);
    }
    order_does_not_matter(&instance, &backups, &holds, &policies, now, &all);
    if let [policy] = &policies[..] {
        expires_when_it_says(&instance, &backups, &holds, policy, now, &all[0]);
    }
}

fn fates(all: &[Vec<Decision>], backups: usize) -> Vec<Vec<Option<bool>>> {
    let fates = |decisions: &Vec<Decision>| {
        let mut fates = vec![None; backups];
        for decision in decisions {
            fates[decision.backup] = Some(is_kept(decision));
        }
        fates
    };
    all.iter().map(fates).collect()
}

fn is_kept(decision: &Decision) -> bool {
    match &decision.verdict {
        Verdict::Keep(reasons) => {
            assert!(!reasons.is_empty(), "kept without a reason");
            true
        }
        Verdict::Expire(_) => {
            assert_eq!(decision.expires_at, None);
            false
        }
    }
}

fn never_touched(instance: &Instance, backups: &[Backup], holds: &[Hold], decisions: &[Decision], now: DateTime<Utc>) {
    for decision in decisions.iter().filter(|decision| !is_kept(decision)) {
        let backup = &backups[decision.backup];
        assert!(matches!(backup.status, BackupStatus::Completed | BackupStatus::Failed));
        assert_eq!(
            (&backup.kind, &backup.engine),
            (&BackupKind::Manual, &Engine::SqlServer)
        );
        assert!(backup.databases.is_known());
        assert!(backup.begin.is_some_and(|begin| begin <= now + TimeDelta::minutes(5)));
        assert!(
            !holds
                .iter()
                .any(|hold| hold.is_active(now) && hold.covers(instance, backup))
        );
    }
}

/// Of a living instance, no decision leaves fewer COMPLETED ones than the floor says, held ones and all.
fn floor(policy: &Policy, instance: &Instance, backups: &[Backup], decisions: &[Decision]) {
    let floor = usize::try_from(policy.min_backups.get()).unwrap_or(usize::MAX);
    let completed = |decision: &&Decision| {
        let backup = &backups[decision.backup];
        backup.status == BackupStatus::Completed && backup.databases.is_full()
    };
    let there = decisions.iter().filter(completed).count();
    let left = decisions
        .iter()
        .filter(completed)
        .filter(|decision| is_kept(decision))
        .count();
    let expires_whole = matches!(policy.select.deleted_instances, DeletedInstances::ExpireAfter(_))
        && instance.life != InstanceLife::Listed;
    assert!(expires_whole || left >= there.min(floor), "{left} of {there} are left");
}

fn order_does_not_matter(
    instance: &Instance,
    backups: &[Backup],
    holds: &[Hold],
    policies: &[Arc<Policy>],
    now: DateTime<Utc>,
    all: &[Vec<Decision>],
) {
    let reversed: Vec<Backup> = backups.iter().rev().cloned().collect();
    let again = decide(instance, &reversed, holds, policies, now);
    for (decisions, again) in all.iter().zip(&again) {
        assert_eq!(decisions.len(), again.len());
        for (one, other) in decisions.iter().zip(again.iter().rev()) {
            assert_eq!(backups[one.backup].id, reversed[other.backup].id);
            assert_eq!((&one.verdict, one.expires_at), (&other.verdict, other.expires_at));
        }
    }
}

/// At the moment that a decision names, and not before, the backup goes. (The boundary itself is the last moment of a span.)
fn expires_when_it_says(
    instance: &Instance,
    backups: &[Backup],
    holds: &[Hold],
    policy: &Arc<Policy>,
    now: DateTime<Utc>,
    decisions: &[Decision],
) {
    let kept_at = |nth: usize, at| {
        let again = decide(instance, backups, holds, std::slice::from_ref(policy), at).remove(0);
        is_kept(&again[nth])
    };
    // Each answer costs several decisions more; the first few will do.
    let named = decisions
        .iter()
        .enumerate()
        .filter_map(|(nth, decision)| Some((nth, decision.expires_at?)));
    for (nth, at) in named.take(6) {
        let id = &backups[decisions[nth].backup].id;
        assert!(
            !kept_at(nth, at.max(now) + TimeDelta::seconds(1)),
            "{id} is still there after {at}; {policy:#?}"
        );
        for part in 1..=4 {
            let sooner = now + (at - now) * part / 4 - TimeDelta::seconds(1);
            if sooner > now {
                assert!(
                    kept_at(nth, sooner),
                    "{id} goes at {sooner} already, not at {at}; {policy:#?}"
                );
            }
        }
    }
}

/// Plans, approvals, clocks and freezes from a tape: whatever the guard lets pass keeps every limit.
pub fn guard(data: &[u8]) {
    let tape = &mut Tape::new(data);
    let now = moment(tape);
    let freeze = tape.once_in(16).then(|| Freezes {
        longest: Freeze {
            reason: "audit".to_owned(),
            until: None,
        },
        sources: FreezeSources::default(),
    });
    let clocks: BTreeMap<_, _> = (0..tape.below(4))
        .map(|nth| {
            let check = match tape.below(8) {
                0 => ClockCheck::NoDate,
                _ => ClockCheck::Skew(TimeDelta::seconds(i64::from(tape.byte()) * 3 - 384)),
            };
            (format!("project{nth}").as_str().into(), check)
        })
        .collect();
    let approved: HashSet<BackupId> = (0..tape.below(64)).map(|_| id(tape)).collect();
    let conditions = Conditions {
        now,
        freeze: freeze.as_ref(),
        clocks: &clocks,
        approved: &approved,
    };
    let plans: Vec<Plan> = (0..=tape.below(3)).map(|nth| plan(tape, nth)).collect();
    let mut passed = Vec::new();
    for plan in plans {
        let whole = plan.clone();
        let approval = plan.approve(&conditions);
        check_approval(&whole, &approval.plan, &conditions);
        let all: usize = whole.instances().iter().map(|instance| instance.due.len()).sum();
        let is_short = approval.plan.due().len() < all;
        let drained = whole.policy().limits.over_limit == OverLimit::OldestFirst;
        assert!(
            !is_short || drained || !approval.refusals.is_empty(),
            "held back without a word"
        );
        for refusal in &approval.refusals {
            assert!(super::Refusal::LIMITS.contains(&refusal.limit()) && !refusal.to_string().is_empty());
        }
        passed.push(approval.plan);
    }
    check_batches(passed);
}

fn id(tape: &mut Tape<'_>) -> BackupId {
    format!("b{}", tape.byte()).into()
}

fn plan(tape: &mut Tape<'_>, nth: u8) -> Plan {
    let mut policy = policy(tape, nth);
    policy.limits = Limits {
        max_deletions: NonZeroU32::new(1 + u32::from(tape.below(80))).unwrap_or(NonZeroU32::MIN),
        max_percent: 1 + tape.below(100),
        over_limit: if tape.once_in(2) {
            OverLimit::OldestFirst
        } else {
            OverLimit::Refuse
        },
        ..Limits::default()
    };
    policy.require_backup_within = tape.once_in(4).then(|| span(tape));
    let mut plan = Plan::new(Arc::new(policy));
    for nth in 0..tape.below(6) {
        let project = format!("project{}", tape.below(4));
        let instance = Arc::new(Instance {
            project: project.as_str().into(),
            ..instance(&format!("i{nth}in04"), InstanceLife::Listed)
        });
        let due: Vec<Candidate> = (0..tape.below(70))
            .map(|_| Candidate {
                instance: Arc::clone(&instance),
                id: id(tape),
                name: "n".into(),
                begin: DateTime::from_timestamp(i64::from(tape.byte()) * 3_600, 0).unwrap_or_default(),
                size_bytes: 1,
                status: BackupStatus::Completed,
                reason: ExpireReason::NotKept,
            })
            .collect();
        plan.add(InstanceDue {
            instance,
            counted: due.len() + usize::from(tape.byte()),
            newest_recovery_point: tape.once_in(2).then(|| moment(tape)),
            due,
        });
    }
    plan
}

fn check_approval(whole: &Plan, approved: &ApprovedPlan, conditions: &Conditions<'_>) {
    let policy = whole.policy();
    assert!(conditions.freeze.is_none() || approved.due().is_empty(), "frozen");
    assert!(
        approved
            .due()
            .is_sorted_by_key(|candidate| (candidate.begin, candidate.id.clone()))
    );
    let faces_limits = |candidate: &&Candidate| !conditions.approved.contains(&candidate.id);
    let facing = approved.due().iter().filter(faces_limits).count();
    assert!(
        facing <= policy.limits.max_deletions.get() as usize,
        "more than max_deletions"
    );
    for instance in whole.instances() {
        let of_it = |candidate: &&Candidate| candidate.instance.id == instance.instance.id;
        let sent: Vec<&Candidate> = approved.due().iter().filter(of_it).collect();
        if sent.is_empty() {
            continue;
        }
        let clock = conditions.clocks.get(&instance.instance.project);
        assert!(clock.is_some_and(|clock| clock.is_good()), "an unchecked clock");
        let recent = |within: &Span| match (
            within.before(conditions.now, policy.zone),
            instance.newest_recovery_point,
        ) {
            (_, None) => false,
            (edge, Some(newest)) => edge.is_none_or(|edge| newest >= edge),
        };
        assert!(
            policy.require_backup_within.as_ref().is_none_or(recent),
            "no recent backup"
        );
        let limited = |candidate: &&Candidate| candidate.reason.is_limited();
        let facing = sent.iter().copied().filter(faces_limits).filter(limited).count();
        let percent = usize::from(policy.limits.max_percent);
        assert!(
            facing <= 5 || facing * 100 <= percent * instance.counted,
            "more than max_percent"
        );
        for candidate in sent {
            assert!(instance.due.contains(candidate), "not in the plan");
        }
    }
}

fn check_batches(passed: Vec<ApprovedPlan>) {
    let expected: BTreeSet<BackupId> = passed
        .iter()
        .flat_map(ApprovedPlan::due)
        .map(|due| due.id.clone())
        .collect();
    let batches = ApprovedPlan::batches(passed).into_iter().flatten().collect::<Vec<_>>();
    let mut sent = BTreeSet::new();
    for batch in &batches {
        assert!(!batch.is_empty() && batch.len() <= Batch::LIMIT);
        assert!(
            batch
                .items()
                .is_sorted_by_key(|item| (item.candidate.begin, item.candidate.id.clone()))
        );
        for item in batch.items() {
            assert_eq!(item.candidate.instance.project, *batch.project());
            assert!(sent.insert(item.candidate.id.clone()), "sent twice");
        }
    }
    assert_eq!(sent, expected);
    for batch in batches {
        let ids: Vec<BackupId> = batch.ids().cloned().collect();
        match batch.split() {
            Ok((first, second)) => assert!(first.ids().chain(second.ids()).eq(&ids)),
            Err(one) => assert_eq!(one.len(), 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without a fuzzer the targets are properties on random tapes.
    fn tapes(count: u64, target: fn(&[u8])) {
        for seed in 0..count {
            let mut random = fastrand::Rng::with_seed(seed);
            let tape: Vec<u8> = (0..random.usize(20..900)).map(|_| random.u8(..)).collect();
            target(&tape);
        }
    }

    #[test]
    fn the_decision_is_the_oracles_on_random_tapes() {
        tapes(200, decision);
    }

    #[test]
    fn the_guard_keeps_every_limit_on_random_tapes() {
        tapes(600, guard);
    }

    #[test]
    fn spans_are_subtracted_as_the_oracle_does_on_random_tapes() {
        tapes(1_000, |tape| {
            let text = span(&mut Tape::new(&tape[8..])).to_string();
            spans(&[&tape[..8], text.as_bytes()].concat());
        });
    }
}
