//! A change of any column of any row of any table is found.

use std::collections::BTreeSet;

use super::super::fixtures::{id, is_on_postgres, noon};
use super::super::{Access, Ledger, ListingDoubt, ListingPart, NewRun, RefusedPlan, Thaw, Verification};
use super::proof::eventful;
use crate::retention::{Mode, Outcome};

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
