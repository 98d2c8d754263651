//! Intents and answers that share a transaction.

use super::super::fixtures::{State, batch, freeze, hold_on, id, is_on_postgres, noon};
use super::super::{Access, Error, Intent, IntentResult, LedgerWrite, RequestKey, Verification, Written};
use crate::retention::{BackupId, HoldTarget, Outcome};

fn intent_of(numbers: impl IntoIterator<Item = usize>) -> LedgerWrite {
    LedgerWrite::Intent {
        attempt: 1,
        batch: batch(numbers),
    }
}

fn answer_to(request: RequestKey, numbers: &[usize]) -> LedgerWrite {
    LedgerWrite::Answer {
        request,
        at: noon(),
        api_request_id: None,
        outcomes: numbers.iter().map(|number| (id(*number), Outcome::Accepted)).collect(),
    }
}

/// The request of a batch that was cleared, and its ids.
fn cleared(entered: &Result<Written, Error>) -> (RequestKey, Vec<BackupId>) {
    match entered {
        Ok(Written::Intent(batch, IntentResult::Cleared { request, .. })) => (*request, batch.ids().cloned().collect()),
        other => panic!("not cleared: {other:?}"),
    }
}

/// The open requests as another process sees them, in a ledger that is intact.
fn open_on_disk(state: &State) -> Vec<RequestKey> {
    let on_disk = state.again(Access::Existing);
    assert!(matches!(on_disk.verify(None).unwrap(), Verification::Intact { .. }));
    let open = on_disk.open_requests().unwrap();
    open.into_iter().map(|it| it.request).collect()
}

#[test]
fn batches_and_answers_that_wait_together_are_each_entered() {
    let state = State::new();
    let first = state.intend([1, 2]);
    let entries = vec![intent_of([3]), answer_to(first, &[1, 2]), intent_of([4, 5])];
    let entered = state.ledger.enter(&state.intent(), entries);
    let (third, fourth) = (cleared(&entered[0]), cleared(&entered[2]));
    assert_eq!((third.1, fourth.1), (vec![id(3)], vec![id(4), id(5)]));
    assert!(matches!(&entered[1], Ok(Written::Answer(outcomes)) if outcomes.len() == 2));
    let open = open_on_disk(&state);
    assert_eq!(open, [third.0, fourth.0]);
}

#[test]
fn one_that_cannot_be_entered_harms_no_other() {
    let state = State::new();
    let first = state.intend([1]);
    let entries = vec![
        intent_of([2]),
        // Under way already, and a request that there is not.
        intent_of([1, 3]),
        answer_to(RequestKey(999), &[1]),
        answer_to(first, &[1]),
    ];
    let entered = state.ledger.enter(&state.intent(), entries);
    let second = cleared(&entered[0]).0;
    assert!(matches!(entered[1], Err(Error::StillOpen { .. })), "{:?}", entered[1]);
    assert!(matches!(entered[2], Err(Error::NotOpen(_))), "{:?}", entered[2]);
    assert!(matches!(entered[3], Ok(Written::Answer(_))), "{:?}", entered[3]);
    let open = open_on_disk(&state);
    assert_eq!(open, [second], "nothing of what failed is left");
    // What is in memory is what is on disk.
    state.intend([3]);
    state
        .ledger
        .record(second, noon(), None, &[(id(2), Outcome::Accepted)])
        .unwrap();
}

#[test]
fn the_same_id_twice_is_intended_once() {
    let state = State::new();
    let entered = state
        .ledger
        .enter(&state.intent(), vec![intent_of([1, 2]), intent_of([2, 3])]);
    assert_eq!(cleared(&entered[0]).1, [id(1), id(2)]);
    assert!(matches!(entered[1], Err(Error::StillOpen { .. })), "{:?}", entered[1]);
}

#[test]
fn what_is_held_or_frozen_is_not_cleared_among_others_either() {
    let state = State::new();
    let held = [hold_on(HoldTarget::Backup(id(2)))];
    let intent = Intent {
        config_holds: &held,
        ..state.intent()
    };
    let entered = state.ledger.enter(&intent, vec![intent_of([1, 2]), intent_of([2])]);
    assert_eq!(cleared(&entered[0]).1, [id(1)]);
    assert!(
        matches!(&entered[1], Ok(Written::Intent(batch, IntentResult::Empty { .. })) if batch.is_empty()),
        "{:?}",
        entered[1]
    );
    let freeze = (freeze(), "c.yaml:7".to_owned());
    let intent = Intent {
        config_freeze: Some(&freeze),
        ..state.intent()
    };
    let first = cleared(&entered[0]).0;
    let entered = state
        .ledger
        .enter(&intent, vec![intent_of([3]), answer_to(first, &[1])]);
    assert!(
        matches!(&entered[0], Ok(Written::Intent(_, IntentResult::Frozen(_)))),
        "{:?}",
        entered[0]
    );
    assert!(entered[1].is_ok(), "a freeze keeps no answer from being recorded");
}

#[test]
fn another_ledger_s_lock_clears_nothing_and_records_answers() {
    let (state, other) = (State::new(), State::new());
    let first = state.intend([1]);
    let intent = Intent {
        lock: &other.lock,
        ..state.intent()
    };
    let entered = state
        .ledger
        .enter(&intent, vec![intent_of([2]), answer_to(first, &[1])]);
    assert!(matches!(entered[0], Err(Error::WrongLock { .. })), "{:?}", entered[0]);
    assert!(entered[1].is_ok(), "{:?}", entered[1]);
}

#[test]
fn no_batch_is_tried_again_where_the_disk_failed_and_what_was_answered_is() {
    if is_on_postgres() {
        return; // of the file
    }
    let state = State::new();
    let first = state.intend([1]);
    let (file, aside) = (state.ledger.path(), state.dir.path().join("aside"));
    std::fs::rename(file, &aside).unwrap();
    let entries = vec![intent_of([2]), answer_to(first, &[1]), intent_of([3])];
    let entered = state.ledger.enter(&state.intent(), entries);
    assert_eq!(entered.len(), 3);
    for of in entered {
        assert!(of.as_ref().is_err_and(Error::is_lost), "{of:?}");
    }
    std::fs::rename(&aside, file).unwrap();
    assert_eq!(open_on_disk(&state), [first], "nothing of it is on disk");
}

/// A disk that failed once may let a smaller intent through; nobody knows what it keeps of that.
#[test]
fn after_a_disk_failure_no_intent_of_the_same_turn_is_tried() {
    if is_on_postgres() {
        return; // of the file
    }
    let state = State::new();
    let limit = |pages: i64| {
        let connection = state.ledger.file().connection.lock().unwrap();
        connection.pragma_update(None, "max_page_count", pages).unwrap();
    };
    let pages: i64 = {
        let connection = state.ledger.file().connection.lock().unwrap();
        connection.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap()
    };
    limit(pages);
    let both = |first: usize| {
        let entries = vec![intent_of(first..first + 50), intent_of([first + 50])];
        state.ledger.enter(&state.intent(), entries)
    };
    let mut turns = (100..20_000).step_by(100).map(both);
    let entered = turns.find(|entered| entered.iter().any(Result::is_err));
    let entered = entered.expect("the pages run out");
    for one in &entered {
        assert!(matches!(one, Err(Error::NotTried(_))), "{one:?}");
    }
    // The twin.
    limit(1_000_000);
    let entered = state
        .ledger
        .enter(&state.intent(), vec![intent_of([9]), intent_of([10])]);
    assert_eq!(
        (cleared(&entered[0]).1, cleared(&entered[1]).1),
        (vec![id(9)], vec![id(10)])
    );
}
