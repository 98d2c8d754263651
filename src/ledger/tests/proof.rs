//! The chain: what `audit verify` finds and what `audit export` says.

use std::collections::BTreeSet;

use super::super::fixtures::{State, freeze, hold_on, id, is_on_postgres, noon};
use super::super::{
    Access, FinishedPolicy, Ledger, ListingDoubt, ListingPart, NewRun, RefusedPlan, Thaw, Verification,
};
use crate::retention::report::{RunResult, RunSummary};
use crate::retention::{HoldTarget, Mode, Outcome};

/// A ledger with at least one row of every kind a tamperer may want to change.
fn eventful() -> State {
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

/// Every table of the file, and whether the chain says what it holds.
const TABLES: &[(&str, bool)] = &[
    ("meta", true),
    ("chain", true),
    ("run", true),
    ("run_policy", true),
    ("request", true),
    ("packed", true),
    ("hold", true),
    ("freeze", true),
    ("approval", true),
    ("listing_doubt", true),
    ("grace", true),
    ("seen_instance", true),
    ("seen_backup", true),
    ("seen_sum", true),
    ("last_listing", true),
    ("believed", true),
    // Without a key here: `super::record`.
    ("configured_hold", false),
    // More than the chain says is found.
    ("confirmed", false),
    // Losing or changing these makes a run wait, keep or ask again; what they led to is in the chain.
    ("refused", false),
    ("first_seen", false),
    ("key_refusal", false),
    ("notified", false),
    ("decided", false),
];

/// A file with every kind of row, finished and open ones; where it lies.
fn with_everything() -> tempfile::TempDir {
    let state = eventful();
    let ledger = &state.ledger;
    let policies = [("production".into(), Mode::Enforce), ("other".into(), Mode::DryRun)];
    let run = NewRun {
        id: "run-2",
        policies: &policies,
        config_sha256: "c0ffee",
        started_at: noon(),
        cause: "schedule",
        person: None,
    };
    ledger.begin_run(&run).unwrap();
    let until = noon() + chrono::TimeDelta::hours(48);
    let plan = RefusedPlan::new("run-1", Vec::new(), vec![id(50), id(51)], noon());
    ledger
        .approve_plan(&"production".into(), &plan, until, "root", noon())
        .unwrap();
    let doubt = ListingDoubt {
        target: "0000in04".to_owned(),
        part: ListingPart::Entries,
        says: "3".to_owned(),
    };
    ledger.record_doubts(&[doubt], &[]).unwrap();
    ledger.accept_listing("0000in04", "root", noon()).unwrap();
    let frozen = ledger.thaw(Thaw::Only, "root", noon()).unwrap()[0].what.freeze.clone();
    state.intend([60, 61]);
    ledger.set_freeze(&frozen, "root", noon()).unwrap();
    let unanswered = Outcome::Unanswered {
        why: "reset".to_owned(),
    };
    ledger.thaw(Thaw::Only, "root", noon()).unwrap();
    let request = state.intend([70]);
    ledger.record(request, noon(), None, &[(id(70), unanswered)]).unwrap();
    state.accept([70]);
    ledger.set_freeze(&frozen, "root", noon()).unwrap();
    super::record::grace(&state, "production", &[80, 81], 0).unwrap();
    super::record::list(&state, "run-3", &super::record::listed()).unwrap();
    state.dir
}

/// Whether `audit verify` finds a change made to a copy of that file.
fn finds(dir: &std::path::Path, sql: &str) -> bool {
    let copy = tempfile::tempdir().unwrap();
    let file = copy.path().join("ledger.sqlite3");
    std::fs::copy(dir.join("ledger.sqlite3"), &file).unwrap();
    let connection = rusqlite::Connection::open(&file).unwrap();
    connection
        .execute_batch("DROP TRIGGER chain_no_update; DROP TRIGGER chain_no_delete;")
        .unwrap();
    let changed = connection
        .execute(sql, [])
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
    assert_eq!(changed, 1, "{sql}");
    connection.close().unwrap();
    match Ledger::open(copy.path(), Access::Existing, noon()) {
        Err(error) => error.to_string().contains("damaged"),
        Ok(ledger) => match ledger.verify(None) {
            Ok(verification) => matches!(verification, Verification::Broken { .. }),
            Err(error) => error.to_string().contains("damaged"),
        },
    }
}

/// Tables and columns are taken from the file itself, so that none is forgotten.
#[test]
fn a_change_of_any_column_of_any_row_is_found() {
    if is_on_postgres() {
        return; // of the file
    }
    let dir = with_everything();
    let connection = rusqlite::Connection::open(dir.path().join("ledger.sqlite3")).unwrap();
    let words = |sql: &str| -> Vec<String> {
        let mut statement = connection.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| row.get(0)).unwrap();
        rows.map(Result::unwrap).collect()
    };
    let tables: BTreeSet<String> =
        words("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'")
            .into_iter()
            .collect();
    assert_eq!(tables, TABLES.iter().map(|(name, _)| (*name).to_owned()).collect());
    let mut tried = 0;
    for (table, _) in TABLES.iter().filter(|(_, is_covered)| *is_covered) {
        let rows = words(&format!("SELECT CAST(ROW_NUMBER() OVER () - 1 AS TEXT) FROM {table}"));
        let columns = words(&format!("SELECT name || ' ' || type FROM pragma_table_info('{table}')"));
        let key = words(&format!(
            "SELECT GROUP_CONCAT(name, ', ') FROM pragma_table_info('{table}') WHERE pk > 0"
        ));
        let this = |row: &str| {
            format!(
                "({}) IN (SELECT {0} FROM {table} ORDER BY {0} LIMIT 1 OFFSET {row})",
                key[0]
            )
        };
        for row in &rows {
            // How often it was probed is no event.
            let is_probe =
                *table == "meta" && words(&format!("SELECT key FROM meta WHERE {}", this(row))) == ["probes"];
            if is_probe {
                continue;
            }
            for column in &columns {
                let (name, kind) = column.split_once(' ').unwrap();
                // There is one freeze, by a constraint.
                if (*table, name) == ("freeze", "only") {
                    continue;
                }
                let value = match (name, kind) {
                    ("target", _) if *table == "hold" => r#"'{"backup":"other"}'"#.to_owned(),
                    (_, "INTEGER") => format!("COALESCE({name}, 0) + 1000"),
                    _ => format!("COALESCE({name}, '') || 'x'"),
                };
                let sql = format!("UPDATE {table} SET {name} = {value} WHERE {}", this(row));
                assert!(finds(dir.path(), &sql), "{sql}");
                tried += 1;
            }
            // A doubt ends without a row of the chain.
            if *table != "listing_doubt" {
                let sql = format!("DELETE FROM {table} WHERE {}", this(row));
                assert!(finds(dir.path(), &sql), "{sql}");
                tried += 1;
            }
        }
    }
    assert!(tried > 280, "only {tried} changes were tried");
    for sql in [
        "INSERT INTO approval VALUES ('production', 'never-approved', 9999999999999999)",
        "INSERT INTO listing_doubt VALUES ('another', 'entries', '3', 1)",
        "INSERT INTO run_policy VALUES ('run-2', 'third', 'enforce', 1, NULL)",
        "INSERT INTO hold (target, reason, placed_at) VALUES ('{\"backup\":\"x\"}', 'y', 1)",
    ] {
        assert!(finds(dir.path(), sql), "{sql}");
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
