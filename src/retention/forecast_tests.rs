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

pub(super) fn utc(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

pub(super) fn backup(id: &str, begin: DateTime<Utc>) -> Backup {
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

pub(super) fn at_most(number: u32) -> Count {
    Count::AtMost(NonZeroU32::new(number).unwrap())
}

pub(super) fn policy(name: &str, rules: &[KeepRule], grace: &str) -> Policy {
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

pub(super) fn every(from: DateTime<Utc>, hours: i64, days: i64) -> Vec<DateTime<Utc>> {
    (1..=days * 24 / hours)
        .map(|nth| from + TimeDelta::hours(nth * hours))
        .collect()
}

pub(super) struct World {
    pub(super) backups: Vec<Backup>,
    pub(super) holds: Vec<Hold>,
    pub(super) policies: Vec<Arc<Policy>>,
    pub(super) runs: Vec<Vec<DateTime<Utc>>>,
    pub(super) from: DateTime<Utc>,
    pub(super) until: DateTime<Utc>,
    pub(super) every: Option<TimeDelta>,
}

impl World {
    pub(super) fn forecast(&self) -> Vec<Future> {
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

/// Backups called `name-1`, `name-2`, … the newest of them so long ago, and so far apart.
pub(super) fn named(name: &str, count: i64, newest: TimeDelta, apart: TimeDelta) -> Vec<Backup> {
    let from = utc("2026-11-23T12:00:00Z");
    (0..i32::try_from(count).unwrap())
        .map(|nth| Backup {
            name: Arc::from(format!("{name}-{}", count - i64::from(nth))),
            ..backup(&format!("{name}{nth:03}"), from - newest - apart * nth)
        })
        .collect()
}

pub(super) fn world_of(policies: &[Policy], backups: Vec<Backup>, days: i64) -> World {
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
