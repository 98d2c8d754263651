//! A state that is gone, replaced or set back beneath a process that knows it: nothing is deleted on its word.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::super::fixtures::{State, batch, freeze, hold_on, id, noon};
use super::super::{Access, Error, Fault, IntentResult, Ledger, Thaw};
use crate::retention::HoldTarget;

/// By another process: one that closes the file lets go of every lock that it has on it.
fn cp(from: &Path, to: &Path) {
    let done = Command::new("cp").arg(from).arg(to).status().unwrap();
    assert!(done.success(), "cp {} {}", from.display(), to.display());
}

const PARTS: [&str; 3] = ["", "-wal", "-shm"];

fn part(file: &Path, suffix: &str) -> PathBuf {
    PathBuf::from(format!("{}{suffix}", file.display()))
}

/// What is in the log is moved into the file, as a log that has grown is.
fn checkpoint(state: &State, how: &str) {
    let connection = rusqlite::Connection::open(state.ledger.path()).unwrap();
    let sql = format!("PRAGMA wal_checkpoint({how})");
    let busy: i64 = connection.query_row(&sql, [], |row| row.get(0)).unwrap();
    assert_eq!(busy, 0);
}

/// A hold by another process, as the command places it.
fn hold(state: &State, number: usize) {
    let other = state.again(Access::Existing);
    other
        .add_hold(&hold_on(HoldTarget::Backup(id(number))), "root", noon())
        .unwrap();
}

fn fault_of(state: &State, number: usize) -> Error {
    state
        .ledger
        .intend(&state.intent(), &mut batch([number]))
        .expect_err("an intent in a state that was set back")
}

#[test]
fn an_older_copy_written_over_the_ledger_in_place_takes_no_intent_and_the_newest_one_does_again() {
    // The file alone beside a log that was emptied, and one that was worked in and left; and the file with its log.
    for (how, parts) in [
        ("TRUNCATE", &PARTS[..1]),
        ("PASSIVE", &PARTS[..1]),
        ("PASSIVE", &PARTS[..]),
    ] {
        let state = State::new();
        state.accept([1]);
        let (file, kept) = (state.ledger.path().to_owned(), tempfile::tempdir().unwrap());
        let (old, new) = (kept.path().join("old"), kept.path().join("new"));
        checkpoint(&state, how);
        for suffix in parts {
            cp(&part(&file, suffix), &part(&old, suffix));
        }
        hold(&state, 2);
        assert_eq!(state.ledger.active_holds(noon()).unwrap().len(), 1, "it is seen");
        checkpoint(&state, how);
        for suffix in parts {
            cp(&part(&file, suffix), &part(&new, suffix));
        }
        for suffix in parts {
            cp(&part(&old, suffix), &part(&file, suffix));
        }
        let error = fault_of(&state, 2);
        assert!(matches!(error.fault(), Some(Fault::Rewound { .. })), "{how}: {error}");
        assert!(error.to_string().contains("Put the newest state back"), "{error}");
        // Nor is it believed that nothing is held or frozen.
        assert!(state.ledger.active_holds(noon()).is_err_and(|error| error.is_lost()));
        assert!(state.ledger.freezes().is_err_and(|error| error.is_lost()));
        for suffix in parts {
            cp(&part(&new, suffix), &part(&file, suffix));
        }
        let cleared = state.ledger.intend(&state.intent(), &mut batch([2, 3])).unwrap();
        assert!(
            matches!(&cleared, IntentResult::Cleared { dropped, .. } if dropped[0].0 == id(2) && dropped.len() == 1),
            "{cleared:?}"
        );
    }
}

/// Pages of the old file and pages of the log that was left make a chain that is whole, of a table that is not.
#[test]
fn an_older_copy_beside_a_newer_log_does_not_lose_a_hold_unseen() {
    let state = State::new();
    state.accept([1]);
    let (file, old) = (state.ledger.path().to_owned(), state.dir.path().join("old"));
    checkpoint(&state, "TRUNCATE");
    cp(&file, &old);
    hold(&state, 2);
    checkpoint(&state, "TRUNCATE");
    // The last page of the chain is in the log again, the page of holds is not.
    state.accept([3]);
    assert_eq!(state.ledger.active_holds(noon()).unwrap().len(), 1);
    cp(&old, &file);
    state
        .ledger
        .intend(&state.intent(), &mut batch([2]))
        .expect_err("the hold is not in that mixture");
}

#[test]
fn what_others_do_with_the_ledger_is_no_loss() {
    let state = State::new();
    state.accept([1]);
    for number in 0..3 {
        hold(&state, 10 + number);
        state
            .again(Access::Existing)
            .set_freeze(&freeze(), "root", noon())
            .unwrap();
        checkpoint(&state, if number == 1 { "TRUNCATE" } else { "PASSIVE" });
        state.again(Access::Existing).thaw(Thaw::Only, "root", noon()).unwrap();
        // A backup of the file by SQLite, and its vacuum.
        let copy = state.dir.path().join(format!("copy{number}"));
        let connection = rusqlite::Connection::open(state.ledger.path()).unwrap();
        connection.execute("VACUUM INTO ?1", [copy.to_str().unwrap()]).unwrap();
        connection.execute_batch("VACUUM").unwrap();
        drop(connection);
        state.accept([2 + number]);
        assert_eq!(state.ledger.active_holds(noon()).unwrap().len(), number + 1);
    }
}

#[test]
fn who_has_had_a_ledger_makes_no_other_and_takes_no_other() {
    let state = State::new();
    state.accept([1]);
    let known = state.ledger.known_head();
    let (dir, aside) = (state.dir.path().join("state"), state.dir.path().join("aside"));
    fs::create_dir(&dir).unwrap();
    drop(state.ledger);
    fs::rename(state.dir.path().join("ledger.sqlite3"), dir.join("ledger.sqlite3")).unwrap();
    let open = || Ledger::open_known(&dir, Access::Create, noon(), &known);
    open().unwrap();
    fs::rename(&dir, &aside).unwrap();
    assert!(matches!(open().unwrap_err().fault(), Some(Fault::Gone)));
    assert!(!dir.exists(), "not even the directory is made");
    fs::create_dir(&dir).unwrap();
    assert!(matches!(open().unwrap_err().fault(), Some(Fault::Gone)));
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 0);
    // Another process makes one there.
    drop(Ledger::open(&dir, Access::Create, noon()).unwrap());
    assert!(matches!(open().unwrap_err().fault(), Some(Fault::Rewound { .. })));
    fs::remove_dir_all(&dir).unwrap();
    fs::rename(&aside, &dir).unwrap();
    assert_eq!(open().unwrap().unconfirmed().unwrap().len(), 1);
}

#[test]
fn a_log_that_is_removed_while_it_is_open_takes_no_intent() {
    for suffix in ["-wal", "-shm"] {
        let state = State::new();
        state.accept([1]);
        fs::remove_file(part(state.ledger.path(), suffix)).unwrap();
        let error = fault_of(&state, 2);
        assert!(matches!(error.fault(), Some(Fault::Replaced)), "{suffix}: {error}");
    }
}

/// Root beside a service user, who may put anything under our names into their directory.
#[test]
fn no_link_pipe_or_directory_under_our_names_is_followed_or_used() {
    let pipe = |path: &Path| assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
    for name in [
        "deletions.lock",
        "ledger.sqlite3",
        "ledger.sqlite3-wal",
        "ledger.sqlite3-shm",
    ] {
        for kind in ["link", "dangling link", "pipe", "directory"] {
            let (state, elsewhere) = (State::new(), tempfile::tempdir().unwrap());
            let (path, target) = (state.dir.path().join(name), elsewhere.path().join("target"));
            drop((state.ledger, state.lock));
            let _ = fs::remove_file(&path);
            match kind {
                "pipe" => pipe(&path),
                "directory" => fs::create_dir(&path).unwrap(),
                kind => {
                    if kind == "link" {
                        fs::write(&target, "theirs").unwrap();
                    }
                    symlink(&target, &path).unwrap();
                }
            }
            let dir = state.dir.path();
            let used = if name == "deletions.lock" {
                Ledger::lock_deletions(dir, &[]).map(|_| ())
            } else {
                Ledger::open(dir, Access::Existing, noon()).map(|_| ())
            };
            assert!(used.is_err(), "{name}: {kind}");
            match kind {
                "link" => assert_eq!(fs::read_to_string(&target).unwrap(), "theirs"),
                _ => assert!(!target.exists(), "{name}: {kind}"),
            }
        }
    }
}

#[test]
fn a_file_with_a_second_name_is_neither_written_nor_given_away() {
    const SERVICE: u32 = 64_321;
    use std::os::unix::fs::{MetadataExt, chown};
    for name in [
        "deletions.lock",
        "ledger.sqlite3-wal",
        "ledger.sqlite3-shm",
        "ledger.sqlite3",
    ] {
        let (state, elsewhere) = (State::new(), tempfile::tempdir_in("/tmp").unwrap());
        let (dir, target) = (state.dir.path(), elsewhere.path().join("target"));
        drop((state.ledger, state.lock));
        fs::write(&target, "root's").unwrap();
        let _ = fs::remove_file(dir.join(name));
        fs::hard_link(&target, dir.join(name)).unwrap();
        if chown(dir, Some(SERVICE), Some(SERVICE)).is_err() {
            // Only root can be root beside a service user.
            return;
        }
        let used = if name == "deletions.lock" {
            Ledger::lock_deletions(dir, &[]).map(|_| ())
        } else {
            Ledger::open(dir, Access::Existing, noon()).map(|_| ())
        };
        assert!(
            used.is_err_and(|error| matches!(error.fault(), Some(Fault::Linked))),
            "{name}"
        );
        assert_eq!(fs::read_to_string(&target).unwrap(), "root's");
        assert_eq!(fs::metadata(&target).unwrap().uid(), 0, "{name}");
    }
}

/// A read-only root without `/tmp`, as in a container.
#[test]
fn nothing_is_sorted_in_a_temporary_file() {
    let state = State::new();
    let connection = state.ledger.file().connection.lock().unwrap();
    let mut sort = connection
        .prepare(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
             SELECT i, printf('%064d', (i * 7919) % 100003) AS x FROM n ORDER BY x",
        )
        .unwrap();
    let mut rows = sort.query([]).unwrap();
    rows.next().unwrap().unwrap();
    let open: Vec<PathBuf> = fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
        // Of one that has no name in `/var/tmp`, which SQLite tries first, only the number is left.
        .filter(|target| {
            let target = target.to_string_lossy();
            target.contains("etilqs") || target.starts_with("/var/tmp/#")
        })
        .collect();
    // Other tests of this process may not sort so much either.
    assert!(open.is_empty(), "{open:?}");
}
