//! Properties of the decision on random policies and backups, and its agreement with the slow oracle.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::LazyLock;

use chrono::{Datelike, TimeDelta, Timelike};
use proptest::prelude::*;

use super::super::oracle::{label, minus, oracle};
use super::super::*;
use super::tests::{backup, count, fates, instance, kept, partial, policy, span, utc};
use super::*;

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

static ZONES: LazyLock<Vec<Zone>> = LazyLock::new(|| {
    let names = [
        "Europe/Berlin",
        "Asia/Kolkata",
        "Australia/Lord_Howe",
        "America/St_Johns",
        "Asia/Singapore",
        "America/Asuncion",
        "Africa/Cairo",
    ];
    names.map(Zone::of).into_iter().chain([Zone::UTC]).collect()
});

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
        let expected = oracle(&instance(), &backups, &[], &[&policy], utc(NOW)).remove(0);
        let expected: BTreeSet<String> = (backups.iter().zip(expected))
            .filter(|(_, kept)| *kept == Some(true))
            .map(|(backup, _)| backup.id.to_string())
            .collect();
        prop_assert_eq!(kept_ids(&policy, &backups, utc(NOW)), expected);
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
    assert_eq!(
        label(&b, Period::Hour, Zone::of("Europe/Berlin")).unwrap(),
        "2026-10-25 02 +02:00:00"
    );
    assert_eq!(label(&b, Period::Week, Zone::UTC).unwrap(), "2026-W43");
    assert_eq!(
        minus(utc("2026-03-31T10:00:00Z"), &span("1mo"), Zone::UTC)
            .unwrap()
            .day(),
        28
    );
    let gap = minus(utc("2026-03-30T00:30:00Z"), &span("1d"), Zone::of("Europe/Berlin")).unwrap();
    assert_eq!(gap.hour(), 0);
}
