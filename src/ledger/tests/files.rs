//! Files that are missing, damaged, too new, not ours to write.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};

use super::super::chain::{self, Kind};
use super::super::fixtures::{INSTANCE, State, at, freeze, id, noon, project};
use super::super::sql::Tx;
use super::super::{Access, DeletionState, Error, Fault, Ledger, Thaw, Verification, connection, schema};

#[test]
fn only_create_makes_a_ledger_and_says_so_once() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("a/b");
    for access in [Access::Existing, Access::ReadOnly] {
        let error = Ledger::open(&state, access, noon()).unwrap_err();
        assert!(matches!(error, Error::Missing { .. }), "{error}");
        assert!(!state.exists());
    }
    let ledger = Ledger::open(&state, Access::Create, noon()).unwrap();
    assert!(ledger.is_new());
    assert_eq!(ledger.created_at(), noon());
    assert_eq!(fs::metadata(&state).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(fs::metadata(ledger.path()).unwrap().permissions().mode() & 0o777, 0o600);
    let later = noon() + chrono::TimeDelta::days(1);
    let again = Ledger::open(&state, Access::Create, later).unwrap();
    assert!(!again.is_new());
    assert_eq!(again.created_at(), noon());
    for access in [Access::Existing, Access::ReadOnly] {
        let empty = state.join("c");
        fs::create_dir_all(&empty).unwrap();
        assert!(matches!(
            Ledger::open(&empty, access, noon()),
            Err(Error::Missing { .. })
        ));
        assert_eq!(fs::read_dir(&empty).unwrap().count(), 0);
    }
}

#[test]
fn writes_are_durable_in_a_wal() {
    let state = State::new();
    let connection = state.ledger.file().connection.lock().unwrap();
    let pragma = |name: &str| -> String {
        connection
            .query_row(&format!("SELECT CAST({name} AS TEXT) FROM pragma_{name}"), [], |row| {
                row.get(0)
            })
            .unwrap()
    };
    assert_eq!(pragma("journal_mode"), "wal");
    assert_eq!(pragma("synchronous"), "2", "2 is FULL");
}

#[test]
fn a_file_of_garbage_an_empty_one_and_another_programs_are_refused_unchanged() {
    let other = tempfile::NamedTempFile::new().unwrap();
    let connection = rusqlite::Connection::open(other.path()).unwrap();
    connection.execute_batch("CREATE TABLE theirs (a)").unwrap();
    connection.close().unwrap();
    for content in [vec![b'x'; 5_000], Vec::new(), fs::read(other.path()).unwrap()] {
        for access in [Access::Create, Access::Existing, Access::ReadOnly] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("ledger.sqlite3");
            fs::write(&path, &content).unwrap();
            let error = Ledger::open(dir.path(), access, noon()).unwrap_err();
            assert!(matches!(error.fault(), Some(Fault::Corrupt(_))), "{error}");
            assert!(
                error.to_string().contains("move the file aside with its -wal"),
                "{error}"
            );
            assert!(error.to_string().contains("ledger.sqlite3"), "{error}");
        }
    }
}

#[test]
fn a_page_overwritten_with_garbage_is_damage_and_not_an_unknown_error() {
    let State { dir, ledger, .. } = State::new();
    let path = ledger.path().to_owned();
    drop(ledger);
    let mut bytes = fs::read(&path).unwrap();
    for byte in &mut bytes[4_096..] {
        *byte = 0xa5;
    }
    fs::write(&path, bytes).unwrap();
    let error = Ledger::open(dir.path(), Access::Create, noon()).unwrap_err();
    assert!(matches!(error.fault(), Some(Fault::Corrupt(_))), "{error}");
}

#[test]
fn a_cut_chain_is_noticed_at_the_next_start() {
    let state = State::new();
    state.accept([1]);
    state.tamper("DELETE FROM chain WHERE seq = 3");
    for access in [Access::Create, Access::ReadOnly] {
        let error = Ledger::open(state.dir.path(), access, noon()).unwrap_err();
        assert!(matches!(error.fault(), Some(Fault::Corrupt(_))), "{error}");
    }
}

#[test]
fn a_newer_format_is_refused_unchanged() {
    let state = State::new();
    state.tamper("PRAGMA user_version = 99");
    for access in [Access::Create, Access::Existing, Access::ReadOnly] {
        let error = Ledger::open(state.dir.path(), access, noon()).unwrap_err();
        assert!(matches!(error.fault(), Some(Fault::Newer { found: 99, .. })), "{error}");
        assert!(error.to_string().contains("format 99"), "{error}");
    }
}

/// A state directory whose ledger is of format 3, made by the program of that format (its `.dump` is in tests/data).
fn of_format_3(more: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.sqlite3");
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection
        .execute_batch(include_str!("../../../tests/data/ledger-format-3.sql"))
        .unwrap();
    connection.execute_batch(more).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    dir
}

#[test]
fn a_ledger_of_an_older_format_is_brought_up_with_all_that_is_in_it() {
    let now = at("2026-11-28T17:00:00Z");
    for more in ["", "DROP INDEX chain_words; PRAGMA user_version = 2"] {
        let dir = of_format_3(more);
        let ledger = Ledger::open(dir.path(), Access::Create, now).unwrap();
        let newest = i64::try_from(schema::STEPS.len()).unwrap();
        let connection = ledger.file().connection.lock().unwrap();
        assert_eq!(schema::version(&connection, schema::STEPS).unwrap(), newest);
        drop(connection);
        assert!(matches!(
            ledger.verify(None).unwrap(),
            Verification::Intact { rows: 13, .. }
        ));
        assert_eq!(ledger.active_holds(now).unwrap().len(), 1);
        assert_eq!(ledger.holds().unwrap().len(), 2);
        let frozen = ledger.freezes().unwrap();
        assert_eq!(
            (frozen[0].id.as_str(), frozen[0].freeze.reason.as_str()),
            ("f1", "audit")
        );
        assert_eq!(
            ledger
                .approvals(&"refused".into(), crate::retention::People::One, now)
                .unwrap()
                .len(),
            5
        );
        let graces = ledger.grace(&"later".into()).unwrap();
        let last_run = at("2026-11-28T16:36:57.702980Z");
        assert!(
            graces
                .iter()
                .all(|period| (period.since, period.seen) == (last_run, last_run))
        );
        assert_eq!(graces.len(), 4);
    }
}

#[test]
fn a_step_is_applied_once() {
    let state = State::new();
    let mut connection = state.ledger.file().connection.lock().unwrap();
    let newest = i64::try_from(schema::STEPS.len()).unwrap();
    let steps: Vec<&str> = schema::STEPS
        .iter()
        .copied()
        .chain(["CREATE TABLE later (a TEXT) STRICT"])
        .collect();
    for _ in 0..2 {
        let from = schema::version(&connection, &steps).unwrap();
        let tx = connection.transaction().unwrap();
        schema::migrate(&tx, from, &steps).unwrap();
        tx.commit().unwrap();
        assert_eq!(schema::version(&connection, &steps).unwrap(), newest + 1);
    }
    let rows: i64 = connection
        .query_row("SELECT COUNT(*) FROM chain", [], |row| row.get(0))
        .unwrap();
    assert_eq!(rows, 1, "what was there stays");
}

#[test]
fn a_reader_reads_beside_a_daemon_and_writes_nothing() {
    let state = State::new();
    state.ledger.set_freeze(&freeze(), "root", noon()).unwrap();
    let reader = state.again(Access::ReadOnly);
    assert_eq!(reader.freezes().unwrap()[0].freeze, freeze());
    let error = reader.thaw(Thaw::Only, "root", noon()).unwrap_err();
    assert!(matches!(error.fault(), Some(Fault::ReadOnly)), "{error}");
    assert!(error.to_string().contains("nothing is deleted"), "{error}");
    assert_eq!(
        state.ledger.thaw(Thaw::Only, "root", noon()).unwrap()[0].what.freeze,
        freeze()
    );
    assert_eq!(reader.freezes().unwrap(), []);
}

#[test]
fn a_file_as_it_lies_can_be_read_where_nothing_can_be_written() {
    let State { dir, ledger, .. } = State::new();
    ledger.set_freeze(&freeze(), "root", noon()).unwrap();
    let path = ledger.path().to_owned();
    drop(ledger);
    // What `open` falls back to on a read-only file system; root may write anywhere, so it is asked for by name.
    let (connection, created_at) = connection::open_immutable(&path).unwrap();
    assert_eq!(created_at, noon());
    let reason: String = connection
        .query_row("SELECT reason FROM freeze", [], |row| row.get(0))
        .unwrap();
    assert_eq!(reason, "audit");
    assert!(!dir.path().join("ledger.sqlite3-shm").exists());
}

#[test]
fn root_beside_a_service_user_leaves_no_file_that_the_user_cannot_write() {
    const SERVICE: u32 = 64_321;
    let dir = tempfile::tempdir().unwrap();
    if chown(dir.path(), Some(SERVICE), Some(SERVICE)).is_err() {
        // Only root can be root beside a service user.
        return;
    }
    let ledger = Ledger::open(dir.path(), Access::Create, noon()).unwrap();
    let _lock = Ledger::lock_deletions(dir.path(), &[]).unwrap();
    ledger.set_freeze(&freeze(), "root", noon()).unwrap();
    let again = Ledger::open(dir.path(), Access::Existing, noon()).unwrap();
    again.thaw(Thaw::Only, "root", noon()).unwrap();
    let mut names = Vec::new();
    for entry in fs::read_dir(dir.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().uid(), SERVICE, "{:?}", entry.file_name());
        assert_eq!(entry.metadata().unwrap().gid(), SERVICE, "{:?}", entry.file_name());
        names.push(entry.file_name());
    }
    names.sort();
    assert_eq!(
        names,
        [
            "deletions.lock",
            "ledger.sqlite3",
            "ledger.sqlite3-shm",
            "ledger.sqlite3-wal"
        ]
    );
}

#[test]
fn a_link_in_place_of_the_ledger_is_not_followed() {
    let (state, dir) = (State::new(), tempfile::tempdir().unwrap());
    std::os::unix::fs::symlink(state.ledger.path(), dir.path().join("ledger.sqlite3")).unwrap();
    assert!(Ledger::open(dir.path(), Access::Create, noon()).is_err());
}

#[test]
fn a_ledger_of_the_first_format_keeps_every_deletion_and_its_proof() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.sqlite3");
    let mut old = rusqlite::Connection::open(&path).unwrap();
    let tx = old.transaction().unwrap();
    schema::migrate(&tx, 0, &schema::STEPS[..1]).unwrap();
    let tx = Tx::Lite(tx);
    tx.execute(
        "INSERT INTO meta VALUES ('created_at', ?1), ('rows', '0'), ('head', ?2), ('probes', '0')",
        (chain::written(noon()), chain::GENESIS),
    )
    .unwrap();
    chain::append(&tx, noon(), Kind::Created, &serde_json::json!({})).unwrap();
    let listing = serde_json::json!({"count": 77, "read_at": "2026-11-23T11:59:30Z"});
    let item = |number: usize| {
        serde_json::json!({
            "backup": id(number), "name": format!("nightly-{number}"), "instance": INSTANCE, "policy": "production", "rule": "not_kept",
            "begin": "2026-01-01T01:00:00Z", "size_bytes": 1000 + number, "status": "COMPLETED",
        })
    };
    // 9 before 2, which is not the order of the table.
    let intent = serde_json::json!({
        "run": "run-1", "attempt": 1, "config_sha256": "c0ffee", "project": "prod",
        "instances": {INSTANCE: {"name": "mssql-1", "listing": listing}}, "items": [item(9), item(2), item(3)],
    });
    chain::append(&tx, noon(), Kind::Intent, &intent).unwrap();
    let outcome = |number| serde_json::json!({"backup": id(number), "outcome": "accepted"});
    let answer = serde_json::json!({
        "request": 2, "run": "run-1", "api_request_id": "req-9", "outcomes": [outcome(9), outcome(2), outcome(3)],
    });
    chain::append(&tx, noon(), Kind::Outcome, &answer).unwrap();
    let gone = serde_json::json!({"run": "run-1", "backups": [{"backup": id(2), "request": 2, "was": "accepted"}]});
    chain::append(&tx, noon(), Kind::Confirmed, &gone).unwrap();
    tx.batch(&format!(
        "INSERT INTO request VALUES (2, 'run-1', 1, 'prod', {}, 3);
         INSERT INTO deletion VALUES (2, '{}', '{INSTANCE}', 'production', 1009, 'accepted', 3);
         INSERT INTO deletion VALUES (2, '{}', '{INSTANCE}', 'production', 1002, 'confirmed', 4);
         INSERT INTO deletion VALUES (2, '{}', '{INSTANCE}', 'production', 1003, 'accepted', 3);
         INSERT INTO believed VALUES ('prod', '{INSTANCE}', 77, 0, 1, NULL);",
        noon().timestamp_micros(),
        id(9),
        id(2),
        id(3)
    ))
    .unwrap();
    tx.lite().unwrap().commit().unwrap();
    drop(old);
    let error = Ledger::open(dir.path(), Access::ReadOnly, noon()).unwrap_err();
    assert!(matches!(error.fault(), Some(Fault::Older(1))), "{error}");
    let ledger = Ledger::open(dir.path(), Access::Existing, noon()).unwrap();
    assert!(matches!(
        ledger.verify(None).unwrap(),
        Verification::Intact { rows: 4, .. }
    ));
    let waiting: Vec<_> = ledger.unconfirmed().unwrap().into_iter().map(|id| id.backup).collect();
    assert_eq!(waiting, [id(3), id(9)]);
    assert_eq!(ledger.believed(&project()).unwrap().backups[INSTANCE].sent, 3);
    let past = ledger.backup_history(&id(2)).unwrap().remove(0);
    assert_eq!((past.state, past.settled_at), (DeletionState::Confirmed, Some(noon())));
    ledger.settle("run-2", noon(), &[id(9)], &[]).unwrap();
    assert_eq!(ledger.unconfirmed().unwrap().len(), 1);
}
