//! The right to delete: the lock, its file, and what happens when either is not the one it was.

use super::super::fixtures::{State, batch, id, is_on_postgres, noon, project};
use super::super::{Error, Fault, IntentResult, Ledger};
use super::deleting::a_late_answer_breaks_nothing;
use crate::retention::Outcome;

#[test]
fn the_lock_of_another_state_gives_no_right_to_delete() {
    let (state, other) = (State::new(), State::new());
    let mut intent = state.intent();
    intent.lock = &other.lock;
    let error = state.ledger.intend(&intent, &mut batch([1])).unwrap_err();
    assert!(matches!(error, Error::WrongLock { .. }), "{error}");
}

#[test]
fn the_deletion_lock_is_one_and_ends_with_its_holder() {
    if is_on_postgres() {
        return; // of the file
    }
    let state = State::new();
    assert!(Ledger::lock_deletions(state.dir.path(), &[]).unwrap().is_none());
    let State { dir, lock, .. } = state;
    drop(lock);
    // Another test may be starting a process, which has the file, too, until it is one.
    let is_free = |_| {
        std::thread::sleep(std::time::Duration::from_millis(20));
        Ledger::lock_deletions(dir.path(), &[]).unwrap().is_some()
    };
    assert!((0..100).any(is_free));
}

/// A person takes `deletions.lock` for a stale file.
#[test]
fn a_lock_whose_file_was_removed_gives_no_right_to_delete() {
    if is_on_postgres() {
        return; // of the file
    }
    let state = State::new();
    std::fs::remove_file(state.dir.path().join("deletions.lock")).unwrap();
    let second = Ledger::lock_deletions(state.dir.path(), &[]).unwrap().unwrap();
    let error = state.ledger.intend(&state.intent(), &mut batch([1])).unwrap_err();
    assert!(matches!(error, Error::WrongLock { .. }) && error.is_lost(), "{error}");
    let file = state.dir.path().canonicalize().unwrap().join("deletions.lock");
    assert!(
        error.to_string().starts_with(&format!("{}: ", file.display())),
        "{error}"
    );
    let mut intent = state.intent();
    intent.lock = &second;
    assert!(matches!(
        state.ledger.intend(&intent, &mut batch([1])).unwrap(),
        IntentResult::Cleared { .. }
    ));
}

/// It was stopped while its lock file was removed, and goes on where it was.
#[test]
fn an_answer_that_comes_after_the_holder_of_another_lock_file_closed_its_request_breaks_nothing() {
    if is_on_postgres() {
        return; // of the file
    }
    let state = State::new();
    let request = state.intend([1]);
    std::fs::remove_file(state.dir.path().join("deletions.lock")).unwrap();
    let next = Ledger::lock_deletions(state.place.clone(), &[project()])
        .unwrap()
        .unwrap();
    a_late_answer_breaks_nothing(&state, request, &next);
}

/// Opening a pipe waits for its writer, and `freeze` and `history` with it.
#[test]
fn a_pipe_in_place_of_a_file_of_the_state_is_not_waited_for() {
    if is_on_postgres() {
        return; // of the file
    }
    let state = State::new();
    state.ledger.close_open_requests(&state.lock, noon()).unwrap();
    state.intend([1]);
    let path = state.dir.path().join("deletions.lock");
    std::fs::remove_file(&path).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
    assert!(made.success());
    assert!(state.ledger.is_deleting(), "in doubt");
}

/// What was sent under the lock file that is gone may be on its way until it is answered.
#[test]
fn requests_that_were_sent_under_another_lock_file_are_waited_for() {
    if is_on_postgres() {
        return; // of the file
    }
    let state = State::new();
    let lock = || Ledger::lock_deletions(state.dir.path(), &[]).unwrap().unwrap();
    let awaits = |lock: &_| state.ledger.awaits_other_holder(lock).unwrap();
    state.ledger.close_open_requests(&state.lock, noon()).unwrap();
    let request = state.intend([1]);
    assert!(!awaits(&state.lock), "its own");
    std::fs::remove_file(state.dir.path().join("deletions.lock")).unwrap();
    assert!(state.ledger.is_deleting(), "in doubt");
    let second = lock();
    assert!(awaits(&second));
    state
        .ledger
        .record(request, noon(), None, &[(id(1), Outcome::Accepted)])
        .unwrap();
    assert!(!awaits(&second), "answered");
    // A killed process leaves its lock file, and the next one has nothing to wait for.
    state.ledger.close_open_requests(&second, noon()).unwrap();
    let mut intent = state.intent();
    intent.lock = &second;
    let cleared = state.ledger.intend(&intent, &mut batch([2])).unwrap();
    assert!(matches!(cleared, IntentResult::Cleared { .. }));
    drop(second);
    assert!(!awaits(&lock()));
    assert!(!state.ledger.is_deleting());
}

/// A restore beneath a running process: a hold placed in the new file would not be seen.
#[test]
fn a_ledger_that_was_moved_or_replaced_takes_no_intent() {
    if is_on_postgres() {
        return; // of the file
    }
    let state = State::new();
    let file = state.ledger.path().to_owned();
    let aside = file.with_extension("aside");
    std::fs::rename(&file, &aside).unwrap();
    let fault = |state: &State| state.ledger.intend(&state.intent(), &mut batch([1])).unwrap_err();
    assert!(matches!(fault(&state).fault(), Some(Fault::Gone)));
    std::fs::copy(&aside, &file).unwrap();
    assert!(matches!(fault(&state).fault(), Some(Fault::Replaced)));
    std::fs::rename(&aside, &file).unwrap();
    state.intend([1]);
}
