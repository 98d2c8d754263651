//! Old rows, packed: smaller, and not a word less.

use chrono::TimeDelta;

use super::super::fixtures::{State, hold_on, id, is_on_postgres, noon};
use super::super::{DeletionState, Verification};
use crate::retention::HoldTarget;

/// So many batches of fifty, all confirmed but the last id.
fn long_ago(batches: usize) -> State {
    let state = State::new();
    for batch in 0..batches {
        let ids = batch * 50..(batch + 1) * 50;
        state.accept(ids.clone());
        if batch == 3 {
            let target = HoldTarget::Backup(id(999_999));
            // Dated by a clock that was wrong: that must hold nothing up.
            let wrong = noon() + TimeDelta::days(3_650);
            state.ledger.add_hold(&hold_on(target), "dba", wrong).unwrap();
        }
        let mut gone: Vec<_> = ids.map(id).collect();
        if batch + 1 == batches {
            gone.pop();
        }
        state.ledger.settle("run-1", noon(), &gone, &[]).unwrap();
    }
    state
}

fn exported(state: &State) -> String {
    let mut out = Vec::new();
    state.ledger.export(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn rows(state: &State) -> u64 {
    match state.ledger.verify(None).unwrap() {
        Verification::Intact { rows, .. } => rows,
        broken @ Verification::Broken { .. } => panic!("{broken:?}"),
    }
}

#[test]
fn what_is_packed_reads_as_before_and_the_chain_holds() {
    let state = long_ago(100);
    let (before, all, head) = (exported(&state), rows(&state), state.ledger.head().unwrap());
    let size = |state: &State| -> i64 {
        if is_on_postgres() {
            return 0;
        }
        let connection = state.ledger.file().connection.lock().unwrap();
        let pages = |name: &str| -> i64 {
            connection
                .query_row(&format!("PRAGMA {name}"), [], |row| row.get(0))
                .unwrap()
        };
        pages("page_count") - pages("freelist_count")
    };
    let was = size(&state);
    assert_eq!(state.ledger.pack(noon() + TimeDelta::days(29)).unwrap(), 0, "too young");
    let packed = state.ledger.pack(noon() + TimeDelta::days(31)).unwrap();
    assert!(packed >= 200, "{packed} of {all} rows");
    assert!(
        is_on_postgres() || size(&state) * 3 < was,
        "{} of {was} pages",
        size(&state)
    );
    assert_eq!(exported(&state), before);
    assert_eq!(rows(&state), all);
    assert_eq!(state.ledger.head().unwrap(), head);
    let past = state.ledger.backup_history(&id(7)).unwrap();
    assert_eq!(past.len(), 1);
    assert_eq!(
        (past[0].state, past[0].settled_at),
        (DeletionState::Confirmed, Some(noon()))
    );
    assert_eq!(past[0].backup_name, "nightly-7");
    assert_eq!(state.ledger.backup_history(&id(777_777)).unwrap(), []);
    assert!(state.ledger.known_backup(&id(7)).unwrap().is_some());
    assert!(state.ledger.known_backup(&id(777_777)).unwrap().is_none());
    // What still waits is settled as ever, wherever its rows are.
    let again = state.again(super::super::Access::Existing);
    let waiting = again.unconfirmed().unwrap();
    assert_eq!(waiting.len(), 1);
    again
        .settle("run-2", noon(), &[waiting[0].backup.clone()], &[])
        .unwrap();
    assert_eq!(rows(&state), all + 1);
}

#[test]
fn a_packed_row_that_was_changed_or_lost_is_found() {
    for sql in [
        "DELETE FROM packed",
        "UPDATE packed SET rows = (SELECT rows FROM packed ORDER BY first DESC LIMIT 1)",
        "UPDATE packed SET rows = substr(rows, 1, length(rows) - 9)",
        "UPDATE packed SET rows = substr(rows, 1, 1)",
    ] {
        let state = long_ago(100);
        assert!(
            state.ledger.pack(noon() + TimeDelta::days(31)).unwrap() >= 200,
            "two pieces"
        );
        state.tamper(sql);
        let found = state.ledger.verify(None);
        assert!(!matches!(found, Ok(Verification::Intact { .. })), "{sql}: {found:?}");
    }
}

#[test]
fn only_packed_details_can_be_taken_out_of_the_chain() {
    if is_on_postgres() {
        return; // of the file
    }
    let state = long_ago(100);
    state.ledger.pack(noon() + TimeDelta::days(31)).unwrap();
    let connection = rusqlite::Connection::open(state.ledger.path()).unwrap();
    for kind in ["hold", "created", "intent"] {
        let sql = format!("DELETE FROM chain WHERE seq = (SELECT MAX(seq) FROM chain WHERE kind = '{kind}')");
        let error = connection.execute(&sql, []).unwrap_err();
        assert!(error.to_string().contains("append-only"), "{kind}: {error}");
    }
}
