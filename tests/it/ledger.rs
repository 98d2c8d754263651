//! The ledger between processes: one deletes, and a kill loses nothing. How fast it is: `benches/ledger.rs`.
//!
//! What one process can see of it is tested in `src/ledger/tests`.

use std::collections::HashSet;
use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use rds_retentiond::clock;
use rds_retentiond::ledger::{Access, Ledger, RequestKey, Verification};
use rds_retentiond::retention::{Batch, Freeze};

mod made;

use made::{TOGETHER, accepted, batches, enter, intent};

/// Tells the child which state directory is meant.
const DIR: &str = "LEDGER_TEST_STATE_DIR";

/// Not a test by itself: what the parent tests start and kill. Says on stdout what it has on disk.
#[test]
#[ignore = "started by the other tests as a child"]
fn child_that_deletes() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let dir = Path::new(&dir);
    let ledger = Ledger::open(dir, Access::Create, clock::now()).unwrap();
    let lock = Ledger::lock_deletions(dir, &[]).unwrap().expect("nobody else deletes");
    let mut out = std::io::stdout();
    // More than any parent lets it do.
    for plan in 0..1_000 {
        let (batches, listings) = batches(plan * 1_000..(plan + 1) * 1_000);
        let mut batches = batches.into_iter();
        let mut sent: Vec<(RequestKey, Batch)> = Vec::new();
        while !sent.is_empty() || batches.len() > 0 {
            let answers = sent
                .iter()
                .map(|(request, batch)| accepted(*request, batch, clock::now()));
            let entries = answers.chain(batches.by_ref().take(TOGETHER).map(intent)).collect();
            let next = enter(&ledger, &lock, &listings, entries, clock::now());
            for (request, _) in &sent {
                writeln!(out, "recorded {request}").unwrap();
            }
            for (request, _) in &next {
                writeln!(out, "intended {request}").unwrap();
            }
            sent = next;
        }
    }
}

/// Kills its process when a test ends early.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn child_test(name: &str, dir: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--ignored", "--exact", name, "--nocapture", "--test-threads=1"])
        .env(DIR, dir);
    command
}

fn child(dir: &Path) -> (Killed, BufReader<ChildStdout>) {
    let mut child = child_test("ledger::child_that_deletes", dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    (Killed(child), out)
}

/// Reads what the child says, up to and including its `count`th intent.
fn intents(out: &mut impl BufRead, count: usize) -> Vec<String> {
    let mut said = Vec::new();
    let mut left = count;
    for line in out.lines().map_while(Result::ok) {
        // The test harness writes the name of the test on the line of the first word.
        let Some(start) = line.find("intended ").or_else(|| line.find("recorded ")) else {
            continue;
        };
        let word = line[start..].to_owned();
        left -= usize::from(word.starts_with("intended"));
        said.push(word);
        if left == 0 {
            break;
        }
    }
    assert_eq!(left, 0, "the child ended early");
    said
}

#[test]
fn one_process_deletes_and_a_kill_loses_no_record() {
    let dir = tempfile::tempdir().unwrap();
    for round in 1..=5 {
        let round_dir = dir.path().join(round.to_string());
        let (mut process, mut out) = child(&round_dir);
        let mut said = intents(&mut out, 3 * round);
        assert!(
            Ledger::lock_deletions(&round_dir, &[]).unwrap().is_none(),
            "two processes delete"
        );
        process.0.kill().unwrap();
        process.0.wait().unwrap();
        said.extend(out.lines().map_while(Result::ok));

        let lock = Ledger::lock_deletions(&round_dir, &[])
            .unwrap()
            .expect("a killed process holds no lock");
        let ledger = Ledger::open(&round_dir, Access::Existing, clock::now()).unwrap();
        assert!(matches!(ledger.verify(None).unwrap(), Verification::Intact { .. }));
        let open = ledger.open_requests().unwrap();
        assert!(open.len() <= TOGETHER, "{open:?}");
        let accepted: HashSet<String> = ledger
            .unconfirmed()
            .unwrap()
            .iter()
            .map(|id| id.request.to_string())
            .collect();
        let open_now: HashSet<String> = open.iter().map(|open| open.request.to_string()).collect();
        for word in said {
            match word.split_once(' ') {
                Some(("intended", request)) => {
                    assert!(
                        accepted.contains(request) || open_now.contains(request),
                        "request {request} is lost"
                    );
                }
                Some(("recorded", request)) => assert!(accepted.contains(request), "outcomes of {request} are lost"),
                _ => {}
            }
        }
        ledger.close_open_requests(&lock, clock::now()).unwrap();
        assert_eq!(ledger.open_requests().unwrap(), []);
    }
}

#[test]
fn a_person_writes_beside_a_process_that_deletes() {
    let dir = tempfile::tempdir().unwrap();
    let (process, mut out) = child(dir.path());
    intents(&mut out, 2);
    let person = Ledger::open(dir.path(), Access::Existing, clock::now()).unwrap();
    let freeze = Freeze {
        reason: "audit".to_owned(),
        until: None,
    };
    person.set_freeze(&freeze, "dba", clock::now()).unwrap();
    // The child panics at the first batch that is not cleared; so its output ends, and what it sent was before.
    for line in out.lines().map_while(Result::ok) {
        drop(line);
    }
    drop(process);
    let mut export = Vec::new();
    person.export(&mut export).unwrap();
    let export = String::from_utf8(export).unwrap();
    let after: Vec<&str> = export
        .lines()
        .skip_while(|line| !line.contains(r#""kind":"freeze""#))
        .skip(1)
        .collect();
    assert!(
        after.iter().all(|line| !line.contains(r#""kind":"intent""#)),
        "an intent after the freeze"
    );
    assert!(matches!(person.verify(None).unwrap(), Verification::Intact { .. }));
}

/// Not a test by itself: reads the state as another user.
#[test]
#[ignore = "started by another test as a child"]
fn child_that_reads() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let ledger = Ledger::open(Path::new(&dir), Access::ReadOnly, clock::now()).unwrap();
    let frozen = ledger.freezes().unwrap().pop().expect("it was frozen");
    writeln!(std::io::stdout(), "frozen for {}", frozen.freeze.reason).unwrap();
    assert!(ledger.probe().is_err());
}

#[test]
fn a_state_that_cannot_be_written_can_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let ledger = Ledger::open(&state, Access::Create, clock::now()).unwrap();
    let freeze = Freeze {
        reason: "audit".to_owned(),
        until: None,
    };
    ledger.set_freeze(&freeze, "dba", clock::now()).unwrap();
    let path = ledger.path().to_owned();
    drop(ledger);
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    mode(&path, 0o444);
    mode(&state, 0o555);
    mode(dir.path(), 0o755);
    let mut command = child_test("ledger::child_that_reads", &state);
    if fs::metadata(&path).unwrap().uid() == 0 {
        // Root may write whatever the mode says; `nobody` may not.
        command.uid(65_534).gid(65_534);
    }
    let output = match command.output() {
        Ok(output) => output,
        // The tests were built where `nobody` may not run them: in root's home.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => return,
        Err(error) => panic!("{error}"),
    };
    mode(&state, 0o755);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("frozen for audit"), "{said}");
}
