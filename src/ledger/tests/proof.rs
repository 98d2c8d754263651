//! The chain: what `audit verify` finds and what `audit export` says.

use super::super::fixtures::{State, freeze, hold_on, id, is_on_postgres, noon};
use super::super::{Access, FinishedPolicy, ListingDoubt, ListingPart, NewRun, RefusedPlan, Thaw, Verification};
use crate::retention::report::{RunResult, RunSummary};
use crate::retention::{HoldTarget, Mode, Outcome};

/// A ledger with at least one row of every kind a tamperer may want to change.
pub(super) fn eventful() -> State {
    let state = State::new();
    let ledger = &state.ledger;
    let policies = [("production".into(), Mode::Enforce)];
    let run = NewRun {
        id: "run-1",
        policies: &policies,
        config_sha256: "c0ffee",
        started_at: noon(),
        cause: "apply",
        person: None,
    };
    ledger.begin_run(&run).unwrap();
    state.accept(1..=3);
    ledger.settle("run-1", noon(), &[id(1)], &[id(2)]).unwrap();
    state.accept([2]);
    ledger
        .add_hold(&hold_on(HoldTarget::Backup(id(9))), "root", noon())
        .unwrap();
    ledger
        .add_hold(&hold_on(HoldTarget::Backup(id(8))), "root", noon())
        .unwrap();
    ledger.release("h1", "root", noon()).unwrap();
    ledger.set_freeze(&freeze(), "root", noon()).unwrap();
    let finished = FinishedPolicy {
        policy: "production".into(),
        result: RunResult::Success,
        summary: RunSummary::default(),
    };
    ledger.finish_run("run-1", noon(), &[finished]).unwrap();
    state
}

fn broken_row(state: &State) -> u64 {
    match state.ledger.verify(None).unwrap() {
        Verification::Broken { row, .. } => row,
        intact @ Verification::Intact { .. } => panic!("the change was not found: {intact:?}"),
    }
}

fn what_is_broken(state: &State) -> String {
    match state.ledger.verify(None).unwrap() {
        Verification::Broken { what, .. } => what,
        intact @ Verification::Intact { .. } => panic!("the change was not found: {intact:?}"),
    }
}

#[test]
fn an_untouched_ledger_is_intact() {
    let state = eventful();
    let head = state.ledger.head().unwrap();
    let expected = Verification::Intact {
        rows: 13,
        head: head.clone(),
    };
    assert_eq!(state.ledger.verify(None).unwrap(), expected);
    assert_eq!(state.ledger.verify(Some(&head)).unwrap(), expected);
}

/// A run deletes by these tables alone, so it asks before anything else whether they are what the chain says.
#[test]
fn a_run_does_not_begin_on_changed_holds_freeze_or_approvals() {
    let eventful = || {
        let state = eventful();
        let until = noon() + chrono::TimeDelta::hours(48);
        let ledger = &state.ledger;
        let plan = RefusedPlan::new("run-1", Vec::new(), vec![id(5)], noon());
        ledger
            .approve_plan(&"production".into(), &plan, until, "root", noon())
            .unwrap();
        let doubt = ListingDoubt {
            target: "i1in04".to_owned(),
            part: ListingPart::Entries,
            says: "3".to_owned(),
        };
        ledger.record_doubts(&[doubt], &[]).unwrap();
        ledger.accept_listing("i1in04", "root", noon()).unwrap();
        state
    };
    let state = eventful();
    state.begin_run("run-2").unwrap();
    state.ledger.thaw(Thaw::Only, "root", noon()).unwrap();
    state.ledger.release("h2", "root", noon()).unwrap();
    let counts = [("i1in04".into(), 3)];
    let counted = state
        .ledger
        .observe(noon(), |seen| seen.accept_count(&"prod".into(), None, &counts));
    counted.unwrap();
    state.begin_run("run-3").unwrap();
    for (change, what) in [
        ("DELETE FROM hold WHERE number = 2", "the table of holds is not"),
        (
            "UPDATE hold SET until = 0 WHERE number = 2",
            "the table of holds is not",
        ),
        ("UPDATE hold SET released_at = placed_at", "the table of holds is not"),
        ("DELETE FROM \"freeze\"", "the table of freezes is not"),
        ("UPDATE approval SET backup = 'other'", "the table of approvals is not"),
        (
            "UPDATE listing_doubt SET says = '2'",
            "the table of accepted listings is not",
        ),
        (
            "UPDATE chain SET body = replace(body, '\"h2\"', '\"h3\"') WHERE kind = 'hold'; UPDATE hold SET number = 3 WHERE number = 2",
            "its content is not what was sealed",
        ),
        (
            "DELETE FROM chain WHERE kind = 'freeze'; DELETE FROM \"freeze\"",
            "rows after row 0 are missing",
        ),
    ] {
        let state = eventful();
        state.tamper(change);
        let error = state.begin_run("run-2").expect_err(change);
        let error = format!("{error:#} {:?}", std::error::Error::source(&error));
        assert!(error.contains(what), "{change}: {error}");
    }
}

/// A year of runs is no reason to begin the next one later.
#[test]
fn what_people_said_is_found_without_reading_what_runs_did() {
    if is_on_postgres() {
        return; // of the file
    }
    let state = eventful();
    let connection = rusqlite::Connection::open(state.ledger.path()).unwrap();
    let explain = format!("EXPLAIN QUERY PLAN {}", super::super::chain::OPERATOR_ROWS);
    let plan: String = connection.query_row(&explain, [], |row| row.get(3)).unwrap();
    assert!(plan.contains("INDEX chain_words"), "{plan}");
}

#[test]
fn a_changed_row_is_found() {
    for column in ["at", "kind", "body", "prev", "hash"] {
        let state = eventful();
        state.tamper(&format!("UPDATE chain SET {column} = {column} || ' ' WHERE seq = 4"));
        assert_eq!(broken_row(&state), 4, "{column}");
    }
}

#[test]
fn a_row_removed_from_the_middle_is_found() {
    let state = eventful();
    state.tamper("DELETE FROM chain WHERE seq = 5");
    assert_eq!(broken_row(&state), 4);
}

#[test]
fn a_removed_row_is_found_when_the_others_are_renumbered() {
    let state = eventful();
    state.tamper("DELETE FROM chain WHERE seq = 5; UPDATE chain SET seq = seq - 1 WHERE seq > 5");
    assert_eq!(broken_row(&state), 5);
}

#[test]
fn a_removed_first_row_is_found() {
    let state = eventful();
    state.tamper("DELETE FROM chain WHERE seq = 1");
    assert_eq!(broken_row(&state), 0);
}

#[test]
fn rows_that_changed_places_are_found() {
    let state = eventful();
    state.tamper(
        "UPDATE chain SET seq = -4 WHERE seq = 4; UPDATE chain SET seq = 4 WHERE seq = 5; \
         UPDATE chain SET seq = 5 WHERE seq = -4",
    );
    assert_eq!(broken_row(&state), 4);
}

#[test]
fn a_row_put_in_between_is_found() {
    let state = eventful();
    state.tamper(
        "UPDATE chain SET seq = -(seq + 1) WHERE seq > 4; UPDATE chain SET seq = -seq WHERE seq < 0; \
         INSERT INTO chain SELECT 5, at, kind, body, hash, hash FROM chain WHERE seq = 4",
    );
    assert_eq!(broken_row(&state), 5);
}

#[test]
fn a_cut_tail_is_found_and_stops_all_writing() {
    let state = eventful();
    state.tamper("DELETE FROM chain WHERE seq > 11");
    assert_eq!(broken_row(&state), 11);
    let error = state.ledger.set_freeze(&freeze(), "root", noon()).unwrap_err();
    assert!(error.to_string().contains("removed or changed at its end"), "{error}");
}

#[test]
fn a_skilfully_cut_tail_is_found_with_the_head_that_a_run_logged() {
    let state = State::new();
    state.accept([1]);
    let logged = state.ledger.head().unwrap();
    // The two last rows and all traces of them: what is left is a good ledger of one row.
    state.tamper(
        "DELETE FROM chain WHERE seq > 1; DELETE FROM request; \
         UPDATE meta SET value = '1' WHERE key = 'rows'; \
         UPDATE meta SET value = (SELECT hash FROM chain WHERE seq = 1) WHERE key = 'head'",
    );
    // The process that wrote them knows; another one does not.
    assert!(state.ledger.verify(None).is_err_and(|error| error.is_lost()));
    let other = state.again(Access::ReadOnly);
    assert!(matches!(
        other.verify(None).unwrap(),
        Verification::Intact { rows: 1, .. }
    ));
    assert!(matches!(
        other.verify(Some(&logged)).unwrap(),
        Verification::Broken { row: 1, .. }
    ));
}

#[test]
fn tables_that_say_something_else_than_the_chain_are_found() {
    for (sql, table) in [
        ("UPDATE request SET states = replace(states, 'c', 'r')", "deletions"),
        (
            "UPDATE request SET states = 'a4' || substr(states, 3), unsettled = unsettled + 1 WHERE seq = 3",
            "deletions",
        ),
        ("DELETE FROM request WHERE seq = 3", "requests"),
        (
            "INSERT INTO request SELECT 99, run, attempt, project, at, answer, states, unsettled FROM request WHERE seq = 3",
            "requests",
        ),
        ("UPDATE run_policy SET result = 'failed'", "runs"),
        ("UPDATE hold SET released_at = 1 WHERE number = 2", "holds"),
        ("DELETE FROM hold WHERE number = 2", "holds"),
        ("UPDATE hold SET until = 1 WHERE number = 2", "holds"),
        ("DELETE FROM \"freeze\"", "freeze"),
    ] {
        let state = eventful();
        state.tamper(sql);
        let what = what_is_broken(&state);
        assert!(what.contains(table), "{sql}: {what}");
    }
}

#[test]
fn the_chain_refuses_plain_updates_and_deletes() {
    if is_on_postgres() {
        return; // of the file
    }
    let state = eventful();
    let connection = rusqlite::Connection::open(state.ledger.path()).unwrap();
    for sql in ["UPDATE chain SET body = '{}'", "DELETE FROM chain"] {
        let error = connection.execute(sql, []).unwrap_err();
        assert!(error.to_string().contains("append-only"), "{error}");
    }
}

#[test]
fn the_export_says_all_about_a_deletion_on_one_line() {
    let state = eventful();
    state.ledger.thaw(Thaw::Only, "root", noon()).unwrap();
    let request = state.intend([40]);
    let (code, message) = ("DBS.200054".to_owned(), "in use".to_owned());
    let outcomes = [(id(40), Outcome::Rejected { code, message })];
    state.ledger.record(request, noon(), Some("req-40"), &outcomes).unwrap();
    let mut out = Vec::new();
    state.ledger.export(&mut out).unwrap();
    let lines: Vec<serde_json::Value> = String::from_utf8(out)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 16);
    let last = lines.last().unwrap();
    assert_eq!(last["kind"], "outcome");
    assert_eq!(last["hash"].as_str(), Some(state.ledger.head().unwrap().as_str()));
    assert_eq!(
        last["deletions"][0],
        serde_json::json!({
            "backup": id(40), "backup_name": "nightly-40", "begin_time": "2026-01-02T16:00:00Z", "size_bytes": 1040,
            "status": "COMPLETED", "project": "prod", "instance_id": "0000in04", "instance_name": "mssql-1",
            "policy": "production", "rule": "not_kept", "config_sha256": "c0ffee", "run": "run-1", "attempt": 1,
            "listing": {"count": 77, "read_at": "2026-11-23T11:59:30Z"}, "request": 15, "request_id": "req-40",
            "sent_at": "2026-11-23T12:00:00Z", "answered_at": "2026-11-23T12:00:00Z",
            "outcome": "rejected", "code": "DBS.200054", "message": "in use", "settled_at": null, "state": "rejected",
        })
    );
}
