//! Holds on one backup, approvals, refused plans.

use std::collections::HashSet;

use chrono::TimeDelta;

use super::super::fixtures::{State, hold_on, id, noon};
use super::super::{Error, RefusedPlan};
use crate::retention::{BackupId, Freeze, Hold, HoldTarget, PolicyName};

fn policy() -> PolicyName {
    "production".into()
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

/// A machine whose clock is three days behind would say that it holds, for a day that is over.
#[test]
fn what_would_be_over_by_the_newest_record_is_not_placed() {
    let state = State::new();
    let (behind, until) = (noon() - TimeDelta::days(3), noon() - TimeDelta::days(2));
    let head = state.ledger.head().unwrap();
    let hold = Hold {
        until: Some(until),
        ..hold_on(HoldTarget::Backup(id(1)))
    };
    let freeze = Freeze {
        reason: "audit".to_owned(),
        until: Some(until),
    };
    for refused in [
        state.ledger.add_hold(&hold, "dba", behind).map(drop),
        state.ledger.add_compliance_hold(&hold, "dba", behind).map(drop),
        state.ledger.set_freeze(&freeze, "dba", behind).map(drop),
    ] {
        let error = refused.unwrap_err();
        assert!(matches!(error, Error::EndsBeforeNow { .. }), "{error}");
    }
    assert_eq!(state.ledger.head().unwrap(), head);
    assert!(state.ledger.holds().unwrap().is_empty() && state.ledger.freezes().unwrap().is_empty());
}
