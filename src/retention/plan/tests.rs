//! The guard, limit by limit and at each limit's edge.

mod batches;
mod words;

use std::collections::{BTreeMap, HashSet};
use std::num::NonZeroU32;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::super::*;
use super::*;

fn now() -> DateTime<Utc> {
    "2026-11-23T12:00:00Z".parse().unwrap()
}

fn instance(id: &str, project: &str) -> Arc<Instance> {
    Arc::new(Instance {
        engine: Engine::SqlServer,
        project: project.into(),
        id: id.into(),
        name: format!("name-{id}").into(),
        tags: Vec::new(),
        enterprise_project: None,
        life: InstanceLife::Listed,
    })
}

/// The backup `b{number}`, begun so many hours after 1970.
fn candidate(instance: &Arc<Instance>, number: u32) -> Candidate {
    Candidate {
        instance: Arc::clone(instance),
        id: format!("b{number:03}").into(),
        name: format!("nightly-{number}").into(),
        begin: DateTime::from_timestamp(i64::from(number) * 3_600, 0).unwrap(),
        size_bytes: 1_000 + u64::from(number),
        status: BackupStatus::Completed,
        reason: ExpireReason::NotKept,
    }
}

fn due(instance: &Arc<Instance>, numbers: impl IntoIterator<Item = u32>, counted: usize) -> InstanceDue {
    InstanceDue {
        instance: Arc::clone(instance),
        counted,
        newest_recovery_point: None,
        due: numbers.into_iter().map(|number| candidate(instance, number)).collect(),
    }
}

fn policy(limits: Limits) -> Policy {
    Policy {
        name: "production".into(),
        mode: Mode::Enforce,
        zone: Zone::UTC,
        select: Selector::default(),
        keep: KeepRules::new(vec![KeepRule::Last(Count::All)], Vec::new()).unwrap(),
        max_age: None,
        failed_after: Span::days(7),
        min_backups: NonZeroU32::MIN,
        grace: Span::hours(24),
        require_backup_within: None,
        limits,
    }
}

fn limits(max_deletions: u32, max_percent: u8, over_limit: OverLimit) -> Limits {
    Limits {
        max_deletions: NonZeroU32::new(max_deletions).unwrap(),
        max_percent,
        over_limit,
        ..Limits::default()
    }
}

fn plan(policy: Policy, instances: impl IntoIterator<Item = InstanceDue>) -> Plan {
    let mut plan = Plan::new(Arc::new(policy));
    instances.into_iter().for_each(|instance| plan.add(instance));
    plan
}

/// What the guard lets pass and what it says, with good clocks and these ids approved by hand.
fn guard(plan: Plan, approved: &[&str]) -> (Vec<String>, Vec<Refusal>) {
    let good = ClockCheck::Skew(TimeDelta::zero());
    let clocks = BTreeMap::from([("a".into(), good), ("b".into(), good)]);
    let approved = approved.iter().map(|id| BackupId::from(*id)).collect();
    let approval = plan.approve(&Conditions {
        now: now(),
        freeze: None,
        clocks: &clocks,
        approved: &approved,
    });
    (ids(&approval.plan), approval.refusals)
}

fn ids(plan: &ApprovedPlan) -> Vec<String> {
    plan.due().iter().map(|candidate| candidate.id.to_string()).collect()
}

#[test]
fn as_many_as_max_deletions_pass_and_one_more_stops_the_whole_plan() {
    let one = instance("i1", "a");
    let plan_of = |numbers: std::ops::Range<u32>| {
        let policy = policy(limits(3, 100, OverLimit::Refuse));
        plan(policy, [due(&one, numbers, 100)])
    };
    assert_eq!(guard(plan_of(0..3), &[]).0, ["b000", "b001", "b002"]);
    assert_eq!(guard(plan_of(0..2), &[]).1, []);
    let (passed, refusals) = guard(plan_of(0..4), &[]);
    assert_eq!(passed, [""; 0]);
    assert_eq!(refusals, [Refusal::MaxDeletions { planned: 4, limit: 3 }]);
}

#[test]
fn an_instance_that_is_left_alone_is_not_in_the_plan() {
    let (one, two) = (instance("i1", "a"), instance("i2", "a"));
    let mut plan = plan(
        policy(limits(9, 100, OverLimit::Refuse)),
        [due(&one, 0..2, 100), due(&two, 2..4, 100)],
    );
    plan.retain(|of| of.instance.id != one.id);
    assert_eq!(guard(plan, &[]).0, ["b002", "b003"]);
}

#[test]
fn approved_ids_are_exempt_and_the_others_face_the_limit_alone() {
    let one = instance("i1", "a");
    let make = || plan(policy(limits(2, 100, OverLimit::Refuse)), [due(&one, 0..5, 100)]);
    // A new one came since the approval of four: it faces the limit alone, and passes.
    assert_eq!(guard(make(), &["b000", "b001", "b002", "b003"]).0.len(), 5);
    // Two approved, three not: the approved ones go.
    let (passed, refusals) = guard(make(), &["b004", "b001", "elsewhere"]);
    assert_eq!(passed, ["b001", "b004"]);
    assert_eq!(refusals, [Refusal::MaxDeletions { planned: 3, limit: 2 }]);
}

#[test]
fn oldest_first_sends_the_oldest_and_the_approved() {
    let one = instance("i1", "a");
    let make = || {
        plan(
            policy(limits(2, 100, OverLimit::OldestFirst)),
            [due(&one, [4, 1, 3, 0, 2], 100)],
        )
    };
    assert_eq!(guard(make(), &[]), (vec!["b000".to_owned(), "b001".to_owned()], vec![]));
    assert_eq!(guard(make(), &["b000", "b004"]).0, ["b000", "b001", "b002", "b004"]);
}

#[test]
fn max_percent_is_a_share_of_the_instance_and_five_are_free() {
    let (one, two) = (instance("i1", "a"), instance("i2", "a"));
    let passed = |numbers: u32, counted: usize| {
        let policy = policy(limits(500, 50, OverLimit::Refuse));
        let plan = plan(policy, [due(&one, 0..numbers, counted), due(&two, 100..101, 10)]);
        guard(plan, &[])
    };
    // Exactly half is not more than half.
    assert_eq!(passed(6, 12).0.len(), 7);
    assert_eq!(passed(5, 5).0.len(), 6, "five always pass");
    let (others, refusals) = passed(6, 11);
    assert_eq!(others, ["b100"], "the other instance goes on");
    let expected = Refusal::MaxPercent {
        instance: "i1".into(),
        planned: 6,
        of: 11,
        percent: 50,
    };
    assert_eq!(refusals, [expected]);
    // One of them approved by hand, and five are left to face the limit.
    let policy = policy(limits(500, 50, OverLimit::Refuse));
    assert_eq!(guard(plan(policy, [due(&one, 0..6, 6)]), &["b003"]).0.len(), 6);
}

#[test]
fn what_failed_and_what_goes_with_a_deleted_instance_faces_no_max_percent() {
    let one = instance("i1", "a");
    for (reason, passes) in [
        (ExpireReason::NotKept, false),
        (ExpireReason::MaxAge, false),
        (ExpireReason::Failed, true),
        (ExpireReason::InstanceDeleted, true),
    ] {
        let mut due = due(&one, 0..20, 0);
        due.due.iter_mut().for_each(|candidate| candidate.reason = reason);
        let (passed, refusals) = guard(plan(policy(limits(500, 50, OverLimit::Refuse)), [due]), &[]);
        assert_eq!(
            (passed.len() == 20, refusals.is_empty()),
            (passes, passes),
            "{reason:?}"
        );
    }
}

#[test]
fn a_recent_recovery_point_is_asked_for_to_the_second() {
    let one = instance("i1", "a");
    let outcome = |newest: Option<&str>| {
        let policy = Policy {
            require_backup_within: Some(Span::days(3)),
            ..policy(Limits::default())
        };
        let newest = newest.map(|at| at.parse().unwrap());
        let due = InstanceDue {
            newest_recovery_point: newest,
            ..due(&one, 0..1, 10)
        };
        let (passed, refusals) = guard(plan(policy, [due]), &["b000"]);
        let expected = Refusal::RequireBackupWithin {
            instance: "i1".into(),
            newest,
            within: "3d".to_owned(),
        };
        assert!(refusals.is_empty() || refusals == [expected]);
        assert_ne!(passed.is_empty(), refusals.is_empty());
        !passed.is_empty()
    };
    assert!(outcome(Some("2026-11-20T12:00:00Z")));
    assert!(!outcome(Some("2026-11-20T11:59:59Z")));
    assert!(!outcome(None));
}

#[test]
fn a_clock_that_differs_or_was_not_compared_stops_its_project_once() {
    let checks = [
        (Some(ClockCheck::Skew(TimeDelta::minutes(5))), true),
        (Some(ClockCheck::Skew(TimeDelta::minutes(-5))), true),
        (Some(ClockCheck::Skew(TimeDelta::seconds(301))), false),
        (Some(ClockCheck::Skew(TimeDelta::seconds(-301))), false),
        (Some(ClockCheck::NoDate), false),
        (None, false),
    ];
    for (check, good) in checks {
        let instances = ["i1", "i2"].map(|id| due(&instance(id, "a"), [u32::from(id == "i2")], 10));
        let other = due(&instance("i3", "b"), [7], 10);
        let mut clocks = BTreeMap::from([("b".into(), ClockCheck::Skew(TimeDelta::zero()))]);
        clocks.extend(check.map(|check| ("a".into(), check)));
        let approval = plan(policy(Limits::default()), instances.into_iter().chain([other])).approve(&Conditions {
            now: now(),
            freeze: None,
            clocks: &clocks,
            approved: &HashSet::new(),
        });
        let expected: &[&str] = if good { &["b000", "b001", "b007"] } else { &["b007"] };
        assert_eq!(ids(&approval.plan), expected, "{check:?}");
        // Said once, though two instances are concerned.
        let refused = Refusal::Clock {
            project: "a".into(),
            check: check.unwrap_or(ClockCheck::NoDate),
        };
        assert_eq!(approval.refusals, if good { vec![] } else { vec![refused] });
    }
}

#[test]
fn a_freeze_stops_everything_and_an_empty_plan_is_not_refused() {
    let sources = FreezeSources {
        placed: vec!["f1".to_owned()],
        configured: None,
    };
    let freeze = Freezes {
        longest: Freeze {
            reason: "audit".to_owned(),
            until: None,
        },
        sources: sources.clone(),
    };
    let frozen = |plan: Plan| {
        let clocks = BTreeMap::from([("a".into(), ClockCheck::Skew(TimeDelta::zero()))]);
        plan.approve(&Conditions {
            now: now(),
            freeze: Some(&freeze),
            clocks: &clocks,
            approved: &HashSet::from(["b000".into()]),
        })
    };
    let one = instance("i1", "a");
    let full = plan(policy(Limits::default()), [due(&one, 0..1, 10)]);
    assert_eq!(full.instances().len(), 1);
    let approval = frozen(full);
    assert_eq!(ids(&approval.plan), [""; 0]);
    let expected = Refusal::Freeze {
        reason: "audit".to_owned(),
        until: None,
        sources,
    };
    assert_eq!(approval.refusals, [expected]);
    // An instance with nothing due is not in the plan at all.
    let empty = plan(policy(Limits::default()), [due(&one, [], 10)]);
    assert!(empty.instances().is_empty());
    assert_eq!(empty.policy().name, "production".into());
    let approval = frozen(empty);
    assert_eq!(approval.refusals, []);
    assert_eq!(approval.plan.policy().name, "production".into());
}
