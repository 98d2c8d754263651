//! Intents, outcomes, and what listings make of them.

use super::super::fixtures::{INSTANCE, State, at, batch, freeze, hold_on, id, is_on_postgres, noon, project};
use super::super::{
    Access, DeletionLock, DeletionState, Error, Fault, IntentResult, Ledger, Pending, RequestKey, Thaw, Verification,
};
use crate::retention::{Freeze, HoldTarget, Outcome, Pattern};

fn unanswered() -> Outcome {
    Outcome::Unanswered {
        why: "time-out".to_owned(),
    }
}

fn last_state(ledger: &Ledger, number: usize) -> DeletionState {
    ledger.backup_history(&id(number)).unwrap().last().expect("sent").state
}

/// `next` has taken over the right to delete from the holder of `state`, whose request is open.
pub(super) fn a_late_answer_breaks_nothing(state: &State, request: RequestKey, next: &DeletionLock) {
    let other = state.again(Access::Existing);
    assert_eq!(other.close_open_requests(next, noon()).unwrap().len(), 1);
    assert_eq!(other.settle("run-2", noon(), &[id(1)], &[]).unwrap(), 1);
    let late = state
        .ledger
        .record(request, noon(), None, &[(id(1), Outcome::Accepted)]);
    assert!(matches!(late, Err(Error::NotOpen(_))), "{late:?}");
    assert_eq!(
        state.ledger.settle("run-1", noon(), &[id(1)], &[]).unwrap(),
        0,
        "it is settled"
    );
    assert!(matches!(other.verify(None).unwrap(), Verification::Intact { .. }));
}

#[test]
fn a_hold_placed_by_another_process_is_honoured_by_the_next_intent() {
    let state = State::new();
    let person = state.again(Access::Existing);
    let placed = person
        .add_hold(&hold_on(HoldTarget::Backup(id(2))), "dba", noon())
        .unwrap();
    let mut batch = batch([1, 2, 3]);
    let IntentResult::Cleared { dropped, .. } = state.ledger.intend(&state.intent(), &mut batch).unwrap() else {
        panic!("two ids are free");
    };
    assert_eq!(dropped, [(id(2), placed)]);
    assert_eq!(batch.ids().cloned().collect::<Vec<_>>(), [id(1), id(3)]);
    let open = state.ledger.open_requests().unwrap();
    let ids: Vec<_> = open[0].items.iter().map(|item| item.backup.clone()).collect();
    assert_eq!(ids, [id(1), id(3)]);
}

#[test]
fn holds_by_pattern_and_of_the_configuration_empty_a_batch() {
    let state = State::new();
    let pattern = |text| Some(Pattern::parse(text).unwrap());
    let (instance, name) = (pattern("*in04"), pattern("nightly-1"));
    state
        .ledger
        .add_hold(&hold_on(HoldTarget::Matching { instance, name }), "dba", noon())
        .unwrap();
    let configured = [hold_on(HoldTarget::Backup(id(2)))];
    let mut intent = state.intent();
    intent.config_holds = &configured;
    let mut batch = batch([1, 2]);
    let clearance = state.ledger.intend(&intent, &mut batch).unwrap();
    assert!(
        matches!(&clearance, IntentResult::Empty { dropped } if dropped.len() == 2),
        "{clearance:?}"
    );
    assert!(batch.is_empty());
    assert_eq!(state.ledger.open_requests().unwrap(), []);
}

#[test]
fn a_hold_that_ended_or_was_released_drops_nothing() {
    let state = State::new();
    let mut ended = hold_on(HoldTarget::Backup(id(1)));
    ended.until = Some(noon());
    state
        .ledger
        .add_hold(&ended, "dba", at("2026-11-22T00:00:00Z"))
        .unwrap();
    state
        .ledger
        .add_hold(&hold_on(HoldTarget::Backup(id(1))), "dba", noon())
        .unwrap();
    state.ledger.release(id(1).as_str(), "dba", noon()).unwrap();
    state.intend([1]);
}

#[test]
fn a_freeze_placed_by_another_process_stops_the_next_intent() {
    let state = State::new();
    state
        .again(Access::Existing)
        .set_freeze(&freeze(), "dba", noon())
        .unwrap();
    let clearance = state.ledger.intend(&state.intent(), &mut batch([1])).unwrap();
    assert!(
        matches!(&clearance, IntentResult::Frozen(found) if found.longest == freeze()),
        "{clearance:?}"
    );
    let thawed = state.again(Access::Existing).thaw(Thaw::Only, "dba", noon()).unwrap();
    assert_eq!((thawed.len(), &thawed[0].what.freeze), (1, &freeze()));
    let until = Freeze {
        until: Some(noon()),
        ..freeze()
    };
    let mut intent = state.intent();
    let until = (until, "c.yaml:7".to_owned());
    intent.config_freeze = Some(&until);
    assert!(matches!(
        state.ledger.intend(&intent, &mut batch([1])).unwrap(),
        IntentResult::Cleared { .. }
    ));
    let frozen = (freeze(), "c.yaml:7".to_owned());
    intent.config_freeze = Some(&frozen);
    assert!(matches!(
        state.ledger.intend(&intent, &mut batch([2])).unwrap(),
        IntentResult::Frozen(_)
    ));
}

#[test]
fn outcomes_must_be_exactly_one_for_each_id() {
    let state = State::new();
    let request = state.intend([1, 2]);
    let one = (id(1), Outcome::Accepted);
    let two = (id(2), unanswered());
    let foreign = (id(3), Outcome::Accepted);
    for wrong in [
        vec![one.clone()],
        vec![one.clone(), foreign.clone()],
        vec![one.clone(), one.clone()],
        vec![one.clone(), two.clone(), foreign],
        vec![one.clone(), two.clone(), two.clone()],
        vec![],
    ] {
        let error = state.ledger.record(request, noon(), None, &wrong).unwrap_err();
        assert!(matches!(error, Error::OutcomesDiffer { .. }), "{error}");
    }
    state
        .ledger
        .record(request, noon(), None, &[two.clone(), one.clone()])
        .unwrap();
    let error = state.ledger.record(request, noon(), None, &[one, two]).unwrap_err();
    assert!(matches!(error, Error::NotOpen(_)), "{error}");
}

#[test]
fn runs_that_share_a_lock_leave_each_other_s_requests_open() {
    let state = State::new();
    let close = || state.ledger.close_open_requests(&state.lock, noon()).unwrap();
    assert_eq!(close(), [], "the first run has nothing to close");
    let request = state.intend([1]);
    assert_eq!(close(), [], "the second finds the first one's request under way");
    let accepted = [(id(1), Outcome::Accepted)];
    state.ledger.record(request, noon(), None, &accepted).unwrap();
}

#[test]
fn what_a_killed_process_left_is_seen_closed_and_settled_by_a_listing() {
    let request = {
        let state = State::new();
        let request = state.intend([1, 2]);
        let State { dir, place, .. } = state;
        // Kept on disk, all else dropped, as a kill would.
        (request, dir, place)
    };
    let (request, _dir, place) = request;
    let ledger = Ledger::open(place.clone(), Access::Create, noon()).unwrap();
    assert!(!ledger.is_new());
    assert_eq!(ledger.open_requests().unwrap()[0].request, request);
    let lock = Ledger::lock_deletions(place.clone(), &[project()])
        .unwrap()
        .expect("its lock went with it");
    let closed = ledger.close_open_requests(&lock, noon()).unwrap();
    assert_eq!(closed[0].items.len(), 2);
    assert_eq!(ledger.open_requests().unwrap(), []);
    let waiting = ledger.unconfirmed().unwrap();
    assert!(
        waiting.iter().all(|id| id.pending == Pending::Unanswered),
        "{waiting:?}"
    );
    assert_eq!(ledger.settle("run-2", noon(), &[id(1)], &[id(2)]).unwrap(), 2);
    assert_eq!(last_state(&ledger, 1), DeletionState::Confirmed);
    assert_eq!(last_state(&ledger, 2), DeletionState::Returned);
    assert_eq!(ledger.unconfirmed().unwrap(), []);
    assert!(matches!(ledger.verify(None).unwrap(), Verification::Intact { .. }));
}

#[test]
fn an_id_of_an_open_request_is_not_intended_again() {
    let state = State::new();
    state.intend([1]);
    let error = state.ledger.intend(&state.intent(), &mut batch([1, 2])).unwrap_err();
    assert!(matches!(error, Error::StillOpen { .. }), "{error}");
    state.intend([2]);
}

#[test]
fn an_id_that_is_sent_again_is_counted_and_confirmed_once() {
    let state = State::new();
    let first = state.intend([1]);
    state
        .ledger
        .record(first, noon(), None, &[(id(1), unanswered())])
        .unwrap();
    state.accept([1]);
    assert_eq!(state.ledger.unconfirmed().unwrap().len(), 1);
    assert_eq!(state.ledger.settle("run-1", noon(), &[id(1)], &[]).unwrap(), 1);
    assert_eq!(state.ledger.settle("run-1", noon(), &[id(1)], &[]).unwrap(), 0);
    let history = state.ledger.backup_history(&id(1)).unwrap();
    let states: Vec<_> = history.iter().map(|past| past.state).collect();
    assert_eq!(states, [DeletionState::Resent, DeletionState::Confirmed]);
    assert_eq!(history[1].request_id.as_deref(), Some("req-9"));
    assert_eq!(history[1].outcome, Some(Outcome::Accepted));
    assert_eq!(history[1].settled_at, Some(noon()));
    assert!(matches!(
        state.ledger.verify(None).unwrap(),
        Verification::Intact { .. }
    ));
}

#[test]
fn a_rejected_id_may_be_confirmed_but_not_returned() {
    let state = State::new();
    let request = state.intend([1, 2]);
    let rejected = || Outcome::Rejected {
        code: "DBS.200011".to_owned(),
        message: "not found".to_owned(),
    };
    state
        .ledger
        .record(request, noon(), None, &[(id(1), rejected()), (id(2), rejected())])
        .unwrap();
    assert_eq!(state.ledger.settle("run-1", noon(), &[id(1)], &[id(2)]).unwrap(), 1);
    assert_eq!(last_state(&state.ledger, 1), DeletionState::Confirmed);
    assert_eq!(last_state(&state.ledger, 2), DeletionState::Rejected);
}

#[test]
fn without_a_listing_nothing_is_intended() {
    let state = State::new();
    let none = std::collections::HashMap::new();
    let mut intent = state.intent();
    intent.listings = &none;
    let error = state.ledger.intend(&intent, &mut batch([1])).unwrap_err();
    assert!(
        matches!(error, Error::NoListing(ref instance) if instance.as_str() == INSTANCE),
        "{error}"
    );
    assert_eq!(state.ledger.open_requests().unwrap(), []);
}

#[test]
fn a_full_disk_lets_no_intent_through_and_breaks_nothing() {
    if is_on_postgres() {
        return; // of the file
    }
    let state = State::new();
    state.accept(1..=3);
    {
        let connection = state.ledger.file().connection.lock().unwrap();
        let pages: i64 = connection.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
        connection.pragma_update(None, "max_page_count", pages).unwrap();
    }
    let mut refused = None;
    for first in (100..5_000).step_by(50) {
        let mut batch = batch(first..first + 50);
        match state.ledger.intend(&state.intent(), &mut batch) {
            Ok(_) => {}
            Err(error) => {
                refused = Some((error, batch));
                break;
            }
        }
    }
    let (error, batch) = refused.expect("the pages run out");
    assert!(matches!(error.fault(), Some(Fault::Full)), "{error}");
    assert!(error.to_string().contains("free space"), "{error}");
    assert_eq!(batch.len(), 50, "a batch that was not cleared is as it was");
    assert!(matches!(
        state.ledger.verify(None).unwrap(),
        Verification::Intact { .. }
    ));
    let intended: usize = state
        .ledger
        .open_requests()
        .unwrap()
        .iter()
        .map(|open| open.items.len())
        .sum();
    assert_eq!(intended % 50, 0, "no half of an intent is left");
    state
        .ledger
        .file()
        .connection
        .lock()
        .unwrap()
        .pragma_update(None, "max_page_count", 1_000_000)
        .unwrap();
    state.intend([4_999_999]);
}

#[test]
fn what_was_sent_since_a_belief_is_counted_for_the_shrink_guard() {
    let state = State::new();
    let (ledger, project, instance) = (&state.ledger, project(), INSTANCE.into());
    state.accept(1..=2);
    ledger
        .observe(noon(), |seen| seen.accept_count(&project, Some(4), &[(instance, 20)]))
        .unwrap();
    let sent = || ledger.believed(&project).unwrap().backups[INSTANCE].sent;
    assert_eq!(sent(), 2, "accepted before, may go after");
    state.accept(3..=5);
    assert_eq!(sent(), 5);
    ledger.settle("run-1", noon(), &[id(1), id(3)], &[id(4)]).unwrap();
    assert_eq!(sent(), 4, "what came back was not taken away");
    ledger
        .observe(noon(), |seen| {
            seen.accept_count(&project, None, &[(INSTANCE.into(), 18)])
        })
        .unwrap();
    assert_eq!(sent(), 2);
    assert_eq!(ledger.believed(&project).unwrap().instances.unwrap().count, Some(4));
}
