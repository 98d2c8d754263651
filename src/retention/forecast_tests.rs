//! The forecast, case by case and against a simulation that decides at every single run.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use proptest::prelude::*;

use super::super::Zone;
use super::super::fixtures::instance;
use super::super::policy::{Count, Limits, Mode, Selector};
use super::super::weeks::{Week, Weeks};
use super::super::{HoldTarget, KeepRule, KeepRules, Pattern, Period, Span};
use super::*;

fn utc(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn backup(id: &str, begin: DateTime<Utc>) -> Backup {
    Backup {
        id: id.into(),
        name: format!("name-{id}").into(),
        kind: BackupKind::Manual,
        engine: Engine::SqlServer,
        status: BackupStatus::Completed,
        begin: Some(begin),
        size_bytes: 1024,
        databases: Databases::All,
        end: None,
        doubt: None,
    }
}

fn at_most(number: u32) -> Count {
    Count::AtMost(NonZeroU32::new(number).unwrap())
}

fn policy(name: &str, rules: &[KeepRule], grace: &str) -> Policy {
    Policy {
        name: name.into(),
        mode: Mode::Enforce,
        zone: Zone::of("Europe/Berlin"),
        select: Selector::default(),
        keep: KeepRules::new(rules.to_vec(), Vec::new()).unwrap(),
        max_age: None,
        failed_after: Span::days(7),
        min_backups: NonZeroU32::MIN,
        grace: Span::parse(grace).unwrap(),
        require_backup_within: None,
        limits: Limits::default(),
    }
}

fn every(from: DateTime<Utc>, hours: i64, days: i64) -> Vec<DateTime<Utc>> {
    (1..=days * 24 / hours)
        .map(|nth| from + TimeDelta::hours(nth * hours))
        .collect()
}

struct World {
    backups: Vec<Backup>,
    holds: Vec<Hold>,
    policies: Vec<Arc<Policy>>,
    runs: Vec<Vec<DateTime<Utc>>>,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
    every: Option<TimeDelta>,
}

impl World {
    fn forecast(&self) -> Vec<Future> {
        let instance = instance();
        let runs: Vec<&[DateTime<Utc>]> = self.runs.iter().map(Vec::as_slice).collect();
        let none = HashMap::new();
        let grace = vec![&none; self.policies.len()];
        forecast(&ForecastInput {
            instance: &instance,
            backups: &self.backups,
            holds: &self.holds,
            policies: &self.policies,
            runs: &runs,
            grace: &grace,
            from: self.from,
            until: self.until,
            every: self.every,
        })
    }

    /// By id, the run that deletes it: every run decides, nothing is remembered but grace.
    fn slowly(&self) -> BTreeMap<String, (DateTime<Utc>, String)> {
        let instance = instance();
        let mut present = self.backups.clone();
        let mut coming = Vec::new();
        if let Some(every) = self.every {
            let newest = self.backups.iter().filter_map(|backup| backup.begin).max();
            let mut at = newest.unwrap_or(self.from);
            while at <= self.until {
                if at > self.from {
                    coming.push(backup(&format!("assumed-{:06}", coming.len() + 1), at));
                }
                at += every;
            }
        }
        let mut grace: Vec<BTreeMap<String, DateTime<Utc>>> = vec![BTreeMap::new(); self.policies.len()];
        let mut gone = BTreeMap::new();
        let mut moments: Vec<DateTime<Utc>> = self.runs.concat();
        moments.sort();
        moments.dedup();
        for at in moments.into_iter().filter(|at| *at <= self.until) {
            let (arrived, later) = coming
                .into_iter()
                .partition(|backup: &Backup| backup.begin.unwrap() <= at);
            coming = later;
            present.extend::<Vec<Backup>>(arrived);
            let decided = decide(&instance, &present, &self.holds, &self.policies, at);
            let mut going = Vec::new();
            for (nth, decisions) in decided.iter().enumerate() {
                if !self.runs[nth].contains(&at) {
                    continue;
                }
                for decision in decisions {
                    let id = present[decision.backup].id.to_string();
                    if matches!(decision.verdict, Verdict::Keep(_)) {
                        grace[nth].remove(&id);
                        continue;
                    }
                    let since = *grace[nth].entry(id.clone()).or_insert(at);
                    let Policy { grace, zone, name, .. } = &*self.policies[nth];
                    if since <= grace.before(at, *zone).unwrap() {
                        gone.entry(id.clone()).or_insert((at, name.to_string()));
                        going.push(id);
                    }
                }
            }
            present.retain(|backup| !going.contains(&backup.id.to_string()));
        }
        gone
    }
}

fn departures(futures: &[Future]) -> BTreeMap<String, (DateTime<Utc>, String)> {
    futures
        .iter()
        .filter_map(|future| {
            let departure = future.departure.as_ref()?;
            Some((
                future.backup.id.to_string(),
                (departure.at, departure.policy.to_string()),
            ))
        })
        .collect()
}

#[test]
fn a_backup_goes_with_the_first_run_after_its_grace() {
    let from = utc("2026-11-23T12:00:00Z");
    let world = World {
        backups: (0..3)
            .map(|day| backup(&format!("b{day}"), from - TimeDelta::days(day)))
            .collect(),
        holds: Vec::new(),
        policies: vec![Arc::new(policy("p", &[KeepRule::Last(at_most(2))], "24h"))],
        runs: vec![every(from, 24, 10)],
        from,
        until: from + TimeDelta::days(10),
        every: None,
    };
    let futures = world.forecast();
    // Found expired by the first run, 24 hours later by the second one.
    let departure = futures[2].departure.as_ref().unwrap();
    assert_eq!(departure.expired_at, from + TimeDelta::days(1));
    assert_eq!(departure.at, from + TimeDelta::days(2));
    assert_eq!(departure.reason, ExpireReason::NotKept);
    assert_eq!((&futures[0].departure, &futures[1].departure), (&None, &None));
}

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
fn a_grace_that_has_begun_goes_on() {
    let from = utc("2026-11-23T12:00:00Z");
    let instance = instance();
    let backups = [backup("new", from), backup("old", from - TimeDelta::days(9))];
    let policies = [Arc::new(policy("p", &[KeepRule::Last(at_most(1))], "3d"))];
    let runs = every(from, 24, 10);
    let begun = HashMap::from([(BackupId::from("old"), from - TimeDelta::days(2))]);
    let futures = forecast(&ForecastInput {
        instance: &instance,
        backups: &backups,
        holds: &[],
        policies: &policies,
        runs: &[&runs],
        grace: &[&begun],
        from,
        until: from + TimeDelta::days(10),
        every: None,
    });
    assert_eq!(futures[1].departure.as_ref().unwrap().at, from + TimeDelta::days(1));
}

#[test]
fn what_no_policy_has_in_its_scope_has_no_future() {
    let from = utc("2026-11-23T12:00:00Z");
    let old = |id: &str, days| backup(id, from - TimeDelta::days(days));
    let mut only = policy("p", &[KeepRule::Last(at_most(1))], "0s");
    only.select.exclude_backup_names = vec![Pattern::parse("name-out*").unwrap()];
    let world = World {
        backups: vec![
            old("new", 1),
            old("out", 5),
            Backup {
                kind: BackupKind::Auto,
                ..old("auto", 6)
            },
            old("old", 7),
        ],
        holds: Vec::new(),
        policies: vec![Arc::new(only)],
        runs: vec![every(from, 24, 3)],
        from,
        until: from + TimeDelta::days(3),
        every: None,
    };
    let futures = world.forecast();
    let ids: Vec<&str> = futures.iter().map(|future| future.backup.id.as_str()).collect();
    assert_eq!(ids, ["new", "old"]);
    assert!(futures[0].departure.is_none() && futures[1].departure.is_some());
}

#[test]
fn what_is_dated_ahead_is_believed_when_its_time_has_come() {
    let from = utc("2026-11-23T12:00:00Z");
    let world = World {
        backups: vec![
            backup("first", from + TimeDelta::days(2)),
            backup("second", from + TimeDelta::days(3)),
        ],
        holds: Vec::new(),
        policies: vec![Arc::new(policy("p", &[KeepRule::Last(at_most(1))], "0s"))],
        runs: vec![every(from, 24, 10)],
        from,
        until: from + TimeDelta::days(10),
        every: None,
    };
    let departure = world.forecast()[0].departure.clone().unwrap();
    assert_eq!(departure.at, from + TimeDelta::days(3));
    assert_eq!(departures(&world.forecast()), world.slowly());
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

/// Backups called `name-1`, `name-2`, … the newest of them so long ago, and so far apart.
fn named(name: &str, count: i64, newest: TimeDelta, apart: TimeDelta) -> Vec<Backup> {
    let from = utc("2026-11-23T12:00:00Z");
    (0..i32::try_from(count).unwrap())
        .map(|nth| Backup {
            name: Arc::from(format!("{name}-{}", count - i64::from(nth))),
            ..backup(&format!("{name}{nth:03}"), from - newest - apart * nth)
        })
        .collect()
}

fn world_of(policies: &[Policy], backups: Vec<Backup>, days: i64) -> World {
    let from = utc("2026-11-23T12:00:00Z");
    World {
        backups,
        holds: Vec::new(),
        runs: policies.iter().map(|_| every(from, 24, days)).collect(),
        policies: policies.iter().cloned().map(Arc::new).collect(),
        from,
        until: from + TimeDelta::days(days),
        every: Some(TimeDelta::hours(24)),
    }
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

#[test]
fn what_comes_after_the_last_run_is_counted() {
    let backups = named("nightly", 5, TimeDelta::hours(10), TimeDelta::days(1));
    let mut world = world_of(&[policy("p", &[KeepRule::Last(at_most(3))], "0s")], backups, 21);
    let weeks = |world: &World| {
        let mut weeks = Weeks::new(world.from, world.until);
        world.forecast().iter().for_each(|future| weeks.add(future));
        let of = |week: &Week| (week.came.count, week.went.count, week.left.count);
        weeks.close().1.iter().map(of).collect::<Vec<_>>()
    };
    assert_eq!(weeks(&world)[2], (7, 8, 3), "the twin: with runs, the others go");
    world.runs = vec![Vec::new()];
    assert_eq!(weeks(&world), [(7, 0, 12), (7, 0, 19), (7, 0, 26)]);
    world.runs = vec![vec![world.from + TimeDelta::days(9)]];
    assert_eq!(weeks(&world), [(7, 0, 12), (7, 11, 8), (7, 0, 15)]);
}

fn rule() -> impl Strategy<Value = KeepRule> {
    let period = prop::sample::select(Period::ALL.to_vec());
    prop_oneof![
        (1..5u32).prop_map(|n| KeepRule::Last(at_most(n))),
        (period.clone(), 1..5u32).prop_map(|(period, n)| KeepRule::Counted(period, at_most(n))),
        (1..30u32).prop_map(|days| KeepRule::Within(Span::days(days))),
        (period, 1..60u32).prop_map(|(period, days)| KeepRule::WithinPeriod(period, Span::days(days))),
    ]
}

prop_compose! {
    fn any_policy(name: &'static str)(
        rules in prop::collection::vec(rule(), 1..3),
        grace in prop::sample::select(vec!["0s", "24h", "3d"]),
        max_age in prop::option::of(5..60u32),
        floor in 1..3u32,
    ) -> Policy {
        Policy {
            max_age: max_age.map(Span::days),
            min_backups: NonZeroU32::new(floor).unwrap(),
            ..policy(name, &rules, grace)
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    #[test]
    fn it_agrees_with_deciding_at_every_run(
        ages in prop::collection::vec((-40..2000i64, 0..10u8), 0..14),
        first in any_policy("p"),
        second in prop::option::of(any_policy("q")),
        step in prop::sample::select(vec![6i64, 24, 36]),
        arrives in prop::option::of(prop::sample::select(vec![7i64, 24, 80])),
        hold in prop::option::of((0..14usize, 0..40i64)),
    ) {
        let from = utc("2026-10-20T12:00:00Z");
        let backups: Vec<Backup> = ages.iter().enumerate().map(|(nth, (hours, kind))| {
            let one = backup(&format!("b{nth:02}"), from - TimeDelta::hours(*hours));
            match kind {
                0 => Backup { status: BackupStatus::Failed, ..one },
                1 => Backup { databases: Databases::from_names(["a"]), ..one },
                _ => one,
            }
        }).collect();
        let holds: Vec<Hold> = hold.iter().map(|(nth, days)| Hold {
            id: None,
            target: HoldTarget::Matching { instance: None, name: Some(Pattern::parse(&format!("name-b{nth:02}")).unwrap()) },
            reason: "r".to_owned(),
            owner: None,
            until: Some(from + TimeDelta::days(*days)),
        }).collect();
        let policies: Vec<Arc<Policy>> = [Some(first), second].into_iter().flatten().map(Arc::new).collect();
        // The second policy runs at times of its own.
        let runs = (0i64..).take(policies.len()).map(|nth| every(from + TimeDelta::hours(5 * nth), step, 60)).collect();
        // The slow way takes any newest as template, so arrivals only where that is one that counts.
        let plain = ages.iter().all(|(hours, kind)| *kind > 1 && *hours >= 0);
        let world = World {
            backups, holds, policies, runs, from,
            until: from + TimeDelta::days(50),
            every: arrives.filter(|_| plain && hold.is_none()).map(TimeDelta::hours),
        };
        prop_assert_eq!(departures(&world.forecast()), world.slowly());
    }
}
