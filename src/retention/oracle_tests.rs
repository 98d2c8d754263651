//! A slow oracle of the decision, written another way, and properties, on random policies and backups.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

use chrono::{Datelike, Timelike};
use proptest::prelude::*;

use super::super::{HoldTarget, KeepRules, Period, Span};
use super::tests::{backup, count, fates, kept, partial, policy, span, utc};
use super::*;

/// What the oracle says: the kept ids. Written from the contract's sentences, with string keys for buckets, one backup
/// and one rule at a time, no shared state and no early end.
fn oracle(policy: &Policy, backups: &[Backup], now: DateTime<Utc>) -> BTreeSet<String> {
    let counted: Vec<&Backup> = backups
        .iter()
        .filter(|b| b.begin.unwrap() <= now + TimeDelta::minutes(5))
        .collect();
    let completed: Vec<&Backup> = counted
        .iter()
        .copied()
        .filter(|b| b.status == BackupStatus::Completed)
        .collect();
    let mut kept: BTreeSet<String> = BTreeSet::new();
    for b in backups {
        let id = b.id.as_str().to_owned();
        if !counted.contains(&b) {
            kept.insert(id);
        } else if b.status == BackupStatus::Failed {
            let newer = completed.iter().any(|other| other.begin > b.begin);
            let old = b.begin.unwrap() < minus(now, &policy.failed_after, policy.zone);
            if !(newer && old) {
                kept.insert(id);
            }
        }
    }
    let mut names: BTreeSet<Option<String>> = BTreeSet::from([None]);
    for b in &completed {
        if let Databases::Named(own) = &b.databases {
            names.extend(own.iter().map(|name| Some(name.to_string())));
        }
    }
    for series in names {
        let members: Vec<&Backup> = completed
            .iter()
            .copied()
            .filter(|b| match &b.databases {
                Databases::Named(own) => series.as_ref().is_some_and(|name| own.iter().any(|n| **n == **name)),
                _ => true,
            })
            .collect();
        for b in &members {
            let too_old = policy
                .max_age
                .is_some_and(|age| b.begin.unwrap() < minus(now, &age, policy.zone));
            let by_rule = policy
                .keep
                .rules()
                .iter()
                .any(|rule| oracle_rule(*rule, policy.zone, b, &members));
            let newer = members.iter().filter(|other| is_newer(other, b)).count();
            if (by_rule && !too_old) || newer < policy.min_backups.get() as usize {
                kept.insert(b.id.as_str().to_owned());
            }
        }
    }
    kept
}

fn is_newer(a: &Backup, b: &Backup) -> bool {
    a.begin > b.begin || (a.begin == b.begin && a.id < b.id)
}

fn oracle_rule(rule: KeepRule, zone: Tz, b: &Backup, members: &[&Backup]) -> bool {
    let newest = members.iter().map(|m| m.begin.unwrap()).max().unwrap();
    let inside = |m: &Backup, span: &Span| m.begin.unwrap() > minus(newest, span, zone);
    // The leader of a bucket is the newest with that label; with no period everybody leads alone.
    let leads = |m: &Backup, period: Option<Period>| {
        period.is_none_or(|p| {
            !members
                .iter()
                .any(|o| is_newer(o, m) && label(o, p, zone) == label(m, p, zone))
        })
    };
    let is_oldest = |m: &Backup| !members.iter().any(|other| is_newer(m, other));
    let (period, limit, span) = match rule {
        KeepRule::Last(count) => (None, Some(count), None),
        KeepRule::Counted(period, count) => (Some(period), Some(count), None),
        KeepRule::Within(span) => (None, None, Some(span)),
        KeepRule::WithinPeriod(period, span) => (Some(period), None, Some(span)),
    };
    if span.is_some_and(|span| !inside(b, &span)) || !(leads(b, period) || is_oldest(b)) {
        return false;
    }
    let leaders_before = members.iter().filter(|m| is_newer(m, b) && leads(m, period)).count();
    match limit {
        Some(Count::AtMost(most)) => leaders_before < most.get() as usize,
        _ => true,
    }
}

fn label(b: &Backup, period: Period, zone: Tz) -> String {
    let local = b.begin.unwrap().with_timezone(&zone);
    match period {
        // The offset in the label tells the two passes of a repeated hour apart.
        Period::Hour => local.format("%Y-%m-%d %H %z").to_string(),
        Period::Day => local.format("%Y-%m-%d").to_string(),
        Period::Week => local.format("%G-W%V").to_string(),
        Period::Month => local.format("%Y-%m").to_string(),
        Period::Quarter => format!("{}-Q{}", local.year(), local.month().div_ceil(3)),
        Period::Year => local.format("%Y").to_string(),
    }
}

/// Subtraction by search on the wall clock, a day at a time, instead of chrono's month arithmetic.
fn minus(at: DateTime<Utc>, span: &Span, zone: Tz) -> DateTime<Utc> {
    let text = span.to_string();
    let mut amounts: BTreeMap<String, i64> = BTreeMap::new();
    let mut number = String::new();
    let mut unit = String::new();
    for c in text.chars().chain(['0']) {
        if c.is_ascii_digit() && !unit.is_empty() {
            amounts.insert(std::mem::take(&mut unit), std::mem::take(&mut number).parse().unwrap());
        }
        if c.is_ascii_digit() {
            number.push(c);
        } else {
            unit.push(c);
        }
    }
    let get = |unit: &str| amounts.get(unit).copied().unwrap_or(0);
    let (months, days) = (get("y") * 12 + get("mo"), get("w") * 7 + get("d"));
    let mut instant = at;
    if months + days > 0 {
        let local = at.with_timezone(&zone).naive_local();
        let total = i64::from(local.year()) * 12 + i64::from(local.month0()) - months;
        let (year, month) = (
            i32::try_from(total.div_euclid(12)).unwrap(),
            u32::try_from(total.rem_euclid(12)).unwrap() + 1,
        );
        let date = (1..=local.day())
            .rev()
            .find_map(|day| chrono::NaiveDate::from_ymd_opt(year, month, day))
            .unwrap();
        let mut wall = date.and_time(local.time());
        for _ in 0..days {
            wall -= TimeDelta::hours(24);
        }
        // Every instant of three days around is asked what it shows; the first that shows it, else the gap's earlier one.
        let offsets: BTreeSet<i32> = (-3..=3)
            .map(|d| {
                zone.offset_from_utc_datetime(&(wall + TimeDelta::days(d)))
                    .fix()
                    .local_minus_utc()
            })
            .collect();
        let candidates: Vec<DateTime<Utc>> = offsets
            .iter()
            .map(|offset| (wall - TimeDelta::seconds(i64::from(*offset))).and_utc())
            .collect();
        let shows = |c: &&DateTime<Utc>| c.with_timezone(&zone).naive_local() == wall;
        instant = *candidates
            .iter()
            .filter(shows)
            .min()
            .or(candidates.iter().min())
            .unwrap();
    }
    instant - TimeDelta::seconds(get("h") * 3600 + get("min") * 60 + get("s"))
}

fn any_rule() -> impl Strategy<Value = KeepRule> {
    let count = prop_oneof![Just(Count::All), (1u32..6).prop_map(count)];
    let span = prop_oneof![
        (1u32..80).prop_map(Span::hours),
        (1u32..40).prop_map(Span::days),
        prop::sample::select(vec!["1mo", "1y", "3mo2d", "1w", "1mo3h"]).prop_map(span)
    ];
    let period = prop::sample::select(Period::ALL.to_vec());
    prop_oneof![
        count.clone().prop_map(KeepRule::Last),
        (period.clone(), count).prop_map(|(period, count)| KeepRule::Counted(period, count)),
        span.clone().prop_map(KeepRule::Within),
        (period, span).prop_map(|(period, span)| KeepRule::WithinPeriod(period, span)),
    ]
}

const ZONES: [Tz; 8] = [
    Tz::UTC,
    Tz::Europe__Berlin,
    Tz::Asia__Kolkata,
    Tz::Australia__Lord_Howe,
    Tz::America__St_Johns,
    Tz::Asia__Singapore,
    Tz::America__Asuncion,
    Tz::Africa__Cairo,
];

fn any_policy() -> impl Strategy<Value = Policy> {
    let rules = prop::collection::vec(any_rule(), 1..4);
    let age = prop::option::of((1u32..400).prop_map(Span::days));
    (rules, age, 1u32..4, prop::sample::select(ZONES.to_vec()), 0u32..20).prop_map(
        |(rules, max_age, floor, zone, failed)| Policy {
            max_age,
            zone,
            min_backups: NonZeroU32::new(floor).unwrap(),
            failed_after: Span::days(failed),
            ..policy(&rules)
        },
    )
}

fn any_backups() -> impl Strategy<Value = Vec<Backup>> {
    // Around the changes of the clock, tightly, and over two years, loosely.
    let anchors = prop::sample::select(vec![
        "2026-10-25T00:00:00Z",
        "2026-03-29T00:00:00Z",
        "2010-11-07T02:00:00Z",
        "2026-04-04T15:00:00Z",
        "2027-01-01T00:00:00Z",
    ]);
    let one = (
        anchors,
        prop_oneof![-7200i64..7200, -3_000_000i64..3_000_000, -60_000_000i64..60_000_000],
        0u8..12,
        0u8..10,
    );
    prop::collection::vec(one, 0..24).prop_map(|entries| {
        let make = |(nth, (anchor, delta, databases, status)): (usize, (&str, i64, u8, u8))| {
            let at = utc(anchor) + TimeDelta::seconds(delta);
            let databases: &[&str] = match databases {
                0 => &["sales"],
                1 => &["hr"],
                2 => &["hr", "sales"],
                _ => &[],
            };
            let base = partial(&format!("b{nth:02}"), &at.to_rfc3339(), databases);
            Backup {
                status: if status == 0 {
                    BackupStatus::Failed
                } else {
                    BackupStatus::Completed
                },
                ..base
            }
        };
        entries.into_iter().enumerate().map(make).collect()
    })
}

fn kept_ids(policy: &Policy, backups: &[Backup], now: DateTime<Utc>) -> BTreeSet<String> {
    kept(&fates(policy, backups, &[], &now.to_rfc3339()))
        .into_iter()
        .map(str::to_owned)
        .collect()
}

const NOW: &str = "2027-01-15T00:00:00Z";

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_the_slow_oracle(policy in any_policy(), backups in any_backups()) {
        prop_assert_eq!(kept_ids(&policy, &backups, utc(NOW)), oracle(&policy, &backups, utc(NOW)));
    }

    #[test]
    fn the_order_of_input_does_not_matter(policy in any_policy(), backups in any_backups(), seed in any::<u64>()) {
        let mut shuffled = backups.clone();
        fastrand::Rng::with_seed(seed).shuffle(&mut shuffled);
        let (a, b) = (fates(&policy, &backups, &[], NOW), fates(&policy, &shuffled, &[], NOW));
        for (id, fate) in &a {
            prop_assert_eq!(&fate.verdict, &b[id].verdict);
            prop_assert_eq!(fate.expires_at, b[id].expires_at);
        }
    }

    #[test]
    fn deciding_again_on_the_survivors_keeps_them_all(policy in any_policy(), backups in any_backups()) {
        // The `oldest` of a shorter list is another one, but it was a survivor already.
        let first = kept_ids(&policy, &backups, utc(NOW));
        let survivors: Vec<Backup> = backups.into_iter().filter(|b| first.contains(b.id.as_str())).collect();
        prop_assert_eq!(kept_ids(&policy, &survivors, utc(NOW)), first);
    }

    #[test]
    fn raising_a_number_never_deletes_more(policy in any_policy(), backups in any_backups(), by in 1u32..4) {
        let raise = |count| match count { Count::All => Count::All, Count::AtMost(n) => Count::AtMost(n.saturating_add(by)) };
        let rules = policy.keep.rules().iter().map(|rule| match *rule {
            KeepRule::Last(n) => KeepRule::Last(raise(n)),
            KeepRule::Counted(period, n) => KeepRule::Counted(period, raise(n)),
            within => within,
        });
        let raised = Policy { keep: KeepRules::new(rules.collect(), Vec::new()).unwrap(), min_backups: policy.min_backups.saturating_add(by), ..policy.clone() };
        prop_assert!(kept_ids(&raised, &backups, utc(NOW)).is_superset(&kept_ids(&policy, &backups, utc(NOW))));
    }

    #[test]
    fn floor_and_holds_are_never_broken(policy in any_policy(), backups in any_backups(), held in 0usize..24) {
        let hold = Hold { id: None, target: HoldTarget::Backup(format!("b{held:02}").as_str().into()), reason: "r".into(), owner: None, until: None };
        let found = fates(&policy, &backups, &[hold], NOW);
        let name = format!("b{held:02}");
        let survivors = kept(&found);
        prop_assert!(!found.contains_key(&name) || survivors.contains(&name.as_str()));
        let completed = |b: &&Backup| b.status == BackupStatus::Completed && b.databases == Databases::All && b.id.as_str() != name;
        let there = backups.iter().filter(completed).count();
        let left = backups.iter().filter(completed).filter(|b| survivors.contains(&b.id.as_str())).count();
        prop_assert!(left >= there.min(policy.min_backups.get() as usize));
    }

    #[test]
    fn expires_at_is_when_it_expires(policy in any_policy(), backups in any_backups(), held in 0usize..24, days in 1i64..400) {
        let until = utc(NOW) + TimeDelta::days(days);
        let hold = [Hold { id: None, target: HoldTarget::Backup(format!("b{held:02}").as_str().into()), reason: "r".into(), owner: None, until: Some(until) }];
        for (id, fate) in fates(&policy, &backups, &hold, NOW) {
            if let (Verdict::Keep(_), Some(at)) = (&fate.verdict, fate.expires_at) {
                prop_assert!(at >= utc(NOW) - TimeDelta::days(1));
                let after = fates(&policy, &backups, &hold, &(at + TimeDelta::seconds(1)).to_rfc3339());
                prop_assert!(matches!(after[&id].verdict, Verdict::Expire(_)), "{} at {}", id, at);
                if at > utc(NOW) + TimeDelta::seconds(2) {
                    let before = fates(&policy, &backups, &hold, &(at - TimeDelta::seconds(1)).to_rfc3339());
                    prop_assert!(matches!(before[&id].verdict, Verdict::Keep(_)), "{} before {}", id, at);
                }
            }
        }
    }
}

#[test]
fn the_oracle_itself_knows_a_bucket_from_another() {
    // A check on the checker: if `label` were wrong for hours, the property above could pass by agreement.
    let b = backup("a", "2026-10-25T00:30:00Z");
    assert_eq!(label(&b, Period::Hour, Tz::Europe__Berlin), "2026-10-25 02 +0200");
    assert_eq!(label(&b, Period::Week, Tz::UTC), "2026-W43");
    assert_eq!(minus(utc("2026-03-31T10:00:00Z"), &span("1mo"), Tz::UTC).day(), 28);
    assert_eq!(
        minus(utc("2026-03-30T00:30:00Z"), &span("1d"), Tz::Europe__Berlin).hour(),
        0
    );
}
