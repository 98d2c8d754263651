//! Requests that did not begin in time: closed, not sent, and as if they had never been intended.

use super::super::fixtures::{State, id, noon};
use super::super::{Access, DeletionState, Error, Ledger, LedgerWrite, RequestKey, Verification, Written};
use crate::retention::Outcome;

fn withdraw(state: &State, request: RequestKey) -> Result<Written, Error> {
    let entry = LedgerWrite::Withdrawal {
        request,
        at: noon(),
        why: "no connection".to_owned(),
    };
    state.ledger.enter(&state.intent(), vec![entry]).remove(0)
}

fn unanswered(state: &State, numbers: &[usize]) -> RequestKey {
    let request = state.intend(numbers.iter().copied());
    let lost = || Outcome::Unanswered {
        why: "time-out".to_owned(),
    };
    let outcomes: Vec<_> = numbers.iter().map(|number| (id(*number), lost())).collect();
    state.ledger.record(request, noon(), None, &outcomes).unwrap();
    request
}

fn states(ledger: &Ledger, number: usize) -> Vec<DeletionState> {
    let past = ledger.backup_history(&id(number)).unwrap();
    past.into_iter().map(|past| past.state).collect()
}

/// What another process reads, in a ledger that is intact.
fn on_disk(state: &State) -> Ledger {
    let ledger = state.again(Access::Existing);
    let verified = ledger.verify(None).unwrap();
    assert!(matches!(verified, Verification::Intact { .. }), "{verified:?}");
    ledger
}

#[test]
fn a_withdrawn_request_waits_for_nothing_and_its_ids_can_be_sent_later() {
    let state = State::new();
    let first = state.intend([1, 2]);
    assert!(matches!(withdraw(&state, first), Ok(Written::Withdrawal)));
    let ledger = on_disk(&state);
    assert_eq!(ledger.open_requests().unwrap(), []);
    assert_eq!(ledger.unconfirmed().unwrap(), []);
    let past = ledger.backup_history(&id(1)).unwrap().remove(0);
    assert_eq!(
        (past.state, past.answered_at, past.outcome),
        (DeletionState::Withdrawn, None, None)
    );
    assert!(!past.state.is_unsettled());
    assert!(
        matches!(withdraw(&state, first), Err(Error::NotOpen(_))),
        "it is closed"
    );
    assert_eq!(ledger.settle("run-1", noon(), &[id(1)], &[]).unwrap(), 0);
    // The twin: the same ids, sent.
    state.accept([1, 2]);
    assert_eq!(on_disk(&state).unconfirmed().unwrap().len(), 2);
    state.ledger.settle("run-1", noon(), &[id(1), id(2)], &[]).unwrap();
    let expected = [DeletionState::Withdrawn, DeletionState::Confirmed];
    assert_eq!(states(&on_disk(&state), 1), expected);
}

/// The first request may have deleted it: that must not be forgotten with the second one, which was not sent.
#[test]
fn what_a_withdrawn_request_stood_in_for_waits_again() {
    for forgetful in [false, true] {
        let mut state = State::new();
        let first = unanswered(&state, &[1, 2]);
        let second = state.intend([1]);
        assert_eq!(
            states(&on_disk(&state), 1),
            [DeletionState::Resent, DeletionState::Intended]
        );
        if forgetful {
            state.ledger = state.again(Access::Existing);
        }
        assert!(matches!(withdraw(&state, second), Ok(Written::Withdrawal)));
        let expected = [DeletionState::Unanswered, DeletionState::Withdrawn];
        assert_eq!(states(&on_disk(&state), 1), expected);
        let waits: Vec<_> = on_disk(&state).unconfirmed().unwrap();
        assert!(waits.iter().all(|it| it.request == first), "{waits:?}");
        assert_eq!(waits.len(), 2);
        if forgetful {
            state.ledger = state.again(Access::Existing);
        }
        // Withdrawn once more, then really sent again.
        let third = state.intend([1]);
        assert!(matches!(withdraw(&state, third), Ok(Written::Withdrawal)));
        state.accept([1]);
        assert_eq!(state.ledger.settle("run-1", noon(), &[id(1), id(2)], &[]).unwrap(), 2);
        let ledger = on_disk(&state);
        assert_eq!(ledger.unconfirmed().unwrap(), []);
        let expected = [
            DeletionState::Resent,
            DeletionState::Withdrawn,
            DeletionState::Withdrawn,
            DeletionState::Confirmed,
        ];
        assert_eq!(states(&ledger, 1), expected);
        assert_eq!(states(&ledger, 2), [DeletionState::Confirmed]);
    }
}

#[test]
fn the_one_before_a_withdrawn_request_is_what_a_listing_settles() {
    let state = State::new();
    let first = unanswered(&state, &[1]);
    let second = state.intend([1]);
    assert!(matches!(withdraw(&state, second), Ok(Written::Withdrawal)));
    assert_eq!(state.ledger.settle("run-1", noon(), &[id(1)], &[]).unwrap(), 1);
    let ledger = on_disk(&state);
    assert_eq!(states(&ledger, 1), [DeletionState::Confirmed, DeletionState::Withdrawn]);
    assert_eq!(ledger.backup_history(&id(1)).unwrap()[0].request, first);
}

#[test]
fn a_withdrawal_that_is_made_up_in_the_table_is_found() {
    for (from, to) in [("a", "w"), ("w", "a")] {
        let state = State::new();
        let first = state.intend([1]);
        assert!(matches!(withdraw(&state, first), Ok(Written::Withdrawal)));
        state.accept([2]);
        on_disk(&state);
        state.tamper(&format!(
            "UPDATE request SET states = replace(states, '{from}', '{to}'), unsettled = CASE WHEN '{to}' = 'a' THEN 1 ELSE 0 END"
        ));
        let verified = state.again(Access::Existing).verify(None).unwrap();
        assert!(
            matches!(verified, Verification::Broken { .. }),
            "{from} {to}: {verified:?}"
        );
    }
}
