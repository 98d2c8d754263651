//! Holds, grace, approvals, runs, and what was seen.

use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};

use super::super::fixtures::{INSTANCE, State, hold_on, id, is_on_postgres, noon, project};
use super::super::{
    Access, Error, FinishedPolicy, GraceKey, GraceSeen, GraceStart, GraceUpdate, KeyRefusal, Ledger, ListingDoubt,
    ListingPart, NewRun, ObservedChanges, RefusedPlan, RunFilter, Verification,
};
use crate::retention::report::{RunNumbers, RunResult, RunSummary, Summary, Tally};
use crate::retention::{
    Backup, BackupId, BackupKind, BackupStatus, Databases, Doubt, Engine, Hold, HoldTarget, Instance, InstanceId,
    InstanceLife, Mode, Pattern, PolicyName,
};

fn policy() -> PolicyName {
    "production".into()
}

fn start_grace(state: &State, numbers: &[usize], hours: i64) {
    let (project, instance) = (project(), InstanceId::from(INSTANCE));
    let ids: Vec<_> = numbers
        .iter()
        .map(|number| (id(*number), format!("nightly-{number}")))
        .collect();
    let starts: Vec<_> = ids
        .iter()
        .map(|(backup, name)| GraceStart {
            key: GraceKey {
                project: &project,
                instance: &instance,
                backup,
            },
            name,
        })
        .collect();
    let update = GraceUpdate {
        started: starts,
        ..GraceUpdate::default()
    };
    state
        .ledger
        .update_grace(&policy(), &update, noon() + TimeDelta::hours(hours))
        .unwrap();
}

/// Since when, of those that do not restart.
fn grace_of(ledger: &Ledger) -> BTreeMap<BackupId, DateTime<Utc>> {
    let periods = ledger.grace(&policy()).unwrap().into_iter();
    let goes_on = periods.filter(|period| !period.restarts);
    goes_on.map(|period| (period.backup, period.since)).collect()
}

#[test]
fn grace_begins_once_and_ends_when_cleared() {
    let state = State::new();
    start_grace(&state, &[1, 2], 0);
    start_grace(&state, &[3], 5);
    let clear = |instance: &str| {
        let (project, instance, backup) = (project(), InstanceId::from(instance), id(2));
        let key = GraceKey {
            project: &project,
            instance: &instance,
            backup: &backup,
        };
        let update = GraceUpdate {
            cleared: vec![key],
            ..GraceUpdate::default()
        };
        state.ledger.update_grace(&policy(), &update, noon()).unwrap();
    };
    clear("ffffin04");
    assert_eq!(grace_of(&state.ledger).len(), 3, "another instance lists the same id");
    clear(INSTANCE);
    let grace = grace_of(&state.again(Access::ReadOnly));
    assert_eq!(grace.len(), 2);
    assert_eq!(grace[&id(1)], noon());
    assert_eq!(grace[&id(3)], noon() + TimeDelta::hours(5));
    assert!(state.ledger.grace(&"other".into()).unwrap().is_empty());
}

#[test]
fn what_is_seen_goes_on_and_what_is_not_listed_was_not_seen() {
    let state = State::new();
    start_grace(&state, &[1, 2], 0);
    let (project, instance) = (project(), InstanceId::from(INSTANCE));
    let seen = GraceSeen {
        project: &project,
        instance: &instance,
        absent: &[(id(2), noon())],
    };
    let update = GraceUpdate {
        seen: vec![seen],
        ..GraceUpdate::default()
    };
    let later = noon() + TimeDelta::hours(30);
    state.ledger.update_grace(&policy(), &update, later).unwrap();
    let periods = state.ledger.grace(&policy()).unwrap();
    let found: Vec<_> = periods.iter().map(|period| (period.since, period.seen)).collect();
    assert_eq!(found, [(noon(), later), (noon(), noon())]);
}

/// Whichever of them covered it, it may have ended since.
#[test]
fn holds_of_the_configuration_before_restart_what_they_covered() {
    let state = State::new();
    start_grace(&state, &[1, 2, 3], 0);
    let on = |number, until| Hold {
        until,
        ..hold_on(HoldTarget::Backup(id(number)))
    };
    let note = |holds: &[Hold]| state.ledger.note_configured_holds(holds, noon()).unwrap();
    note(&[on(1, Some(noon())), on(2, None)]);
    assert_eq!(
        grace_of(&state.ledger).len(),
        2,
        "one of them ended when the period started"
    );
    start_grace(&state, &[2], 3);
    let restarts = |state: &State| -> Vec<bool> {
        let periods = state.ledger.grace(&policy()).unwrap();
        periods.iter().map(|period| period.restarts).collect()
    };
    assert_eq!(
        restarts(&state),
        [false, true, false],
        "a hold in force lets none start"
    );
    note(&[]);
    start_grace(&state, &[2], 4);
    note(&[]);
    assert_eq!(restarts(&state), [false; 3]);
}

#[test]
fn the_graces_of_an_instance_are_forgotten_for_one_policy_and_project() {
    let state = State::new();
    start_grace(&state, &[1, 2], 0);
    let of = state.ledger.graced_instances(&policy()).unwrap();
    assert_eq!(of.len(), 1, "both are of one instance");
    let elsewhere = [("other".into(), of[0].1.clone())];
    state.ledger.clear_grace_of(&policy(), &elsewhere, noon()).unwrap();
    state.ledger.clear_grace_of(&"other".into(), &of, noon()).unwrap();
    assert_eq!(grace_of(&state.ledger).len(), 2);
    state.ledger.clear_grace_of(&policy(), &of, noon()).unwrap();
    assert!(state.ledger.grace(&policy()).unwrap().is_empty());
}

#[test]
fn a_hold_ends_the_grace_of_what_it_covers_even_if_no_run_saw_it() {
    let state = State::new();
    start_grace(&state, &[1, 2, 3], 0);
    let hold = state
        .ledger
        .add_hold(
            &hold_on(HoldTarget::Backup(id(1).as_str().to_uppercase().into())),
            "dba",
            noon(),
        )
        .unwrap();
    let name = Some(Pattern::parse("nightly-2").unwrap());
    state
        .ledger
        .add_hold(&hold_on(HoldTarget::Matching { instance: None, name }), "dba", noon())
        .unwrap();
    assert_eq!(grace_of(&state.ledger).len(), 1);
    // A run that decided before the holds were placed.
    start_grace(&state, &[1, 2], 1);
    assert_eq!(grace_of(&state.ledger).len(), 1);
    state
        .ledger
        .release(hold.id.as_deref().unwrap(), "dba", noon())
        .unwrap();
    start_grace(&state, &[1, 2], 7);
    assert_eq!(grace_of(&state.ledger)[&id(1)], noon() + TimeDelta::hours(7));
}

#[test]
fn several_holds_on_one_backup_want_the_holds_id() {
    let state = State::new();
    let place = || {
        state
            .ledger
            .add_hold(&hold_on(HoldTarget::Backup(id(1))), "dba", noon())
            .unwrap()
    };
    assert_eq!(
        (place().id.unwrap(), place().id.unwrap()),
        ("h1".to_owned(), "h2".to_owned())
    );
    let error = state.ledger.release(id(1).as_str(), "dba", noon()).unwrap_err();
    assert!(
        matches!(&error, Error::SeveralHolds { holds, .. } if holds == &["h1", "h2"]),
        "{error}"
    );
    state.ledger.release("h1", "dba", noon()).unwrap();
    assert_eq!(
        state
            .ledger
            .release(id(1).as_str(), "dba", noon())
            .unwrap()
            .what
            .id
            .as_deref(),
        Some("h2")
    );
    // Released by another person meanwhile is not the same as mistyped.
    for (name, was_there) in [("h1", true), ("h7", false), (id(1).as_str(), true)] {
        let error = state.ledger.release(name, "dba", noon()).unwrap_err();
        let is_right = match error {
            Error::HoldIsOver(_) => was_there,
            Error::NoSuchHold(_) => !was_there,
            _ => false,
        };
        assert!(is_right, "{name}: {error}");
    }
    let all = state.ledger.holds().unwrap();
    assert_eq!(all.len(), 2, "ended ones stay listed");
    assert_eq!(all[1].released_at, Some(noon()));
    assert_eq!(state.ledger.active_holds(noon()).unwrap(), []);
}

#[test]
fn approvals_are_of_one_policy_and_run_out() {
    let state = State::new();
    let limits = vec!["max_deletions".to_owned()];
    let refused = RefusedPlan::new("run-1", limits, vec![id(2), id(1)], noon());
    state.ledger.record_refused(&policy(), &refused).unwrap();
    assert_eq!(state.ledger.waiting(&policy()).unwrap(), Some(refused.clone()));
    let until = noon() + TimeDelta::hours(48);
    // The digest that a person was shown approves its own ids alone, whatever the row has become since.
    let mut edited = refused.clone();
    edited.backups.push(id(3));
    let approved = state.ledger.approve_plan(&policy(), &edited, until, "dba", noon());
    assert!(
        approved
            .unwrap_err()
            .to_string()
            .contains("does not have the ids of its digest")
    );
    let one = crate::retention::People::One;
    assert!(state.ledger.approvals(&policy(), one, noon()).unwrap().is_empty());
    state
        .ledger
        .approve_plan(&policy(), &refused, until, "dba", noon())
        .unwrap();
    assert_eq!(
        state
            .ledger
            .approvals(&policy(), crate::retention::People::One, noon())
            .unwrap(),
        HashSet::from([id(1), id(2)])
    );
    assert!(
        state
            .ledger
            .approvals(&policy(), crate::retention::People::One, until)
            .unwrap()
            .is_empty()
    );
    assert!(
        state
            .ledger
            .approvals(&"other".into(), crate::retention::People::One, noon())
            .unwrap()
            .is_empty()
    );
    state.ledger.clear_refused(&policy()).unwrap();
    assert_eq!(state.ledger.waiting(&policy()).unwrap(), None);
}

#[test]
fn refused_plans_are_kept_for_two_days_each_by_its_own_ids() {
    let state = State::new();
    let hours = |hours| noon() + TimeDelta::hours(hours);
    let plan = |ids: Vec<BackupId>, at| RefusedPlan::new("run", vec!["max_deletions".to_owned()], ids, at);
    let (first, second) = (plan(vec![id(1), id(2)], noon()), plan(vec![id(1), id(3)], hours(24)));
    assert_ne!(first.digest, second.digest);
    assert_eq!(
        first.digest,
        plan(vec![id(2), id(1), id(1)], hours(9)).digest,
        "order and run do not matter"
    );
    let digests = || -> Vec<(String, bool)> {
        let plans = state.ledger.refused_plans(&policy()).unwrap();
        plans.into_iter().map(|plan| (plan.digest, plan.waits)).collect()
    };
    state.ledger.record_refused(&policy(), &first).unwrap();
    state.ledger.record_refused(&policy(), &second).unwrap();
    assert_eq!(
        digests(),
        [(first.digest.clone(), false), (second.digest.clone(), true)]
    );
    assert!(first.is_approvable(hours(48)) && !first.is_approvable(hours(49)));
    assert!(
        !first.is_approvable(hours(-1)),
        "a plan of a wrong clock is not approved"
    );
    // The same ids again are the same plan, refused later.
    let again = plan(vec![id(1), id(2)], hours(30));
    state.ledger.record_refused(&policy(), &again).unwrap();
    assert_eq!(
        digests(),
        [(second.digest.clone(), false), (first.digest.clone(), true)]
    );
    state
        .ledger
        .record_refused(&policy(), &plan(vec![id(4)], hours(73)))
        .unwrap();
    assert_eq!(digests().len(), 2, "what is older than two days is forgotten");
}

#[test]
fn a_listing_that_shrank_is_disbelieved_since_the_first_time_until_one_is_believed() {
    let state = State::new();
    let (ledger, project, instance) = (&state.ledger, project(), InstanceId::from(INSTANCE));
    ledger
        .observe(noon(), |seen| {
            seen.accept_count(&project, None, &[(instance.clone(), 20)])
        })
        .unwrap();
    let hours = |hours| noon() + TimeDelta::hours(hours);
    assert_eq!(
        ledger
            .observe(hours(1), |seen| seen.mark_shrunk(&project, Some(&instance)))
            .unwrap(),
        hours(1)
    );
    assert_eq!(
        ledger
            .observe(hours(2), |seen| seen.mark_shrunk(&project, Some(&instance)))
            .unwrap(),
        hours(1)
    );
    let believed = ledger.believed(&project).unwrap().backups[&instance];
    assert_eq!((believed.count, believed.shrunk_since), (Some(20), Some(hours(1))));
    ledger
        .observe(hours(5), |seen| {
            seen.accept_count(&project, None, &[(instance.clone(), 3)])
        })
        .unwrap();
    let believed = ledger.believed(&project).unwrap().backups[&instance];
    assert_eq!((believed.count, believed.shrunk_since), (Some(3), None));
}

#[test]
fn what_is_accepted_of_a_listing_is_what_was_seen_and_nothing_else() {
    let state = State::new();
    let ledger = &state.ledger;
    let doubt = |part: ListingPart, says: &str| ListingDoubt {
        target: INSTANCE.to_owned(),
        part,
        says: says.to_owned(),
    };
    let accepted = || {
        let doubts = ledger.listing_doubts().unwrap().into_iter();
        let accepted = doubts.filter(|(_, (_, accepted))| *accepted);
        accepted.map(|((_, part), (says, _))| (part, says)).collect::<Vec<_>>()
    };
    let backup = || ListingPart::Backup(id(1));
    assert_eq!(ledger.accept_listing(INSTANCE, "dba", noon()).unwrap(), []);
    let seen = [doubt(ListingPart::Entries, "3"), doubt(backup(), "x")];
    ledger.record_doubts(&seen, &[]).unwrap();
    assert_eq!(ledger.accept_listing("another", "dba", noon()).unwrap(), []);
    assert_eq!(accepted(), []);
    assert_eq!(ledger.accept_listing(INSTANCE, "dba", noon()).unwrap(), seen);
    assert_eq!(
        accepted(),
        [(ListingPart::Entries, "3".to_owned()), (backup(), "x".to_owned())]
    );
    // The same again: still accepted. Another word: in doubt again, and going back to the first one does not help.
    ledger.record_doubts(&seen, &[]).unwrap();
    assert_eq!(accepted().len(), 2);
    ledger.record_doubts(&[doubt(backup(), "y")], &[]).unwrap();
    ledger.record_doubts(&seen, &[]).unwrap();
    assert_eq!(accepted(), [(ListingPart::Entries, "3".to_owned())]);
    // Read without doubt: forgotten.
    ledger
        .record_doubts(&[], &[(INSTANCE.to_owned(), ListingPart::Entries)])
        .unwrap();
    assert_eq!(accepted(), []);
    assert!(matches!(ledger.verify(None).unwrap(), Verification::Intact { .. }));
}

fn instance(id: &str, name: &str) -> Instance {
    Instance {
        engine: Engine::SqlServer,
        project: project(),
        id: id.into(),
        name: name.into(),
        tags: vec![("env".to_owned(), "prod".to_owned())],
        enterprise_project: Some("0".to_owned()),
        life: InstanceLife::Listed,
    }
}

#[test]
fn an_instance_is_long_missed_after_three_listings_over_a_day() {
    let state = State::new();
    let (a, b) = (instance("ain04", "a"), instance("bin04", "b"));
    let listing = |listed: &[Instance], hours| {
        let at = noon() + TimeDelta::hours(hours);
        state
            .ledger
            .observe(at, |seen| {
                seen.remember_instances(&project(), &[Engine::SqlServer], listed)
            })
            .unwrap();
        let seen = state.ledger.seen_instances(&project()).unwrap();
        let mut seen = seen.into_iter();
        seen.find(|seen| seen.instance.id.as_str() == "ain04").unwrap()
    };
    let both = [a.clone(), b.clone()];
    let only_b = [b];
    assert!(!listing(&both, 0).is_long_missed(noon() + TimeDelta::days(90)));
    listing(&only_b, 1);
    listing(&only_b, 2);
    assert!(
        !listing(&only_b, 3).is_long_missed(noon() + TimeDelta::days(90)),
        "three listings, but in two hours"
    );
    let seen = listing(&only_b, 25);
    assert!(seen.is_long_missed(noon() + TimeDelta::days(90)));
    assert_eq!(
        (seen.instance, seen.missed, seen.missed_since),
        (a, 4, Some(noon() + TimeDelta::hours(1)))
    );
    assert_eq!(listing(&both, 26).missed, 0, "it came back");
    listing(&only_b, 30);
    assert!(
        !listing(&only_b, 90).is_long_missed(noon() + TimeDelta::days(90)),
        "two listings, though over days"
    );
}

#[test]
fn databases_are_remembered_as_last_seen() {
    let state = State::new();
    let listed = |number: usize, databases: Databases| Backup {
        id: id(number),
        name: format!("nightly-{number}").into(),
        kind: BackupKind::Manual,
        engine: Engine::SqlServer,
        status: BackupStatus::Completed,
        begin: Some(noon()),
        size_bytes: 1,
        databases,
        end: None,
        doubt: None,
    };
    let instance = InstanceId::from(INSTANCE);
    let first = [
        listed(1, Databases::All),
        listed(2, Databases::from_names(["sales", "hr"])),
        listed(3, Databases::Unknown),
        listed(4, Databases::All),
    ];
    let remember = |listed: &[Backup], at| {
        remember_at(&state, &instance, listed, Some(at));
    };
    remember(&first, noon());
    remember(&first[..3], noon() + TimeDelta::hours(24));
    let seen = state.ledger.seen_databases(&instance).unwrap();
    assert_eq!(seen.len(), 4, "what is gone is remembered for a while");
    remember(&first[..3], noon() + TimeDelta::days(7));
    let seen = state.ledger.seen_databases(&instance).unwrap();
    assert_eq!(seen.len(), 3);
    assert_eq!(seen[&id(1)], Databases::All);
    assert_eq!(seen[&id(2)], Databases::from_names(["hr", "sales"]));
    assert_eq!(seen[&id(3)], Databases::Unknown);
    assert_eq!(state.ledger.known_backup(&id(2)).unwrap().unwrap().instance, instance);
    assert_eq!(state.ledger.known_backup(&id(4)).unwrap(), None);
    state.accept([4]);
    assert_eq!(state.ledger.known_backup(&id(4)).unwrap().unwrap().project, project());
}

fn listed(status: BackupStatus, hour: i64, doubt: Option<Doubt>) -> Backup {
    Backup {
        id: id(1),
        name: "nightly".into(),
        kind: BackupKind::Manual,
        engine: Engine::SqlServer,
        status,
        begin: Some(noon() + TimeDelta::hours(hour) + TimeDelta::nanoseconds(1)),
        end: None,
        size_bytes: 1,
        databases: Databases::All,
        doubt,
    }
}

/// A listing of an instance so many days after noon; `None` is a clock in doubt.
fn remember(state: &State, instance: &InstanceId, listed: &[Backup], days: Option<i64>) {
    remember_at(state, instance, listed, days.map(|days| noon() + TimeDelta::days(days)));
}

fn remember_at(state: &State, instance: &InstanceId, listed: &[Backup], now: Option<DateTime<Utc>>) {
    let mut changes = ObservedChanges::default();
    let before = state.ledger.remembered(instance).unwrap();
    changes.add(&project(), instance, listed, before, now);
    state
        .ledger
        .remember_backups(&changes, now.unwrap_or_else(noon))
        .unwrap();
}

/// More rows than one statement inserts on PostgreSQL, which refuses a row that meets another one of its statement.
#[test]
fn listings_of_any_length_are_remembered_also_where_they_name_a_backup_twice() {
    let state = State::new();
    let one = InstanceId::from(INSTANCE);
    let backup = |nth, databases| Backup {
        id: id(nth),
        databases,
        ..listed(BackupStatus::Completed, 0, None)
    };
    let mut all: Vec<Backup> = (1..=1_200).map(|nth| backup(nth, Databases::All)).collect();
    all.push(backup(7, Databases::from_names(["sales"])));
    remember(&state, &one, &all, Some(0));
    let seen = state.ledger.seen_databases(&one).unwrap();
    assert_eq!(seen.len(), 1_200);
    assert_eq!(
        (&seen[&id(7)], &seen[&id(1_200)]),
        (&Databases::from_names(["sales"]), &Databases::All)
    );
    remember(&state, &one, &all[..2], Some(1));
    let after = state.ledger.remembered(&one).unwrap().backups;
    assert_eq!(after.values().filter(|seen| seen.gone_since.is_some()).count(), 1_198);
}

#[test]
fn what_a_backup_said_first_as_finished_stays() {
    let state = State::new();
    let one = InstanceId::from(INSTANCE);
    let said = || {
        let mut remembered = state.ledger.remembered(&one).unwrap();
        remembered.backups.remove(&id(1)).unwrap()
    };
    // While it is being made it may say what it likes.
    remember(&state, &one, &[listed(BackupStatus::Building, 0, None)], Some(0));
    let good = listed(BackupStatus::Completed, 1, None);
    assert!(!said().differs(&good, true));
    remember(&state, &one, std::slice::from_ref(&good), Some(0));
    assert!(!said().differs(&good, true), "a nanosecond is not kept");
    assert!(said().differs(&listed(BackupStatus::Completed, 2, None), true));
    assert!(said().differs(&listed(BackupStatus::Failed, 1, None), true));
    assert!(!said().differs(&listed(BackupStatus::Failed, 1, None), false));
    assert!(!said().differs(&listed(BackupStatus::Deleting, 2, None), true));
    // What is in doubt is not what it said.
    let before = said();
    let doubtful = listed(BackupStatus::Completed, 2, Some(Doubt::Changed));
    remember(&state, &one, &[doubtful], Some(1));
    assert_eq!(said(), before);
}

#[test]
fn what_is_gone_is_remembered_for_a_week() {
    let state = State::new();
    let (one, two) = (InstanceId::from(INSTANCE), InstanceId::from("another0000in04"));
    let good = [listed(BackupStatus::Completed, 1, None)];
    let day = |day: i64| Some(noon() + TimeDelta::days(day));
    let elsewhere = || {
        let mut found = None;
        let add = |_: &InstanceId, backup: &BackupId, at| {
            assert_eq!(*backup, id(1));
            found = Some(at);
        };
        state.ledger.each_listed(|instance| *instance == one, add).unwrap();
        found
    };
    remember(&state, &two, &good, Some(1));
    assert_eq!(elsewhere(), Some(day(1)));
    state
        .ledger
        .observe(day(2).unwrap(), |seen| seen.remember_listings([&two].into_iter()))
        .unwrap();
    remember(&state, &two, &[], Some(3));
    assert_eq!(elsewhere(), Some(day(2)), "when it was last listed");
    // A clock in doubt forgets nothing.
    remember(&state, &two, &[], None);
    remember(&state, &two, &[], Some(8));
    assert_eq!(elsewhere(), Some(day(2)));
    remember(&state, &two, &[], Some(9));
    assert_eq!(elsewhere(), None);
    // A time ahead, of a wrong clock, is not believed longer than its own length.
    remember(&state, &two, &good, Some(4_000));
    remember(&state, &two, &[], Some(4_001));
    remember(&state, &two, &[], Some(10));
    assert_eq!(elsewhere(), Some(day(10)));
}

#[test]
fn refused_keys_survive_a_restart_and_run_out() {
    let state = State::new();
    let refusal = |whole: &str, at, blocked_until| KeyRefusal {
        access_key: "a".to_owned(),
        whole: whole.to_owned(),
        at,
        blocked_until,
    };
    let until = noon() + TimeDelta::minutes(15);
    let then = noon() + TimeDelta::days(6000);
    let refusals = [refusal("1", noon(), None), refusal("1", noon(), Some(until))];
    for refusal in &refusals {
        state.ledger.record_key_refusal(refusal, noon()).unwrap();
    }
    let again = state.again(Access::ReadOnly);
    assert_eq!(again.key_refusals(noon()).unwrap(), refusals);
    assert_eq!(again.key_refusals(noon() + TimeDelta::hours(1)).unwrap(), []);
    // One by a wrong clock; the first run under a right one dates it back.
    let ahead = refusal("2", then, Some(then + TimeDelta::minutes(15)));
    state.ledger.record_key_refusal(&ahead, then).unwrap();
    let later = noon() + TimeDelta::hours(2);
    let run = NewRun {
        id: "run-1",
        policies: &[],
        config_sha256: "c0ffee",
        started_at: later,
        cause: "apply",
        person: None,
    };
    state.ledger.begin_run(&run).unwrap();
    assert_eq!(state.ledger.key_refusals(later).unwrap(), [refusal("2", later, None)]);
}

fn numbered(left: u64) -> RunSummary {
    let numbers = RunNumbers {
        calls: 3,
        held_back: Tally::default(),
        instances: BTreeMap::new(),
        left,
        mode: Mode::Enforce,
        orphans: BTreeMap::new(),
        refusals: Vec::new(),
        refused: Vec::new(),
        sent: BTreeMap::new(),
        skipped: Vec::new(),
        summary: Summary::default(),
        unselected: BTreeMap::new(),
    };
    RunSummary {
        interrupted: None,
        numbers: Some(numbers),
    }
}

#[test]
fn runs_are_listed_newest_first_with_their_numbers_and_gauges_find_the_last() {
    let state = State::new();
    let policies = [(policy(), Mode::Enforce), ("dev".into(), Mode::DryRun)];
    for (number, result) in ["success", "failed", "killed"].into_iter().enumerate() {
        let (run, at) = (
            format!("run-{number}"),
            noon() + TimeDelta::days(i64::try_from(number).unwrap()),
        );
        let new = NewRun {
            id: &run,
            policies: &policies,
            config_sha256: "c0ffee",
            started_at: at,
            cause: "schedule",
            person: None,
        };
        state.ledger.begin_run(&new).unwrap();
        if result == "killed" {
            continue;
        }
        let finished = policies.each_ref().map(|(policy, _)| FinishedPolicy {
            policy: policy.clone(),
            result: RunResult::named(result).unwrap(),
            summary: numbered(number as u64),
        });
        let head = state.ledger.finish_run(&run, at, &finished).unwrap();
        assert_eq!(head, state.ledger.head().unwrap());
        assert!(matches!(
            state.ledger.finish_run(&run, at, &finished),
            Err(Error::NoSuchRun(_))
        ));
    }
    let runs = state
        .ledger
        .runs(&RunFilter {
            policy: Some(policy()),
            limit: Some(2),
        })
        .unwrap();
    assert_eq!(
        runs.iter().map(|run| run.run.as_str()).collect::<Vec<_>>(),
        ["run-2", "run-1"]
    );
    assert_eq!((&runs[0].finished_at, &runs[0].result), (&None, &None));
    assert_eq!(runs[1].summary, Some(numbered(1)));
    assert_eq!(state.ledger.runs(&RunFilter::default()).unwrap().len(), 6);
    let last = &state.ledger.last_runs(noon() + TimeDelta::days(90)).unwrap()[&policy()];
    assert_eq!(last.finished.run, "run-1");
    assert_eq!(last.success.as_ref().unwrap().run, "run-0");
    assert_eq!(
        last.read.as_ref().unwrap().run,
        "run-0",
        "run-1 failed and has read nothing"
    );
    let last_begun = |days| {
        let last = state
            .ledger
            .last_begun(&policy(), noon() + TimeDelta::days(days))
            .unwrap();
        last.map(|last| last.at - noon())
    };
    assert_eq!(last_begun(2), Some(TimeDelta::days(2)));
    assert_eq!(
        last_begun(1),
        Some(TimeDelta::days(1)),
        "one dated ahead of now says nothing"
    );
    assert_eq!(state.ledger.last_runs(noon()).unwrap()[&policy()].finished.run, "run-0");
}

#[test]
fn what_a_killed_process_left_open_is_closed_as_failed_once_for_each_lock() {
    if is_on_postgres() {
        return; // of the file
    }
    let state = State::new();
    let policies = [(policy(), Mode::Enforce), ("other".into(), Mode::DryRun)];
    let begin = |id, cause, hours| {
        let run = NewRun {
            id,
            policies: &policies,
            config_sha256: "c0ffee",
            started_at: noon() + TimeDelta::hours(hours),
            cause,
            person: None,
        };
        state.ledger.begin_run(&run).unwrap();
    };
    let last = |hours| {
        state
            .ledger
            .last_begun(&policy(), noon() + TimeDelta::hours(hours))
            .unwrap()
            .unwrap()
    };
    begin("run-1", "cron", 0);
    assert!(!last(1).is_interrupted, "it may be under way");
    let closed = state.ledger.close_interrupted_runs(&state.lock, noon()).unwrap();
    assert_eq!((closed.len(), closed[0].policies.len()), (1, 2));
    assert!(last(1).is_interrupted);
    let rows = state.ledger.runs(&RunFilter::default()).unwrap();
    assert!(
        rows.iter()
            .all(|row| row.result == Some(RunResult::Failed) && row.is_interrupted())
    );
    // What a person typed and interrupted was no tick's run.
    begin("run-2", "apply", 1);
    state.ledger.close_interrupted_runs(&state.lock, noon()).unwrap();
    assert_eq!((last(2).at, last(2).is_interrupted), (noon(), true));
    // What kills the run that makes up for it would kill the next.
    begin("run-3", "catch-up", 2);
    state.ledger.close_interrupted_runs(&state.lock, noon()).unwrap();
    assert!(!last(3).is_interrupted);
    // A run under this lock has begun: what is open is its own.
    state.ledger.close_open_requests(&state.lock, noon()).unwrap();
    begin("run-4", "cron", 4);
    assert_eq!(state.ledger.close_interrupted_runs(&state.lock, noon()).unwrap(), []);
    assert!(matches!(
        state.ledger.verify(None).unwrap(),
        Verification::Intact { .. }
    ));
}

#[test]
fn what_is_dated_ahead_of_now_is_not_believed_longer_than_it_lasts() {
    let state = State::new();
    let (now, then) = (noon(), noon() + TimeDelta::days(6000));
    let ledger = &state.ledger;
    // Approvals.
    for at in [then, now] {
        let until = at + TimeDelta::hours(48);
        let plan = RefusedPlan::new("run", vec!["max_deletions".to_owned()], vec![id(1)], at);
        ledger.approve_plan(&policy(), &plan, until, "dba", now).unwrap();
        let wanted = usize::from(at == now);
        assert_eq!(
            ledger
                .approvals(&policy(), crate::retention::People::One, now)
                .unwrap()
                .len(),
            wanted
        );
    }
    // Doubt about a listing.
    for at in [then, now] {
        assert_eq!(
            ledger.observe(at, |seen| seen.mark_shrunk(&project(), None)).unwrap(),
            at
        );
    }
    // An instance that is missed.
    let missed = |at| {
        ledger
            .observe(at, |seen| {
                seen.remember_instances(&project(), &[Engine::SqlServer], &[])
            })
            .unwrap();
        ledger.seen_instances(&project()).unwrap().remove(0)
    };
    ledger
        .observe(now, |seen| {
            seen.remember_instances(&project(), &[Engine::SqlServer], &[instance("ain04", "a")])
        })
        .unwrap();
    missed(now);
    missed(now);
    assert!(
        !missed(then).is_long_missed(now + TimeDelta::hours(2)),
        "only by the wrong clock"
    );
    ledger
        .observe(now, |seen| {
            seen.remember_instances(&project(), &[Engine::SqlServer], &[instance("ain04", "a")])
        })
        .unwrap();
    missed(then);
    missed(now);
    assert!(missed(now + TimeDelta::hours(25)).is_long_missed(now + TimeDelta::hours(25)));
}

/// A list of one engine says nothing of the others; one whose engine is not known is missed by each list.
#[test]
fn only_instances_of_the_engines_that_were_asked_for_are_missed() {
    let state = State::new();
    let ledger = &state.ledger;
    let of = |id: &str, engine: Engine| Instance {
        engine,
        ..instance(id, id)
    };
    let all = [
        of("ain04", Engine::SqlServer),
        of("bin01", Engine::MySql),
        of("c", Engine::parse("")),
    ];
    ledger
        .observe(noon(), |seen| {
            seen.remember_instances(&project(), &Engine::known().collect::<Vec<_>>(), &all)
        })
        .unwrap();
    let missed = || {
        let seen = ledger.seen_instances(&project()).unwrap();
        seen.into_iter().map(|seen| seen.missed).collect::<Vec<_>>()
    };
    ledger
        .observe(noon(), |seen| {
            seen.remember_instances(&project(), &[Engine::MySql], &[])
        })
        .unwrap();
    assert_eq!(missed(), [0, 1, 1]);
    ledger
        .observe(noon(), |seen| {
            seen.remember_instances(&project(), &Engine::known().collect::<Vec<_>>(), &[])
        })
        .unwrap();
    assert_eq!(missed(), [1, 2, 2]);
}

#[test]
fn a_probe_is_no_row_of_the_chain() {
    let state = State::new();
    let head = state.ledger.head().unwrap();
    state.ledger.probe().unwrap();
    assert_eq!(state.ledger.head().unwrap(), head);
}

/// A backup that is gone and comes back expires again.
#[test]
fn what_is_confirmed_to_be_gone_has_no_grace_and_what_returned_has() {
    let state = State::new();
    start_grace(&state, &[1, 2], 0);
    state.accept([1, 2]);
    state.ledger.settle("run-1", noon(), &[id(1)], &[id(2)]).unwrap();
    let left: Vec<BackupId> = grace_of(&state.ledger).into_keys().collect();
    assert_eq!(left, [id(2)]);
}
