//! Proposals are decided again here, by what they say and not by what the code did.

use super::super::Zone;
use super::super::fixtures::instance;

use super::super::policy::{Limits, Mode, Selector};
use super::super::{BackupKind, Databases, Engine, HoldTarget, Period, PolicyName};
use super::*;

fn utc(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

const NOW: &str = "2026-11-23T12:00:00Z";

/// A backup a day, the newest of today.
fn days(number: i64) -> Vec<Backup> {
    let backup = |day: i64| Backup {
        id: format!("b{day:02}").into(),
        name: "nightly".into(),
        kind: BackupKind::Manual,
        engine: Engine::SqlServer,
        status: BackupStatus::Completed,
        begin: Some(utc(NOW) - TimeDelta::days(day) - TimeDelta::hours(1)),
        size_bytes: 1,
        databases: Databases::All,
        end: None,
        doubt: None,
    };
    (0..number).map(backup).collect()
}

fn policy(rules: &[KeepRule]) -> Arc<Policy> {
    Arc::new(Policy {
        name: PolicyName::from("p"),
        mode: Mode::Enforce,
        zone: Zone::UTC,
        select: Selector::default(),
        keep: KeepRules::new(rules.to_vec(), Vec::new()).unwrap(),
        max_age: None,
        failed_after: Span::days(7),
        min_backups: NonZeroU32::MIN,
        grace: Span::ZERO,
        require_backup_within: None,
        limits: Limits::default(),
    })
}

fn at_most(number: u32) -> Count {
    Count::AtMost(NonZeroU32::new(number).unwrap())
}

fn daily(number: u32) -> KeepRule {
    KeepRule::Counted(Period::Day, at_most(number))
}

fn ask<T>(backups: &[Backup], backup: usize, policy: &Arc<Policy>, question: fn(&WhatIf<'_>) -> T) -> T {
    let instance = instance();
    question(&WhatIf {
        instance: &instance,
        backups,
        backup,
        holds: &[],
        policy,
        now: utc(NOW),
    })
}

#[test]
fn one_slot_less_lets_the_last_one_go() {
    let change = ask(&days(10), 6, &policy(&[daily(7)]), lets_go).unwrap();
    let edit = Edit::Rule {
        from: daily(7),
        to: Some(daily(6)),
    };
    assert_eq!(
        change,
        EditedValue {
            edits: vec![edit],
            others: 0
        }
    );
    // The third from the newest takes four others with it.
    assert_eq!(ask(&days(10), 2, &policy(&[daily(7)]), lets_go).unwrap().others, 4);
}

#[test]
fn every_rule_that_keeps_it_must_be_edited() {
    let rules = [daily(7), KeepRule::Last(at_most(5)), KeepRule::Within(Span::days(8))];
    let change = ask(&days(10), 4, &policy(&rules), lets_go).unwrap();
    let to = |from, to| Edit::Rule { from, to: Some(to) };
    assert_eq!(
        change.edits,
        [
            to(daily(7), daily(4)),
            to(KeepRule::Last(at_most(5)), KeepRule::Last(at_most(4))),
            to(KeepRule::Within(Span::days(8)), KeepRule::Within(Span::days(4))),
        ]
    );
    assert_eq!(change.others, 3);
}

#[test]
fn a_rule_within_a_span_becomes_as_short_as_it_must() {
    let to = |from, to| [Edit::Rule { from, to }];
    let mut backups = days(2);
    let last = KeepRule::Last(at_most(1));
    // Less than a day behind the newest: hours.
    backups[1].begin = backups[0].begin.map(|begin| begin - TimeDelta::minutes(330));
    let within = KeepRule::Within(Span::hours(8));
    let change = ask(&backups, 1, &policy(&[within, last]), lets_go).unwrap();
    assert_eq!(change.edits, to(within, Some(KeepRule::Within(Span::hours(5)))));
    // 25 October has 25 hours in Berlin, so that a day and a half hour lie within a day: no shorter span in whole days or
    // hours is left.
    backups[0].begin = Some(utc("2026-10-25T12:00:00Z"));
    backups[1].begin = Some(utc("2026-10-24T11:30:00Z"));
    // Of two days a first round makes one, and a second one edits what the first one wrote.
    for days in [1, 2] {
        let within = KeepRule::Within(Span::days(days));
        let berlin = Arc::new(Policy {
            zone: Zone::of("Europe/Berlin"),
            ..Policy::clone(&policy(&[within, last]))
        });
        let change = ask(&backups, 1, &berlin, lets_go).unwrap();
        assert_eq!(change.edits, to(within, None));
    }
}

#[test]
fn the_floor_and_the_only_rule_are_bounds() {
    assert_eq!(ask(&days(3), 0, &policy(&[daily(2)]), lets_go), Err(Bound::OnlyRule));
    let month = KeepRule::Counted(Period::Month, at_most(1));
    let two = policy(&[daily(2), month]);
    assert_eq!(ask(&days(3), 0, &two, lets_go), Err(Bound::OnlyRule));
    let floored = Arc::new(Policy {
        min_backups: NonZeroU32::new(2).unwrap(),
        ..Policy::clone(&two)
    });
    assert_eq!(ask(&days(3), 1, &floored, lets_go), Err(Bound::Floor));
    let mut failed = days(3);
    failed[0].status = BackupStatus::Failed;
    assert_eq!(ask(&failed, 0, &two, lets_go), Err(Bound::NoNewer));
    let mut unfinished = days(3);
    unfinished[0].status = BackupStatus::Building;
    assert_eq!(ask(&unfinished, 0, &two, lets_go), Err(Bound::NotByRule));
}

#[test]
fn a_failed_one_goes_when_it_need_not_wait_so_long() {
    let mut backups = days(5);
    backups[3].status = BackupStatus::Failed;
    let change = ask(&backups, 3, &policy(&[daily(7)]), lets_go).unwrap();
    let edit = Edit::FailedAfter {
        from: Span::days(7),
        to: Span::days(3),
    };
    assert_eq!(change.edits, [edit]);
    // Three days old to the second: what is shorter than that is two days.
    backups[3].begin = Some(utc(NOW) - TimeDelta::days(3));
    let change = ask(&backups, 3, &policy(&[daily(7)]), lets_go).unwrap();
    let edit = Edit::FailedAfter {
        from: Span::days(7),
        to: Span::days(2),
    };
    assert_eq!(change.edits, [edit]);
    // An hour old, and the newer one is younger still.
    let mut fresh = days(5);
    fresh[1].status = BackupStatus::Failed;
    fresh[1].begin = fresh[0].begin.map(|begin| begin - TimeDelta::seconds(1));
    let change = ask(&fresh, 1, &policy(&[daily(7)]), lets_go).unwrap();
    let edit = Edit::FailedAfter {
        from: Span::days(7),
        to: Span::hours(1),
    };
    assert_eq!(change.edits, [edit]);
}

/// A hold on the third backup from the newest.
fn hold(id: &str) -> Hold {
    Hold {
        id: Some(id.to_owned()),
        target: HoldTarget::Backup("b02".into()),
        reason: "r".to_owned(),
        owner: None,
        until: None,
    }
}

#[test]
fn holds_and_names_end_before_the_rules_are_asked() {
    let backups = days(10);
    let named = Arc::new(Policy {
        keep: KeepRules::new(vec![daily(3)], vec![Pattern::parse("night*").unwrap()]).unwrap(),
        ..Policy::clone(&policy(&[daily(3)]))
    });
    let ask = |policy: &Arc<Policy>, backup| {
        ask(&backups, backup, policy, |case| {
            let holds = ["h1", "h2"].map(hold);
            lets_go(&WhatIf { holds: &holds, ..*case })
        })
    };
    // Two holds, then the name, then a slot: released alone it would stay.
    let change = ask(&named, 2).unwrap();
    let shrunk = Edit::Rule {
        from: daily(3),
        to: Some(daily(2)),
    };
    let name = Edit::Name(Pattern::parse("night*").unwrap());
    let released = ["h1", "h2"].map(|id| Edit::Hold(Box::new(hold(id))));
    assert_eq!(change.edits[..2], released);
    assert_eq!(change.edits[2..], [name.clone(), shrunk]);
    // The seven others that the name alone kept go with it.
    assert_eq!(change.others, 7);
    // Of one that no rule keeps the name is all that has to go.
    assert_eq!(ask(&named, 8).unwrap().edits, [name]);
}

#[test]
fn what_would_keep_it_is_the_least_of_each_key() {
    let rules = [daily(3), KeepRule::Within(Span::days(2))];
    let changes = ask(&days(10), 5, &policy(&rules), keeps);
    let to = |from, to, others| EditedValue {
        edits: vec![Edit::Rule { from, to: Some(to) }],
        others,
    };
    assert_eq!(
        changes,
        [
            to(daily(3), daily(6), 2),
            to(KeepRule::Within(Span::days(2)), KeepRule::Within(Span::days(6)), 2),
        ]
    );
    // The rule itself is what becomes larger.
    let changes = ask(&days(10), 5, &policy(&[daily(3)]), keeps);
    assert_eq!(changes, [to(daily(3), daily(6), 2)]);
    let aged = Arc::new(Policy {
        max_age: Some(Span::days(4)),
        ..Policy::clone(&policy(&[KeepRule::Last(Count::All)]))
    });
    let changes = ask(&days(10), 5, &aged, keeps);
    let edit = Edit::MaxAge {
        from: Span::days(4),
        to: Some(Span::days(6)),
    };
    assert_eq!(
        changes,
        [EditedValue {
            edits: vec![edit],
            others: 1
        }]
    );
    assert_eq!(ask(&days(10), 0, &aged, keeps), []);
}
