//! A slow oracle of the decision, written another way: for tests and fuzzing only.
//!
//! Written from the contract's sentences (section 2), with text keys for buckets, one backup and one rule at a time, no
//! shared state and no early end. Whoever mends `decide` does not look here, and the other way round.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Datelike, NaiveDate, Offset, TimeDelta, TimeZone, Utc};

use super::policy::Count;
use super::{
    Backup, BackupKind, BackupStatus, Databases, DeletedInstances, Hold, Instance, InstanceLife, KeepRule, Period,
    Policy, Span, Zone,
};

/// For each policy the fate of every backup, in the order given: kept, gone, or (`None`) not in its scope.
pub fn oracle(
    instance: &Instance,
    backups: &[Backup],
    holds: &[Hold],
    policies: &[&Policy],
    now: DateTime<Utc>,
) -> Vec<Vec<Option<bool>>> {
    let mut all: Vec<Vec<Option<bool>>> = policies
        .iter()
        .map(|policy| {
            let kept = kept_alone(policy, instance, backups, holds, now);
            let fate = |backup: &Backup| in_scope(policy, backup).then(|| kept.contains(backup.id.as_str()));
            backups.iter().map(fate).collect()
        })
        .collect();
    // One policy that keeps is enough.
    for nth in 0..backups.len() {
        if all.iter().any(|fates| fates[nth] == Some(true)) {
            for fates in &mut all {
                fates[nth] = fates[nth].map(|_| true);
            }
        }
    }
    all
}

fn in_scope(policy: &Policy, backup: &Backup) -> bool {
    let automated = [BackupKind::Auto, BackupKind::Fragment, BackupKind::Incremental];
    !automated.contains(&backup.kind) && policy.select.takes_backup(backup)
}

/// Whether the rules are about a backup at all.
fn counts(policy: &Policy, instance: &Instance, backup: &Backup, holds: &[Hold], now: DateTime<Utc>) -> bool {
    backup.kind == BackupKind::Manual
        && backup.engine == instance.engine
        && policy.select.engines.contains(&instance.engine)
        && backup.databases.is_known()
        && [BackupStatus::Completed, BackupStatus::Failed].contains(&backup.status)
        && backup.doubt.is_none()
        && is_plausible(backup)
        && backup.begin.is_some_and(|begin| begin <= now + TimeDelta::minutes(5))
        && !policy.keep.names().iter().any(|glob| glob.matches(&backup.name))
        && !holds
            .iter()
            .any(|hold| hold.covers(instance, backup) && hold.until.is_none_or(|end| end > now))
}

/// The ids that one policy keeps, asked alone.
fn kept_alone(
    policy: &Policy,
    instance: &Instance,
    backups: &[Backup],
    holds: &[Hold],
    now: DateTime<Utc>,
) -> BTreeSet<String> {
    let zone = policy.zone;
    let scope: Vec<&Backup> = backups.iter().filter(|backup| in_scope(policy, backup)).collect();
    let counts = |backup: &&Backup| counts(policy, instance, backup, holds, now);
    let counted: Vec<&Backup> = scope.iter().copied().filter(counts).collect();
    let mut completed = counted.clone();
    completed.retain(|backup| backup.status == BackupStatus::Completed);
    let uncounted = scope
        .iter()
        .filter(|backup| !counted.iter().any(|other| other.id == backup.id));
    let mut kept: BTreeSet<String> = uncounted.map(|backup| backup.id.as_str().to_owned()).collect();
    if let (InstanceLife::Deleted { missed_since }, DeletedInstances::ExpireAfter(span)) =
        (instance.life, policy.select.deleted_instances)
    {
        // All of it or nothing of it.
        if minus(now, &span, zone).is_none_or(|edge| missed_since >= edge) {
            kept.extend(counted.iter().map(|backup| backup.id.as_str().to_owned()));
        }
        return kept;
    }
    for failed in counted.iter().filter(|backup| backup.status == BackupStatus::Failed) {
        let newer = completed.iter().any(|other| other.begin > failed.begin);
        let old = minus(now, &policy.failed_after, zone).is_some_and(|edge| failed.begin < Some(edge));
        if !(newer && old) {
            kept.insert(failed.id.as_str().to_owned());
        }
    }
    let mut series: BTreeSet<Option<String>> = BTreeSet::from([None]);
    for backup in &completed {
        if let Databases::Named(own) = &backup.databases {
            series.extend(own.iter().map(|name| Some(name.to_string())));
        }
    }
    for series in series {
        let belongs = |backup: &&Backup| match &backup.databases {
            Databases::Named(own) => series.as_ref().is_some_and(|name| own.iter().any(|n| **n == **name)),
            _ => true,
        };
        let members: Vec<&Backup> = completed.iter().copied().filter(belongs).collect();
        for backup in &members {
            let too_old = policy
                .max_age
                .and_then(|age| minus(now, &age, zone))
                .is_some_and(|edge| backup.begin < Some(edge));
            let mut rules = policy.keep.rules().iter();
            let by_rule = rules.any(|rule| keeps(*rule, zone, backup, &members));
            let newer = members.iter().filter(|other| is_newer(other, backup)).count();
            if (by_rule && !too_old) || newer < policy.min_backups.get() as usize {
                kept.insert(backup.id.as_str().to_owned());
            }
        }
    }
    kept
}

/// Not before 2010, not ended before it began nor more than a week later.
fn is_plausible(backup: &Backup) -> bool {
    let seconds = |at: DateTime<Utc>| at.timestamp();
    backup.begin.is_some_and(|begin| {
        let ended_well = backup.end.is_none_or(|end| {
            begin <= end && (seconds(end) - seconds(begin) < 7 * 86_400 || end - begin == TimeDelta::days(7))
        });
        seconds(begin) >= 1_262_304_000 && ended_well
    })
}

fn is_newer(a: &Backup, b: &Backup) -> bool {
    a.begin > b.begin || (a.begin == b.begin && a.id < b.id)
}

/// Whether one rule keeps one backup of a series.
fn keeps(rule: KeepRule, zone: Zone, backup: &Backup, members: &[&Backup]) -> bool {
    let newest = members.iter().filter_map(|member| member.begin).max();
    let inside = |span: &Span| {
        let edge = newest.and_then(|newest| minus(newest, span, zone));
        edge.is_none_or(|edge| backup.begin > Some(edge))
    };
    // The leader of a bucket is the newest with that label; with no period everybody leads alone.
    let leads = |of: &Backup, period: Option<Period>| {
        period.is_none_or(|period| {
            !members
                .iter()
                .any(|other| is_newer(other, of) && label(other, period, zone) == label(of, period, zone))
        })
    };
    let is_oldest = !members.iter().any(|other| is_newer(backup, other));
    let (period, limit, span) = match rule {
        KeepRule::Last(count) => (None, Some(count), None),
        KeepRule::Counted(period, count) => (Some(period), Some(count), None),
        KeepRule::Within(span) => (None, None, Some(span)),
        KeepRule::WithinPeriod(period, span) => (Some(period), None, Some(span)),
    };
    if span.is_some_and(|span| !inside(&span)) || !(leads(backup, period) || is_oldest) {
        return false;
    }
    let mut before = members.iter().filter(|other| is_newer(other, backup));
    match limit {
        Some(Count::AtMost(most)) => before.by_ref().filter(|other| leads(other, period)).count() < most.get() as usize,
        _ => true,
    }
}

/// The bucket of a backup, as text.
pub fn label(backup: &Backup, period: Period, zone: Zone) -> Option<String> {
    let local = backup.begin?.with_timezone(&zone);
    Some(match period {
        // The offset in the label tells the two passes of a repeated hour apart.
        Period::Hour => local.format("%Y-%m-%d %H %::z").to_string(),
        Period::Day => local.format("%Y-%m-%d").to_string(),
        Period::Week => local.format("%G-W%V").to_string(),
        Period::Month => local.format("%Y-%m").to_string(),
        Period::Quarter => format!("{}-Q{}", local.year(), local.month().div_ceil(3)),
        Period::Year => local.format("%Y").to_string(),
    })
}

/// Subtraction by search on the wall clock, instead of chrono's month arithmetic; `None` before the beginning of time.
pub fn minus(at: DateTime<Utc>, span: &Span, zone: Zone) -> Option<DateTime<Utc>> {
    let amounts = amounts(&span.to_string());
    let get = |unit: &str| amounts.get(unit).copied().unwrap_or(0);
    let (months, days) = (get("y") * 12 + get("mo"), get("w") * 7 + get("d"));
    let mut instant = at;
    if months + days > 0 {
        let local = at.with_timezone(&zone).naive_local();
        let total = i64::from(local.year()) * 12 + i64::from(local.month0()) - months;
        let year = i32::try_from(total.div_euclid(12)).ok()?;
        let month = u32::try_from(total.rem_euclid(12)).ok()? + 1;
        let date = (1..=local.day())
            .rev()
            .find_map(|day| NaiveDate::from_ymd_opt(year, month, day))?;
        let date = NaiveDate::from_num_days_from_ce_opt(date.num_days_from_ce() - i32::try_from(days).ok()?)?;
        let wall = date.and_time(local.time());
        // What the zone showed around that day is asked; the first instant that shows the time, else the gap's earlier one.
        let mut offsets: BTreeSet<i32> = BTreeSet::new();
        for day in -3..=3 {
            let near = wall.checked_add_signed(TimeDelta::days(day))?;
            offsets.insert(zone.offset_from_utc_datetime(&near).fix().local_minus_utc());
        }
        let candidates: Vec<DateTime<Utc>> = offsets
            .iter()
            .filter_map(|offset| wall.checked_sub_signed(TimeDelta::seconds(i64::from(*offset))))
            .map(|wall| wall.and_utc())
            .collect();
        let shows = |c: &&DateTime<Utc>| c.with_timezone(&zone).naive_local() == wall;
        instant = *candidates
            .iter()
            .filter(shows)
            .min()
            .or_else(|| candidates.iter().min())?;
    }
    instant.checked_sub_signed(TimeDelta::seconds(get("h") * 3600 + get("min") * 60 + get("s")))
}

/// `1y6mo` → y: 1, mo: 6.
fn amounts(text: &str) -> BTreeMap<String, i64> {
    let mut amounts: BTreeMap<String, i64> = BTreeMap::new();
    let (mut number, mut unit) = (String::new(), String::new());
    for c in text.chars().chain(['0']) {
        if c.is_ascii_digit() && !unit.is_empty() {
            let amount = std::mem::take(&mut number).parse().unwrap_or(0);
            amounts.insert(std::mem::take(&mut unit), amount);
        }
        if c.is_ascii_digit() {
            number.push(c);
        } else {
            unit.push(c);
        }
    }
    amounts
}
