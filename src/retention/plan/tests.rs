//! The guard, limit by limit and at each limit's edge.

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

#[test]
fn refusals_say_what_is_concerned_and_what_to_do() {
    let all = [
        (
            Refusal::MaxDeletions { planned: 4, limit: 3 },
            ("max_deletions", None, true),
            "4 deletions are more than max_deletions 3: nothing of this policy is sent; look at the plan, then `approve` it or \
             set over_limit: oldest-first",
        ),
        (
            Refusal::MaxPercent {
                instance: "i1".into(),
                planned: 6,
                of: 11,
                percent: 50,
            },
            ("max_percent", Some("i1"), true),
            "instance i1: 6 of 11 backups are more than max_percent 50: the instance is left alone; look at the plan, then \
             `approve` it",
        ),
        (
            Refusal::RequireBackupWithin {
                instance: "i2".into(),
                newest: Some(now()),
                within: "3d".to_owned(),
            },
            ("require_backup_within", Some("i2"), false),
            "instance i2: no finished full backup, manual or automated, within 3d (newest: 2026-11-23T12:00:00Z): the instance is \
             left alone until one is made",
        ),
        (
            Refusal::Clock {
                project: "a".into(),
                check: ClockCheck::Skew(TimeDelta::seconds(-301)),
            },
            ("clock", None, false),
            "project a: the API's clock is -301 s away from ours, more than 300: nothing is sent; set the clock",
        ),
        (
            Refusal::Freeze {
                reason: "audit".to_owned(),
                until: Some(now()),
                sources: FreezeSources::default(),
            },
            ("freeze", None, false),
            "frozen (audit) until 2026-11-23T12:00:00Z: nothing is sent",
        ),
    ];
    check_words(&all);
}

#[test]
fn a_shrunken_listing_names_the_instance_or_the_project() {
    let all = [
        (
            Refusal::Shrink {
                project: "a".into(),
                instance: Some("i3".into()),
                expected: 10,
                found: 4,
            },
            ("shrink", Some("i3"), false),
            "instance i3: the listing fell from 10 to 4 manual backups: it is left alone for 7 days, or until `approve --listing`",
        ),
        (
            Refusal::Shrink {
                project: "a".into(),
                instance: None,
                expected: 10,
                found: 4,
            },
            ("shrink", None, false),
            "project a: the listing fell from 10 to 4 instances: it is left alone for 7 days, or until `approve --listing`",
        ),
    ];
    check_words(&all);
}

/// A refusal with its limit, its instance, whether it waits for an approval, and its sentence.
type Words<'a> = (Refusal, (&'a str, Option<&'a str>, bool), &'a str);

fn check_words(all: &[Words<'_>]) {
    for (refusal, (limit, instance, waits), text) in all {
        assert_eq!(refusal.limit(), *limit);
        assert_eq!(refusal.instance().map(InstanceId::as_str), *instance);
        assert_eq!(refusal.waits_for_approval(), *waits);
        assert_eq!(refusal.to_string(), *text);
        assert!(Refusal::LIMITS.contains(limit));
    }
}

fn passed(name: &str, instances: impl IntoIterator<Item = InstanceDue>) -> ApprovedPlan {
    let policy = Policy {
        name: name.into(),
        ..policy(limits(100_000, 100, OverLimit::Refuse))
    };
    let good = ClockCheck::Skew(TimeDelta::zero());
    plan(policy, instances)
        .approve(&Conditions {
            now: now(),
            freeze: None,
            clocks: &BTreeMap::from([("a".into(), good), ("b".into(), good)]),
            approved: &HashSet::new(),
        })
        .plan
}

#[test]
fn batches_are_of_one_project_fifty_at_most_oldest_first_each_id_once() {
    let (one, two, other) = (instance("i1", "a"), instance("i2", "a"), instance("i3", "b"));
    let plans = vec![
        passed("first", [due(&one, (0..60).rev(), 100), due(&other, [500], 100)]),
        passed("second", [due(&two, [60, 61], 100), due(&one, [0, 59], 100)]),
    ];
    let batches = ApprovedPlan::batches(plans).into_iter().flatten().collect::<Vec<_>>();
    let sizes: Vec<(&str, usize)> = batches
        .iter()
        .map(|batch| (batch.project().as_str(), batch.len()))
        .collect();
    assert_eq!(sizes, [("a", 50), ("a", 12), ("b", 1)]);
    let ids = batches[..2].iter().flat_map(Batch::ids).map(BackupId::as_str);
    assert!(ids.eq((0..62).map(|number| format!("b{number:03}")).collect::<Vec<_>>()));
    // The first plan that names an id answers for it.
    let policy_of = |id: &str| {
        let mut items = batches.iter().flat_map(Batch::items);
        items
            .find(|item| item.candidate.id.as_str() == id)
            .unwrap()
            .policy
            .to_string()
    };
    assert_eq!(
        (policy_of("b059").as_str(), policy_of("b060").as_str()),
        ("first", "second")
    );
    let touched: Vec<&str> = batches[1]
        .items()
        .iter()
        .map(|item| item.candidate.instance.id.as_str())
        .collect();
    assert_eq!(touched.len(), 12);
    let instances: Vec<String> = batches[1]
        .instances()
        .iter()
        .map(|instance| instance.id.to_string())
        .collect();
    assert_eq!(instances, ["i1", "i2"]);
}

#[test]
fn what_was_cut_off_is_counted_and_its_room_given_back() {
    let one = instance("i1", "a");
    let mut batches = ApprovedPlan::batches(vec![passed("p", [due(&one, 0..10_000, 10_000)])]).remove(0);
    assert_eq!(batches.ids(), 10_000);
    batches.left.shrink_to_fit();
    let capacity = batches.left.capacity();
    for cut in 1..=200 {
        assert_eq!(batches.next().map(|batch| batch.len()), Some(50));
        assert_eq!(batches.ids(), 10_000 - 50 * cut);
        assert!(
            batches.left.capacity() - batches.left.len() <= batch::SPARE,
            "after {cut}"
        );
        // Not each time: that would be a copy for each batch.
        let is_given_back = batches.left.capacity() < capacity;
        assert_eq!(
            is_given_back,
            capacity - batches.left.len() > batch::SPARE,
            "after {cut}"
        );
    }
    assert!(batches.next().is_none());
}

#[test]
fn a_batch_only_shrinks_and_is_split_down_to_one() {
    let one = instance("i1", "a");
    let mut batch = ApprovedPlan::batches(vec![passed("p", [due(&one, 0..5, 100)])])
        .into_iter()
        .flatten()
        .next()
        .unwrap();
    batch.retain(|item| item.candidate.id.as_str() != "b002");
    assert_eq!(batch.len(), 4);
    let (first, second) = batch.split().unwrap();
    let ids = |batch: &Batch| batch.ids().map(BackupId::to_string).collect::<Vec<_>>();
    assert_eq!(
        (ids(&first), ids(&second)),
        (
            vec!["b000".to_owned(), "b001".to_owned()],
            vec!["b003".to_owned(), "b004".to_owned()]
        )
    );
    assert_eq!(second.project().as_str(), "a");
    let (mut one, rest) = first.split().unwrap();
    assert_eq!((one.len(), rest.len()), (1, 1));
    assert!(!one.is_empty());
    one = one.split().unwrap_err();
    one.retain(|_| false);
    assert!(one.is_empty() && one.split().is_err());
}

#[test]
fn the_gravest_refusal_stops_the_most() {
    let percent = Refusal::MaxPercent {
        instance: "i".into(),
        planned: 6,
        of: 9,
        percent: 50,
    };
    let deletions = Refusal::MaxDeletions { planned: 9, limit: 8 };
    let freeze = Refusal::Freeze {
        reason: "audit".to_owned(),
        until: None,
        sources: FreezeSources::default(),
    };
    let mut refusals = [percent.clone(), deletions.clone(), freeze.clone()];
    refusals.sort_by_key(Refusal::gravity);
    assert_eq!(refusals, [freeze, deletions, percent]);
}
