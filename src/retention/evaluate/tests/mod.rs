//! The decision, case by case, against restic's golden cases; `oracle_tests` compares it with a slow oracle written another way.

mod age;
mod holds;
mod policies;
mod rules;
mod series;
mod untouched;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

use super::super::policy::{Limits, Mode, OverLimit, Selector};
use super::super::*;
use super::*;
pub(super) use crate::retention::fixtures::instance;

pub(super) fn utc(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

pub(super) fn span(text: &str) -> Span {
    Span::parse(text).unwrap()
}

pub(super) fn count(number: u32) -> Count {
    Count::AtMost(NonZeroU32::new(number).unwrap())
}

pub(super) fn backup(id: &str, begin: &str) -> Backup {
    Backup {
        id: id.into(),
        name: format!("name-{id}").into(),
        kind: BackupKind::Manual,
        engine: Engine::SqlServer,
        status: BackupStatus::Completed,
        begin: Some(utc(begin)),
        size_bytes: 1024,
        databases: Databases::All,
        end: None,
        doubt: None,
    }
}

pub(super) fn partial(id: &str, begin: &str, databases: &[&str]) -> Backup {
    Backup {
        databases: Databases::from_names(databases),
        ..backup(id, begin)
    }
}

fn failed(id: &str, begin: &str) -> Backup {
    Backup {
        status: BackupStatus::Failed,
        ..backup(id, begin)
    }
}

pub(super) fn policy(rules: &[KeepRule]) -> Policy {
    Policy {
        name: PolicyName::from("p"),
        mode: Mode::Enforce,
        zone: Zone::UTC,
        select: Selector::default(),
        keep: KeepRules::new(rules.to_vec(), Vec::new()).unwrap(),
        max_age: None,
        failed_after: span("7d"),
        min_backups: NonZeroU32::MIN,
        grace: Span::ZERO,
        require_backup_within: None,
        limits: Limits {
            over_limit: OverLimit::Refuse,
            ..Limits::default()
        },
    }
}

/// The decision of one policy, by backup id.
pub(super) fn fates(policy: &Policy, backups: &[Backup], holds: &[Hold], now: &str) -> BTreeMap<String, Decision> {
    fates_of(&instance(), policy, backups, holds, now)
}

fn fates_of(
    instance: &Instance,
    policy: &Policy,
    backups: &[Backup],
    holds: &[Hold],
    now: &str,
) -> BTreeMap<String, Decision> {
    let decisions = decide(instance, backups, holds, &[Arc::new(policy.clone())], utc(now)).remove(0);
    decisions
        .into_iter()
        .map(|decision| (backups[decision.backup].id.as_str().to_owned(), decision))
        .collect()
}

pub(super) fn kept(fates: &BTreeMap<String, Decision>) -> Vec<&str> {
    fates
        .iter()
        .filter(|(_, fate)| matches!(fate.verdict, Verdict::Keep(_)))
        .map(|(id, _)| id.as_str())
        .collect()
}

fn reasons(decision: &Decision) -> &[KeepReason] {
    match &decision.verdict {
        Verdict::Keep(reasons) => reasons,
        Verdict::Expire(reason) => panic!("expired: {reason:?}"),
    }
}

fn keepers(decision: &Decision) -> Vec<&KeptBy> {
    reasons(decision).iter().map(|reason| &reason.keeper).collect()
}

fn hold(target: HoldTarget, until: Option<&str>) -> Hold {
    Hold {
        id: None,
        target,
        reason: "case 4711".into(),
        owner: None,
        until: until.map(utc),
    }
}
