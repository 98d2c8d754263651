//! Grace periods: when they begin, go on and end.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use super::super::fixtures::{INSTANCE, State, hold_on, id, noon, project};
use super::super::{Access, GraceKey, GraceSeen, GraceStart, GraceUpdate, Ledger};
use crate::retention::{BackupId, Hold, HoldTarget, InstanceId, Pattern, PolicyName};

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
