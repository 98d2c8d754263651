//! Backups that a forecast assumes will be made: which, at what pace, and what they push out.

use std::collections::BTreeMap;

use super::super::fixtures::instance;
use super::super::policy::Count;
use super::super::weeks::{Week, Weeks};
use super::super::{KeepRule, KeepRules, Pattern, Period};
use super::tests::{World, at_most, backup, every, named, policy, utc, world_of};
use super::*;

#[test]
fn assumed_backups_push_the_others_out_and_weeks_add_up() {
    let from = utc("2026-11-23T12:00:00Z");
    let world = World {
        backups: (0..4)
            .map(|day| backup(&format!("b{day}"), from - TimeDelta::days(day)))
            .collect(),
        holds: Vec::new(),
        policies: vec![Arc::new(policy(
            "p",
            &[KeepRule::Counted(Period::Day, at_most(4))],
            "0s",
        ))],
        runs: vec![every(from, 24, 14)],
        from,
        until: from + TimeDelta::days(14),
        every: Some(TimeDelta::hours(24)),
    };
    let futures = world.forecast();
    assert_eq!(futures.len(), 4 + 14);
    let mut weeks = Weeks::new(world.from, world.until);
    for future in &futures {
        weeks.add(future);
    }
    let (now, weeks) = weeks.close();
    assert_eq!((now.count, weeks.len()), (4, 2));
    let of = |week: &Week| (week.came.count, week.went.count, week.left.count, week.left.bytes);
    // The seventh day's run belongs to the second week, the last one to the last.
    assert_eq!(of(&weeks[0]), (6, 6, 4, 4096));
    assert_eq!(of(&weeks[1]), (8, 8, 4, 4096));
}

#[test]
fn assumed_backups_are_like_the_newest_good_one() {
    let from = utc("2026-11-23T12:00:00Z");
    let sized = |id: &str, minutes: i64, size_bytes| Backup {
        size_bytes,
        ..backup(id, from - TimeDelta::minutes(minutes))
    };
    let mut selective = policy("p", &[KeepRule::Last(Count::All)], "0s");
    selective.select.exclude_backup_names = vec![Pattern::parse("name-out").unwrap()];
    let mut world = World {
        backups: vec![
            sized("older", 600, 1),
            sized("good", 300, 7),
            Backup {
                status: BackupStatus::Failed,
                ..sized("failed", 240, 100)
            },
            Backup {
                databases: Databases::from_names(["a"]),
                ..sized("partial", 180, 200)
            },
            sized("out", 120, 300),
            sized("ahead", -60, 400),
        ],
        holds: Vec::new(),
        policies: vec![Arc::new(selective)],
        runs: vec![every(from, 24, 3)],
        from,
        until: from + TimeDelta::days(3),
        every: Some(TimeDelta::hours(24)),
    };
    let assumed = |world: &World| -> Vec<(DateTime<Utc>, u64)> {
        let futures = world.forecast().into_iter().filter(|future| future.assumed);
        futures
            .map(|future| (future.backup.begin.unwrap(), future.backup.size_bytes))
            .collect()
    };
    let days_after = |minutes: i64| (1..=3).map(move |day| from - TimeDelta::minutes(minutes) + TimeDelta::days(day));
    assert_eq!(assumed(&world), days_after(300).map(|at| (at, 7)).collect::<Vec<_>>());
    // Made a minute ago, or by a clock that is a little ahead: it is the newest.
    for minutes in [1, -4] {
        world.backups[1] = sized("good", minutes, 7);
        let first = if minutes > 0 { days_after(1) } else { days_after(-4) }.map(|at| (at, 7));
        let until = world.from + TimeDelta::days(3);
        let wanted: Vec<_> = first.filter(|(at, _)| *at <= until).collect();
        assert_eq!(assumed(&world), wanted, "{minutes}");
    }
    // No distance, no end: none is assumed.
    world.every = Some(TimeDelta::zero());
    let instance = instance();
    let none = HashMap::new();
    let input = ForecastInput {
        instance: &instance,
        backups: &world.backups,
        holds: &[],
        policies: &world.policies,
        runs: &[&world.runs[0]],
        grace: &[&none],
        from,
        until: world.until,
        every: world.every,
    };
    assert_eq!(Arrivals::after(&input).next(), None);
}

/// Of the assumed ones, how many there are of each name without its number; and how many stay.
fn assumed_by_name(world: &World) -> (BTreeMap<String, usize>, usize) {
    let assumed: Vec<Future> = world.forecast().into_iter().filter(|future| future.assumed).collect();
    let mut names = BTreeMap::new();
    for future in &assumed {
        let name = future.backup.name.rsplit_once('-').unwrap().0.to_owned();
        *names.entry(name).or_default() += 1;
    }
    (
        names,
        assumed.iter().filter(|future| future.departure.is_none()).count(),
    )
}

fn protecting_releases() -> Policy {
    let names = vec![Pattern::parse("release-*").unwrap()];
    Policy {
        keep: KeepRules::new(vec![KeepRule::Last(at_most(3))], names).unwrap(),
        ..policy("p", &[KeepRule::Last(at_most(3))], "0s")
    }
}

#[test]
fn a_protected_newest_backup_makes_no_stream_that_never_ends() {
    let (hour, day) = (TimeDelta::hours(1), TimeDelta::days(1));
    let expected = (BTreeMap::from([("nightly".to_owned(), 60)]), 3);
    // One release among the nightlies; three nightlies left beside all the releases that ever were; two of the one, one of the
    // other; and one of each.
    for (nightlies, releases, apart) in [(8, 1, day), (3, 9, day * 30), (2, 1, day), (1, 1, day)] {
        let mut backups = named("nightly", nightlies, hour * 10, day);
        backups.extend(named("release", releases, hour, apart));
        let world = world_of(&[protecting_releases()], backups, 60);
        assert_eq!(assumed_by_name(&world), expected, "{nightlies} {releases}");
    }
    // The twin: where nothing but releases is made, releases come, and stay.
    let world = world_of(&[protecting_releases()], named("release", 9, hour, day), 60);
    assert_eq!(
        assumed_by_name(&world),
        (BTreeMap::from([("release".to_owned(), 60)]), 60)
    );
}

#[test]
fn each_policy_s_stream_goes_on_at_its_own_pace() {
    let (hour, day) = (TimeDelta::hours(1), TimeDelta::days(1));
    let of = |name: &str, glob: &str, keep: u32| {
        let mut policy = policy(name, &[KeepRule::Last(at_most(keep))], "0s");
        policy.select.backup_names = Some(vec![Pattern::parse(glob).unwrap()]);
        policy
    };
    let mut backups = named("nightly", 10, hour * 10, day);
    backups.extend(named("weekly", 4, hour * 5, day * 7));
    // Made twice by hand, and once every month until a year ago: nobody makes them any more.
    backups.extend(named("manual", 2, hour, hour));
    backups.extend(named("monthly", 6, day * 365, day * 30));
    let policies = [of("n", "nightly-*", 5), of("w", "weekly-*", 2), of("m", "m*", 3)];
    let (names, stay) = assumed_by_name(&world_of(&policies, backups, 28));
    let expected = [("nightly", 28), ("weekly", 4)].map(|(name, count)| (name.to_owned(), count));
    assert_eq!((names, stay), (BTreeMap::from(expected), 7));
}
