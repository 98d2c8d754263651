//! Floor and holds in every small world: all fleets of up to six backups on a grid of times, one or two policies, up to two holds.
//!
//! Not sampled, so what is claimed below has no exception of this size. Most mistakes in counting show with two or three backups.

use std::num::NonZeroU32;
use std::thread;

use super::super::oracle::oracle;
use super::super::{BackupStatus, Databases, HoldTarget, KeepRule, Period, Span};
use super::tests::{backup, count, instance, policy, span, utc};
use super::*;

const NOW: &str = "2026-11-23T12:00:00Z";
/// Two of a day, one of a week before, one beyond every span.
const TIMES: [&str; 4] = [
    "2026-11-22T18:00:00Z",
    "2026-11-22T06:00:00Z",
    "2026-11-15T06:00:00Z",
    "2026-08-01T06:00:00Z",
];

/// What a backup is: a full one, one of a single database, or one that failed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Sort {
    Full,
    Partial,
    Failed,
}

fn made(nth: usize, time: &str, sort: Sort) -> Backup {
    let base = backup(&format!("b{nth}"), time);
    match sort {
        Sort::Full => base,
        Sort::Partial => Backup {
            databases: Databases::from_names(["sales"]),
            ..base
        },
        Sort::Failed => Backup {
            status: BackupStatus::Failed,
            ..base
        },
    }
}

/// Calls `visit` with every fleet of up to `most` backups that begins with this one; their order in the listing does not matter.
fn fleets(kinds: &[(&str, Sort)], first: usize, most: usize, visit: &mut dyn FnMut(&[Backup])) {
    let mut chosen = vec![first];
    loop {
        let backups: Vec<Backup> = chosen
            .iter()
            .enumerate()
            .map(|(nth, kind)| made(nth, kinds[*kind].0, kinds[*kind].1))
            .collect();
        visit(&backups);
        if chosen.len() < most {
            chosen.push(chosen[chosen.len() - 1]);
            continue;
        }
        while chosen.len() > 1 && chosen[chosen.len() - 1] + 1 == kinds.len() {
            chosen.pop();
        }
        if chosen.len() == 1 {
            return;
        }
        let last = chosen.len() - 1;
        chosen[last] += 1;
    }
}

fn policies() -> Vec<Vec<Arc<Policy>>> {
    let short = Policy {
        max_age: Some(span("2d")),
        failed_after: Span::ZERO,
        ..policy(&[KeepRule::Last(count(1))])
    };
    let floor = Policy {
        min_backups: NonZeroU32::new(2).unwrap(),
        max_age: Some(Span::hours(1)),
        ..policy(&[KeepRule::Counted(Period::Day, count(2))])
    };
    let within = policy(&[KeepRule::Within(span("7d"))]);
    let [short, floor, within] = [short, floor, within].map(Arc::new);
    vec![
        vec![Arc::clone(&short)],
        vec![Arc::clone(&floor)],
        vec![Arc::clone(&short), within],
        vec![short, floor],
    ]
}

fn hold(backup: &Backup, until: Option<&str>) -> Hold {
    Hold {
        id: None,
        target: HoldTarget::Backup(backup.id.clone()),
        reason: "case 4711".to_owned(),
        owner: None,
        until: until.map(utc),
    }
}

/// Of each policy: whether it keeps each backup.
fn kept(backups: &[Backup], holds: &[Hold], policies: &[Arc<Policy>]) -> Vec<Vec<bool>> {
    let decided = decide(&instance(), backups, holds, policies, utc(NOW));
    let of_policy = |decisions: Vec<Decision>| {
        let mut kept = vec![true; backups.len()];
        for decision in decisions {
            kept[decision.backup] = matches!(decision.verdict, Verdict::Keep(_));
        }
        kept
    };
    decided.into_iter().map(of_policy).collect()
}

/// The contract's sentence on the floor: the newest `min_backups` COMPLETED backups of every series stay. Held ones are not counted.
fn check_floor(backups: &[Backup], holds: &[Hold], policy: &Policy, kept: &[bool]) {
    let is_held = |backup: &Backup| {
        holds
            .iter()
            .any(|hold| hold.covers(&instance(), backup) && hold.is_active(utc(NOW)))
    };
    let counted = |backup: &Backup| backup.status == BackupStatus::Completed && !is_held(backup);
    for of_sales in [false, true] {
        let mut series: Vec<usize> = (0..backups.len())
            .filter(|nth| counted(&backups[*nth]) && (of_sales || backups[*nth].databases == Databases::All))
            .collect();
        series.sort_by_key(|nth| (std::cmp::Reverse(backups[*nth].begin), &backups[*nth].id));
        for nth in series.into_iter().take(policy.min_backups.get() as usize) {
            assert!(
                kept[nth],
                "below the floor: {} of {backups:?} with {holds:?}",
                backups[nth].id
            );
        }
    }
}

/// What a world must fulfil, by what each policy keeps in it; how many backups may go.
fn check(
    backups: &[Backup],
    holds: &[Hold],
    policies: &[Arc<Policy>],
    found: &[Vec<bool>],
    without: &[Vec<bool>],
) -> usize {
    for (policy, kept) in policies.iter().zip(found) {
        check_floor(backups, holds, policy, kept);
        assert_eq!(
            *kept, found[0],
            "one policy that keeps it is enough: {backups:?} {holds:?}"
        );
    }
    for (nth, backup) in backups.iter().enumerate() {
        if holds
            .iter()
            .any(|hold| hold.covers(&instance(), backup) && hold.is_active(utc(NOW)))
        {
            assert!(found[0][nth], "held and not kept: {} of {backups:?}", backup.id);
        }
        assert!(
            found[0][nth] || !without[0][nth],
            "a hold let {} go: {backups:?} {holds:?}",
            backup.id
        );
    }
    found[0].iter().filter(|kept| !**kept).count()
}

/// All worlds with fleets of up to `most` at these times; `check_one` sees each fleet under each list of policies and says how many
/// worlds it made of it, and how many backups go in them. The sums.
fn worlds(
    times: &[&str],
    most: usize,
    check_one: impl Fn(&[Backup], &[Arc<Policy>]) -> (usize, usize) + Sync,
) -> (usize, usize) {
    let policies = policies();
    let sorts = [Sort::Full, Sort::Partial, Sort::Failed];
    let kinds: Vec<(&str, Sort)> = times.iter().flat_map(|time| sorts.map(|sort| (*time, sort))).collect();
    let of_first = &|first| {
        let mut sum = (0, 0);
        fleets(&kinds, first, most, &mut |backups| {
            for policies in &policies {
                let (worlds, gone) = check_one(backups, policies);
                sum = (sum.0 + worlds, sum.1 + gone);
            }
        });
        sum
    };
    let sums = thread::scope(|scope| {
        let threads: Vec<_> = (0..kinds.len())
            .map(|first| scope.spawn(move || of_first(first)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect::<Vec<_>>()
    });
    sums.into_iter().fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1))
}

#[test]
fn in_every_world_of_up_to_six_backups_the_floor_stays_and_one_hold_holds() {
    let (worlds, gone) = worlds(&TIMES[..3], 6, |backups, policies| {
        let without = kept(backups, &[], policies);
        let gone = check(backups, &[], policies, &without, &without);
        // One of the backups, in another world another one.
        let held = without[0].iter().filter(|kept| **kept).count() % backups.len();
        let holds = [hold(&backups[held], None)];
        let found = kept(backups, &holds, policies);
        (2, gone + check(backups, &holds, policies, &found, &without))
    });
    assert!(worlds > 30_000 && gone > worlds / 4, "{worlds} worlds, {gone} go");
}

#[test]
fn in_every_world_of_up_to_three_backups_and_two_holds_the_oracle_agrees() {
    let later = Some("2026-11-23T12:00:01Z");
    let (worlds, gone) = worlds(&TIMES, 3, |backups, policies| {
        let without = kept(backups, &[], policies);
        let refs: Vec<&Policy> = policies.iter().map(|policy| &**policy).collect();
        let (mut worlds, mut gone) = (0, 0);
        for first in 0..backups.len() {
            for second in first..backups.len() {
                // In force for a second, ended at this very instant, and endless.
                for (one, other) in [(later, None), (Some(NOW), later), (Some(NOW), Some(NOW))] {
                    let holds = [hold(&backups[first], one), hold(&backups[second], other)];
                    let found = kept(backups, &holds, policies);
                    gone += check(backups, &holds, policies, &found, &without);
                    worlds += 1;
                    let said = oracle(&instance(), backups, &holds, &refs, utc(NOW)).into_iter();
                    let said: Vec<Vec<bool>> = said
                        .map(|of| of.into_iter().map(|kept| kept == Some(true)).collect())
                        .collect();
                    assert_eq!(found, said, "{backups:?} {holds:?}");
                    if (one, other) == (Some(NOW), Some(NOW)) {
                        assert_eq!(found, without, "a hold that has ended");
                    }
                }
            }
        }
        (worlds, gone)
    });
    assert!(worlds > 10_000 && gone > worlds / 4, "{worlds} worlds, {gone} go");
}
