//! What the ledger costs: a run of 100,000 deletions, and the history of a year. Prints a table.
//!
//! `cargo bench --bench ledger`, or with fewer deletions a day than 5,000: `cargo bench --bench ledger -- 500`. With the address of an empty
//! database, `-- postgres://USER@HOST/DATABASE`, the run is made in a directory and in that.

#![expect(clippy::print_stdout, reason = "a program that prints a table")]

#[path = "../tests/it/ledger/made.rs"]
mod made;

use std::collections::HashMap;
use std::fs;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use made::{TOGETHER, accepted, backup_id, batches, enter, intent};
use rds_retentiond::clock;
use rds_retentiond::ledger::{
    Access, DecidedOn, DeletionLock, FinishedPolicy, Ledger, Listing, NewRun, PostgresAddress, RunFilter, StatePlace,
    Verification,
};
use rds_retentiond::retention::report::{RunResult, RunSummary};
use rds_retentiond::retention::{
    Backup, BackupId, BackupKind, BackupStatus, Batch, Databases, Engine, Instance, InstanceId, InstanceLife, Mode,
    PolicyName,
};

fn main() {
    // `cargo test --all-targets` starts this, too, and should not write a year of runs.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let deletions = std::env::args().skip(1).find_map(|argument| argument.parse().ok());
    let dir = tempfile::tempdir().unwrap();
    a_run(&StatePlace::from(dir.path()));
    if let Some(url) = std::env::args().find(|argument| argument.starts_with("postgres://")) {
        a_run(&StatePlace::Postgres(PostgresAddress {
            target: Box::new(url.parse().unwrap()),
            password_file: None,
            ca: None,
        }));
        return;
    }
    a_year(deletions.unwrap_or(5_000));
}

fn say(text: &str, took: Duration) {
    println!("  {text:44}{:>9.1} ms", took.as_secs_f64() * 1_000.0);
}

/// Writes batches and what became of them, as a run does.
fn send(
    ledger: &Ledger,
    lock: &DeletionLock,
    batches: Vec<Batch>,
    listings: &HashMap<InstanceId, Listing>,
    now: DateTime<Utc>,
) {
    let mut batches = batches.into_iter();
    let mut sent = Vec::new();
    while !sent.is_empty() || batches.len() > 0 {
        let answers = sent.iter().map(|(request, batch)| accepted(*request, batch, now));
        let entries = answers.chain(batches.by_ref().take(TOGETHER).map(intent)).collect();
        sent = enter(ledger, lock, listings, entries, now);
    }
}

/// What the ledger adds to a run of 100,000 deletions.
fn a_run(place: &StatePlace) {
    println!("a run of 100,000 deletions in {place}");
    let ledger = Ledger::open(place.clone(), Access::Create, clock::now()).unwrap();
    ledger.join("here", "c0ffee").unwrap();
    let lock = Ledger::lock_deletions(place.clone(), &["prod".into()])
        .unwrap()
        .unwrap();
    let mut took = Duration::ZERO;
    for plan in 0..20 {
        let (batches, listings) = batches(plan * 5_000..(plan + 1) * 5_000);
        let start = Instant::now();
        send(&ledger, &lock, batches, &listings, clock::now());
        took += start.elapsed();
    }
    say("2,000 x (intent + answer) of 50", took);
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
    if let StatePlace::Directory(dir) = place {
        let size = fs::metadata(dir.join("ledger.sqlite3")).unwrap().len();
        println!("  {:44}{:>9} MB", "size of the file", size / 1_000_000);
    }
}

/// What listings said of ten instances: these backups, each instance every tenth.
fn decided(backups: std::ops::Range<usize>, at: DateTime<Utc>) -> Vec<DecidedOn> {
    let of_instance = |number: usize| {
        let instance = Instance {
            engine: Engine::SqlServer,
            project: "prod".into(),
            id: InstanceId::from(format!("{number:032x}in04")),
            name: format!("mssql-prod-{number}").into(),
            tags: Vec::new(),
            enterprise_project: None,
            life: InstanceLife::Listed,
        };
        let listed = backups.clone().skip(number).step_by(10).map(|backup| Backup {
            id: backup_id(backup),
            name: format!("nightly_{backup}").into(),
            kind: BackupKind::Manual,
            engine: Engine::SqlServer,
            status: BackupStatus::Completed,
            begin: Some(at),
            end: Some(at + TimeDelta::minutes(7)),
            size_bytes: (1_000_000 + backup as u64) << 10,
            databases: Databases::All,
            doubt: None,
        });
        DecidedOn::new(&instance, &listed.collect::<Vec<_>>())
    };
    (0..10).map(of_instance).collect()
}

/// What a run of 500 deletions came to.
fn summary() -> RunSummary {
    let tally = |count: u64| serde_json::json!({"count": count, "bytes": count << 30});
    let summary = serde_json::json!({"keep": tally(61), "wait": tally(4), "delete": tally(500)});
    serde_json::from_value(serde_json::json!({"mode": "enforce", "summary": summary})).unwrap()
}

/// 365 runs, 10 policies, 500 deletions each, with what each was decided on, and how long its history takes to open.
fn a_year(deletions: usize) {
    println!("a year: 365 runs, 10 policies, {deletions} deletions a day");
    let dir = tempfile::tempdir().unwrap();
    let first: DateTime<Utc> = clock::now() - TimeDelta::days(365);
    let ledger = Ledger::open(dir.path(), Access::Create, first).unwrap();
    let lock = Ledger::lock_deletions(dir.path(), &[]).unwrap().unwrap();
    let policies: Vec<(PolicyName, Mode)> = (0..10).map(|n| (format!("policy-{n}").into(), Mode::Enforce)).collect();
    let start = Instant::now();
    let (mut packed, mut packing) = (0, Duration::ZERO);
    let (mut first_id, mut last) = (BackupId::from(""), BackupId::from(""));
    for day in 0..365 {
        let (id, at) = (format!("run-{day}"), first + TimeDelta::days(day));
        let run = NewRun {
            id: &id,
            policies: &policies,
            config_sha256: "c0ffee",
            started_at: at,
            cause: "schedule",
            person: None,
        };
        ledger.begin_run(&run).unwrap();
        let day = usize::try_from(day).unwrap();
        // What goes today, and what will go tomorrow.
        let listed = decided(day * deletions..(day + 2) * deletions, at);
        ledger.record_decided(&id, &listed, at).unwrap();
        let (batches, listings) = batches(day * deletions..(day + 1) * deletions);
        let mut gone = Vec::with_capacity(deletions);
        gone.extend(batches.iter().flat_map(Batch::ids).cloned());
        send(&ledger, &lock, batches, &listings, at);
        ledger.settle(&id, at, &gone, &[]).unwrap();
        last.clone_from(&gone[0]);
        let finished: Vec<_> = policies
            .iter()
            .map(|(policy, _)| FinishedPolicy {
                policy: policy.clone(),
                result: RunResult::Success,
                summary: summary(),
            })
            .collect();
        ledger.finish_run(&id, at, &finished).unwrap();
        let start = Instant::now();
        packed += ledger.pack(at).unwrap();
        packing += start.elapsed();
        if day == 0 {
            first_id.clone_from(&gone[0]);
        }
    }
    say("a year written", start.elapsed());
    say(&format!("of that, {packed} rows packed"), packing);
    drop(ledger);
    let size = fs::metadata(dir.path().join("ledger.sqlite3")).unwrap().len();
    println!("  {:44}{:>9} MB", "size of the file", size / 1_000_000);
    let start = Instant::now();
    let ledger = Ledger::open(dir.path(), Access::ReadOnly, clock::now()).unwrap();
    say("opened", start.elapsed());
    let start = Instant::now();
    assert_eq!(ledger.runs(&RunFilter::default()).unwrap().len(), 3_650);
    say("all runs listed", start.elapsed());
    let start = Instant::now();
    assert_eq!(ledger.last_runs(clock::now()).unwrap().len(), 10);
    say("last runs", start.elapsed());
    for (which, id) in [("the first", &first_id), ("the last", &last)] {
        let start = Instant::now();
        assert_eq!(ledger.backup_history(id).unwrap().len(), 1);
        say(&format!("{which} deleted backup looked up"), start.elapsed());
    }
    let start = Instant::now();
    assert!(ledger.backup_history(&"never sent".into()).unwrap().is_empty());
    say("one that was never sent", start.elapsed());
    let start = Instant::now();
    assert!(matches!(ledger.verify(None).unwrap(), Verification::Intact { .. }));
    say("verify", start.elapsed());
}
