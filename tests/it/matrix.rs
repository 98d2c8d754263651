//! Every operation × every fault the simulator can make, once and always: whatever happens, nothing but the approved plan
//! is deleted, nothing is sent twice without a listing in between, the run ends in time with the contract's exit code,
//! and a healthy run afterwards finishes the work.
//!
//! `FAULT_MATRIX=FILE cargo test matrix` writes the table of outcomes to FILE.

mod cells;
mod expected;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use rds_retentiond::cli::exit;
use rds_retentiond::ledger::Verification;
use rds_retentiond::retention::{Engine, Instance, InstanceLife, RunReport};
use rds_retentiond::simulator::{BackupKind, DeletedListing, Key};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use self::cells::{At, Cell, FAULTS, OF_DELETION, Often};
use self::expected::{Class, Gone, class, expected};
use super::world::{World, backup, begun, fleet, ids, instance_id};

fn cells() -> Vec<Cell> {
    let mut cells = Vec::new();
    for often in [Often::Once, Often::Always] {
        for at in At::ALL {
            let of_deletion: &[&str] = if at == At::Delete { &OF_DELETION } else { &[] };
            for fault in FAULTS.iter().chain(of_deletion) {
                let makes_sense = match at {
                    // Text and keys, no lists.
                    At::MetadataToken | At::SecurityKey => {
                        class(At::ListBackups, fault) != Class::Disagrees
                            && !fault.starts_with("date=")
                            && !["shuffle", "duplicate"].contains(fault)
                    }
                    At::Everything => fault.starts_with("date="),
                    // There is one automated backup, so one page; and `foreign_type` makes an entry automated.
                    At::ListAutomated => !fault.starts_with("shift") && *fault != "foreign_type",
                    _ => true,
                };
                if makes_sense {
                    cells.push(Cell { at, fault, often });
                }
            }
        }
    }
    cells
}

/// A world in which the fault can strike.
async fn world_for(cell: Cell) -> World {
    // A page holds a hundred.
    let many = cell.fault.starts_with("shift");
    let mut backups = vec![8, if many { 103 } else { 7 }];
    if many && cell.at == At::ListInstances {
        backups.resize(101, 0);
    }
    if cell.at.is_of_deleted() {
        backups.push(8);
    }
    let world = World::with(|options| {
        options.fleet = fleet(&backups);
        options.settings.deleted_listing = DeletedListing::Full;
    })
    .await;
    let policy = |more: &str| {
        format!(
            "\n  - name: p\n    mode: enforce\n    keep: {{last: 3}}\n    grace: 0s\n    limits: {{max_percent: 100}}\n{more}"
        )
    };
    world.policies(&policy(""));
    let simulator = &world.simulator;
    match cell.at {
        At::ListAutomated => {
            // The newest manual backup of instance 1 is too old; an automated one is recent.
            for number in 0..2 {
                simulator.remove_backup(&super::world::backup_id(1, number));
            }
            let mut recent = backup(1, 5000);
            (recent.kind, recent.begin, recent.end) = (BackupKind::Auto, begun(0), Some(begun(0)));
            simulator.add_backup(recent);
            world.policies(&policy("    require_backup_within: 36h\n"));
        }
        At::ListAgain => world.fault("delete_batch:reset:done:times=1"),
        At::FindInstance | At::ListRetained | At::ListByOldId => {
            world.policies(&policy("    select: {deleted_instances: include}\n"));
            miss_for_a_day(&world);
        }
        At::ListProjects => {
            let projects = simulator.config_yaml();
            let without = projects.lines().filter(|line| !line.contains("project_id"));
            let projects = without.collect::<Vec<_>>().join("\n") + "\n";
            world.configure(&projects, &policy(""), "");
        }
        At::MetadataToken | At::SecurityKey => {
            let agency = format!("{{source: ecs-agency, endpoint: {}}}", simulator.metadata_url());
            let projects = simulator.config_yaml().replace("{source: environment}", &agency);
            world.configure(&projects, &policy(""), "");
        }
        _ => {}
    }
    let (operation, conditions) = cell.at.rule();
    let times = if cell.often == Often::Once { ":times=1" } else { "" };
    world.fault(&format!("{operation}:{}{conditions}{times}", cell.fault));
    world
}

/// The third instance was listed two days ago, and missed three times since.
fn miss_for_a_day(world: &World) {
    let ledger = world.ledger();
    let seen = |number: usize| Instance {
        engine: Engine::SqlServer,
        project: "simulator".into(),
        id: instance_id(number).as_str().into(),
        name: format!("mssql-{number}").into(),
        tags: Vec::new(),
        enterprise_project: None,
        life: InstanceLife::Listed,
    };
    let all: Vec<Instance> = (1..=3).map(seen).collect();
    let hours_ago = |hours| rds_retentiond::clock::now() - TimeDelta::hours(hours);
    let remember = |listed: &[Instance], hours| {
        ledger
            .observe(hours_ago(hours), |seen| {
                seen.remember_instances(&"simulator".into(), &[Engine::SqlServer], listed)
            })
            .unwrap();
    };
    remember(&all, 48);
    for hours in [30, 20, 2] {
        remember(&all[..2], hours);
    }
    assert!(world.simulator.remove_instance(&instance_id(3)));
}

/// Due in [`world_for`]'s fleet.
fn due(cell: Cell) -> std::collections::BTreeSet<String> {
    let first = if cell.at == At::ListAutomated { 5 } else { 3 };
    let last = if cell.fault.starts_with("shift") { 103 } else { 7 };
    let mut due = ids(1, first..8);
    due.extend(ids(2, 3..last));
    if cell.at.is_of_deleted() {
        due.extend(ids(3, 3..8));
    }
    due
}

/// Runs a cell: the outcome for the table, or what went wrong.
async fn run_cell(cell: Cell) -> Result<String, String> {
    let mut world = world_for(cell).await;
    let due = due(cell);
    let begun = Instant::now();
    let mut pass = world.pass();
    // Only the faults that delay may meet a time-out. On a busy machine any other request might, and would be asked again: a refusal
    // that strikes once is then an answer the second time, and a deletion that was given up may arrive after the listing that
    // followed it.
    let delays = cell.fault.starts_with("delay=60s") || cell.fault == "drip=900ms";
    pass.timeout = Duration::from_secs(if delays { 10 } else { 100 });
    // Throttling is waited out; for ever, only as long as the budget lasts.
    let for_ever = cell.fault.starts_with("status=429") && cell.often == Often::Always;
    pass.budget = Duration::from_secs(if for_ever { 8 } else { 120 });
    let report = pass.run().await;
    let took = begun.elapsed();
    let (code, deleted) = (exit::of_run(&report), world.deleted());
    world.deleted_only(&due);
    let gone = match deleted.len() {
        0 => Gone::Nothing,
        all if all == due.len() => Gone::All,
        _ => Gone::Some,
    };
    let outcome = format!("{code} {}", word(gone));
    let fits = |(wanted, amount): &(u8, Gone)| *wanted == code && (*amount == Gone::Some || *amount == gone);
    if !expected(cell).iter().any(fits) {
        let calls = world.simulator.calls();
        let calls = calls
            .iter()
            .map(|call| (call.operation, call.status, call.faults.len()));
        return Err(format!(
            "{outcome}, expected {:?}; skipped: {:?}; first calls: {:?}",
            expected(cell),
            report.skipped,
            calls.take(6).collect::<Vec<_>>()
        ));
    }
    if took > Duration::from_secs(150) {
        return Err(format!("it took {took:?}"));
    }
    if world.simulator.lockouts() > 0 {
        return Err("the key was locked".to_owned());
    }
    counters(cell, &report, deleted.len() as u64)?;
    finish(cell, &mut world).await?;
    Ok(outcome)
}

fn word(gone: Gone) -> &'static str {
    match gone {
        Gone::All => "all",
        Gone::Nothing => "none",
        Gone::Some => "some",
    }
}

/// Each id that was approved has one fate or is left; what is confirmed is gone; the code fits the counters.
fn counters(cell: Cell, report: &RunReport, gone: u64) -> Result<(), String> {
    let sum: u64 = report.policies[0]
        .sent
        .values()
        .flat_map(|sent| sent.fates.values())
        .sum();
    let left = report.policies[0].left;
    let planned = report.policies[0].summary.delete.count;
    if sum + left > planned {
        return Err(format!("{sum} fates and {left} left of {planned} planned"));
    }
    let confirmed = report.sent("confirmed");
    if confirmed > gone {
        return Err(format!("{confirmed} confirmed, but only {gone} gone"));
    }
    let code = exit::of_run(report);
    if code == 0 && cell.fault != "ignore" && confirmed != gone {
        return Err(format!("{confirmed} confirmed of {gone} gone"));
    }
    let undone = left + report.sent("rejected") + report.sent("unanswered") > 0;
    if code == 0 && undone {
        return Err(format!(
            "exit 0 although something is left undone: {:?}",
            report.policies[0].sent
        ));
    }
    Ok(())
}

/// A healthy run, late enough for what was accepted and not done to count as returned.
async fn finish(cell: Cell, world: &mut World) -> Result<(), String> {
    world.simulator.faults().clear();
    if cell.fault == "status=401" && cell.often == Often::Always {
        // The key is not used for 15 minutes, so it is changed.
        world
            .simulator
            .add_key(Key::permanent("ANOTHERACCESSKEY0002", "another-secret"));
        world.set_env("HUAWEICLOUD_SDK_AK", "ANOTHERACCESSKEY0002");
        world.set_env("HUAWEICLOUD_SDK_SK", "another-secret");
        world.simulator.expire_temporary_keys();
    }
    let report = world.pass().later(TimeDelta::minutes(31)).run().await;
    let due = due(cell);
    world.deleted_only(&due);
    // That what was accepted came back is the one thing that it finds wrong.
    let code = u8::from(cell.fault == "ignore");
    if exit::of_run(&report) != code || world.deleted() != due {
        return Err(format!(
            "the healthy run ended with {} and {} of {} gone: {:?}",
            exit::of_run(&report),
            world.deleted().len(),
            due.len(),
            report.skipped
        ));
    }
    let verified = world.ledger().verify(None).map_err(|error| error.to_string())?;
    if !matches!(verified, Verification::Intact { .. }) {
        return Err(format!("the chain is broken: {verified:?}"));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_operation_with_every_fault() {
    let places = Arc::new(Semaphore::new(24));
    let mut running = JoinSet::new();
    for cell in cells() {
        let places = Arc::clone(&places);
        running.spawn(async move {
            let _place = places.acquire_owned().await.unwrap();
            // A panic of an assertion is the cell's failure, not the end of the table.
            let outcome = tokio::spawn(run_cell(cell)).await;
            (cell, outcome.unwrap_or_else(|error| Err(error.to_string())))
        });
    }
    let mut outcomes = BTreeMap::new();
    while let Some(joined) = running.join_next().await {
        let (cell, outcome) = joined.unwrap();
        outcomes.insert(cell, outcome);
    }
    let table = table(&outcomes);
    show(&table);
    if let Some(file) = std::env::var_os("FAULT_MATRIX") {
        std::fs::write(file, &table).unwrap();
    }
    let wrong: Vec<String> = outcomes
        .iter()
        .filter_map(|(cell, outcome)| Some(format!("{cell:?}: {}", outcome.as_ref().err()?)))
        .collect();
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        outcomes.len(),
        wrong.join("\n")
    );
}

/// Rows are faults, columns are operations; each cell is `once / always`: exit code and how much of what is due is gone.
fn table(outcomes: &BTreeMap<Cell, Result<String, String>>) -> String {
    let mut text = String::from("| fault |");
    for at in At::ALL {
        let _ = write!(text, " {at:?} |");
    }
    let _ = writeln!(text, "\n|---|{}", "---|".repeat(At::ALL.len()));
    for fault in FAULTS.iter().chain(&OF_DELETION) {
        let _ = write!(text, "| `{fault}` |");
        for at in At::ALL {
            let of = |often| match outcomes.get(&Cell { at, fault, often }) {
                Some(Ok(outcome)) => outcome.as_str(),
                Some(Err(_)) => "WRONG",
                None => "–",
            };
            let _ = write!(text, " {} / {} |", of(Often::Once), of(Often::Always));
        }
        text.push('\n');
    }
    text
}

#[expect(clippy::print_stdout, reason = "shown with --nocapture")]
fn show(table: &str) {
    println!("{table}");
}
