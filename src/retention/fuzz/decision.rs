//! The decision: what the oracle says, and what must hold of every one.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::super::oracle::oracle;
use super::super::{
    Backup, BackupKind, BackupStatus, Decision, DeletedInstances, Engine, Hold, Instance, InstanceLife, Policy,
    Verdict, decide,
};
use super::{Tape, backup, hold, instance, moment, policy};

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
