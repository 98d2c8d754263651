//! The ledger between processes: one deletes, a kill loses nothing, and it is fast enough.
//!
//! What one process can see of it is tested in `src/ledger/tests`.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::num::NonZeroU32;
use std::ops::Range;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use rds_retentiond::clock;
use rds_retentiond::ledger::{
    Access, Clearance, DeletionLock, FinishedPolicy, Intent, Ledger, Listing, NewRun, RequestKey, RunFilter,
    Verification,
};
use rds_retentiond::retention::plan::{ClockCheck, Conditions, InstanceDue};
use rds_retentiond::retention::{
    ApprovedPlan, BackupId, BackupStatus, Batch, Candidate, Count, ExpireReason, Freeze, Instance, InstanceId,
    InstanceLife, KeepRule, KeepRules, Limits, Mode, Outcome, Plan, Policy, PolicyName, Selector, Span,
};

/// Tells the child which state directory is meant.
const DIR: &str = "LEDGER_TEST_STATE_DIR";

fn policy() -> Policy {
    Policy {
        name: "production".into(),
        mode: Mode::Enforce,
        zone: chrono_tz::UTC,
        select: Selector::default(),
        keep: KeepRules::new(vec![KeepRule::Last(Count::All)], Vec::new()).unwrap(),
        max_age: None,
        failed_after: Span::parse("7d").unwrap(),
        min_backups: NonZeroU32::MIN,
        grace: Span::parse("24h").unwrap(),
        require_backup_within: None,
        limits: Limits {
            max_deletions: NonZeroU32::MAX,
            max_percent: 100,
            ..Limits::default()
        },
    }
}

/// Batches of `Batch::LIMIT`, of ten instances.
fn batches(backups: Range<usize>) -> (Vec<Batch>, HashMap<InstanceId, Listing>) {
    let begin = clock::now() - TimeDelta::days(900);
    let mut plan = Plan::new(Arc::new(policy()));
    let mut listings = HashMap::new();
    for number in 0..10 {
        let id = InstanceId::from(format!("{number:032x}in04"));
        let count = backups.len() as u64;
        listings.insert(
            id.clone(),
            Listing {
                count,
                read_at: clock::now(),
            },
        );
        let instance = Arc::new(Instance {
            project: "prod".into(),
            id,
            name: format!("mssql-prod-{number}").into(),
            tags: Vec::new(),
            enterprise_project: None,
            life: InstanceLife::Listed,
        });
        let due = backups.clone().skip(number).step_by(10).map(|backup| Candidate {
            instance: Arc::clone(&instance),
            // As scattered as real ids are.
            id: BackupId::from(format!(
                "{:032x}br04",
                (backup as u128 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c)
            )),
            name: format!("nightly_{backup}").into(),
            begin: begin + TimeDelta::minutes(i64::try_from(backup).unwrap()),
            size_bytes: 1_000_000 + backup as u64,
            status: BackupStatus::Completed,
            reason: ExpireReason::NotKept,
        });
        let due = due.collect();
        plan.add(InstanceDue {
            instance: Arc::clone(&instance),
            counted: backups.len(),
            newest_recovery_point: None,
            due,
        });
    }
    let approval = plan.approve(&Conditions {
        now: clock::now(),
        freeze: None,
        clocks: &BTreeMap::from([("prod".into(), ClockCheck::Skew(TimeDelta::zero()))]),
        approved: &HashSet::new(),
    });
    (ApprovedPlan::batches(vec![approval.plan]), listings)
}

fn intend(
    ledger: &Ledger,
    lock: &DeletionLock,
    batch: &mut Batch,
    listings: &HashMap<InstanceId, Listing>,
) -> RequestKey {
    let intent = Intent {
        lock,
        run: "019aafc0-0000-7000-8000-000000000001",
        attempt: 1,
        config_sha256: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        now: clock::now(),
        config_holds: &[],
        config_freeze: None,
        listings,
        rule: |_| "not_kept",
    };
    match ledger.intend(&intent, batch).unwrap() {
        Clearance::Cleared { request, .. } => request,
        other => panic!("{other:?}"),
    }
}

fn accept(ledger: &Ledger, request: RequestKey, batch: &Batch) {
    let outcomes: Vec<_> = batch.ids().map(|id| (id.clone(), Outcome::Accepted)).collect();
    ledger.record(request, clock::now(), Some("api-1"), &outcomes).unwrap();
}

/// Not a test by itself: what the parent tests start and kill. Says on stdout what it has on disk.
#[test]
#[ignore = "started by the other tests as a child"]
fn child_that_deletes() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let dir = Path::new(&dir);
    let ledger = Ledger::open(dir, Access::Create, clock::now()).unwrap();
    let lock = Ledger::lock_deletions(dir).unwrap().expect("nobody else deletes");
    let mut out = std::io::stdout();
    // More than any parent lets it do.
    for plan in 0..1_000 {
        let (batches, listings) = batches(plan * 1_000..(plan + 1) * 1_000);
        for mut batch in batches {
            let request = intend(&ledger, &lock, &mut batch, &listings);
            writeln!(out, "intended {request}").unwrap();
            accept(&ledger, request, &batch);
            writeln!(out, "recorded {request}").unwrap();
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
            Ledger::lock_deletions(&round_dir).unwrap().is_none(),
            "two processes delete"
        );
        process.0.kill().unwrap();
        process.0.wait().unwrap();
        said.extend(out.lines().map_while(Result::ok));

        let lock = Ledger::lock_deletions(&round_dir)
            .unwrap()
            .expect("a killed process holds no lock");
        let ledger = Ledger::open(&round_dir, Access::Existing, clock::now()).unwrap();
        assert!(matches!(ledger.verify(None).unwrap(), Verification::Intact { .. }));
        let open = ledger.open_requests().unwrap();
        assert!(open.len() <= 1, "{open:?}");
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
    let frozen = ledger.freeze().unwrap().expect("it was frozen");
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

fn say(text: &str, took: Duration) {
    let _ = writeln!(std::io::stderr(), "{text}: {took:?}");
}

/// `cargo test --test it ledger::speed -- --ignored --nocapture`
#[test]
#[ignore = "measures; run it by hand"]
fn speed_of_100_000_deletions() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(dir.path(), Access::Create, clock::now()).unwrap();
    let lock = Ledger::lock_deletions(dir.path()).unwrap().unwrap();
    let mut took = Duration::ZERO;
    for plan in 0..20 {
        let (batches, listings) = batches(plan * 5_000..(plan + 1) * 5_000);
        let start = Instant::now();
        for mut batch in batches {
            let request = intend(&ledger, &lock, &mut batch, &listings);
            accept(&ledger, request, &batch);
        }
        took += start.elapsed();
    }
    say("2,000 x (intend + record) of 50", took);
    let ids: Vec<_> = ledger.unconfirmed().unwrap().into_iter().map(|id| id.backup).collect();
    let start = Instant::now();
    ledger.settle("run", clock::now(), &ids, &[]).unwrap();
    say("100,000 confirmed", start.elapsed());
    let start = Instant::now();
    assert!(matches!(
        ledger.verify(None).unwrap(),
        Verification::Intact { rows: 4_101, .. }
    ));
    say("verify", start.elapsed());
    let start = Instant::now();
    ledger.export(&mut std::io::sink()).unwrap();
    say("export", start.elapsed());
    drop(ledger);
    let size = fs::metadata(dir.path().join("ledger.sqlite3")).unwrap().len();
    let _ = writeln!(std::io::stderr(), "size: {} MB", size / 1_000_000);
}

/// 365 runs, 10 policies, 500 deletions each (`LEDGER_TEST_DELETIONS` a day instead of 5,000).
#[test]
#[ignore = "measures; run it by hand"]
fn speed_of_a_year() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(dir.path(), Access::Create, clock::now()).unwrap();
    let lock = Ledger::lock_deletions(dir.path()).unwrap().unwrap();
    let policies: Vec<(PolicyName, Mode)> = (0..10).map(|n| (format!("policy-{n}").into(), Mode::Enforce)).collect();
    let deletions = std::env::var("LEDGER_TEST_DELETIONS").map_or(5_000, |text| text.parse().unwrap());
    let first: chrono::DateTime<Utc> = clock::now() - TimeDelta::days(365);
    let start = Instant::now();
    for day in 0..365 {
        let (id, at) = (format!("run-{day}"), first + TimeDelta::days(day));
        let run = NewRun {
            id: &id,
            policies: &policies,
            config_sha256: "c0ffee",
            started_at: at,
            cause: "schedule",
        };
        ledger.begin_run(&run).unwrap();
        let day = usize::try_from(day).unwrap();
        let (batches, listings) = batches(day * deletions..(day + 1) * deletions);
        for mut batch in batches {
            let request = intend(&ledger, &lock, &mut batch, &listings);
            accept(&ledger, request, &batch);
        }
        let finished: Vec<_> = policies
            .iter()
            .map(|(policy, _)| FinishedPolicy {
                policy: policy.clone(),
                result: "success".to_owned(),
                summary: serde_json::json!({"keep": 61, "wait": 4, "delete": 500}),
            })
            .collect();
        ledger.finish_run(&id, at, &finished).unwrap();
    }
    say("a year written", start.elapsed());
    drop(ledger);
    let size = fs::metadata(dir.path().join("ledger.sqlite3")).unwrap().len();
    let _ = writeln!(std::io::stderr(), "size: {} MB", size / 1_000_000);
    let start = Instant::now();
    let ledger = Ledger::open(dir.path(), Access::ReadOnly, clock::now()).unwrap();
    say("opened", start.elapsed());
    let start = Instant::now();
    assert_eq!(ledger.runs(&RunFilter::default()).unwrap().len(), 3_650);
    say("all runs listed", start.elapsed());
    let start = Instant::now();
    assert_eq!(ledger.last_runs().unwrap().len(), 10);
    say("last runs", start.elapsed());
    let start = Instant::now();
    assert!(matches!(ledger.verify(None).unwrap(), Verification::Intact { .. }));
    say("verify", start.elapsed());
}
