//! Every operation × every fault the simulator can make, once and always: whatever happens, nothing but the approved plan
//! is deleted, nothing is sent twice without a listing in between, the run ends in time with the contract's exit code,
//! and a healthy run afterwards finishes the work.
//!
//! `FAULT_MATRIX=FILE cargo test matrix` writes the table of outcomes to FILE.

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

use super::world::{World, backup, begun, fleet, ids, instance_id};

/// What the run does when the fault strikes; also the row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum At {
    ListInstances,
    /// The listing of manual backups that decides.
    ListBackups,
    /// The listing of automated backups, which `require_backup_within` asks for.
    ListAutomated,
    Delete,
    /// The listing after a batch that nobody answered.
    ListAgain,
    /// The question whether an instance that is missed is still there.
    FindInstance,
    /// The backups that a deleted instance left.
    ListRetained,
    /// The same by the deleted instance's id, which says more of them.
    ListByOldId,
    ListProjects,
    MetadataToken,
    SecurityKey,
    /// Every operation.
    Everything,
}

impl At {
    const ALL: [Self; 12] = [
        Self::ListInstances,
        Self::ListBackups,
        Self::ListAutomated,
        Self::Delete,
        Self::ListAgain,
        Self::FindInstance,
        Self::ListRetained,
        Self::ListByOldId,
        Self::ListProjects,
        Self::MetadataToken,
        Self::SecurityKey,
        Self::Everything,
    ];

    /// Whether it is about what a deleted instance left.
    fn is_of_deleted(self) -> bool {
        matches!(self, Self::FindInstance | Self::ListRetained | Self::ListByOldId)
    }

    /// The rule's operation and conditions.
    fn rule(self) -> (&'static str, String) {
        match self {
            Self::ListInstances => ("list_instances", String::new()),
            Self::ListBackups => ("list_backups", String::new()),
            Self::ListAutomated => ("list_backups", format!(":after=1:instance={}", instance_id(1))),
            Self::Delete => ("delete_batch", String::new()),
            Self::ListAgain => ("list_backups", ":after=2".to_owned()),
            Self::FindInstance => ("list_instances", ":after=1".to_owned()),
            Self::ListRetained => ("list_retained", String::new()),
            Self::ListByOldId => ("list_backups", format!(":instance={}", instance_id(3))),
            Self::ListProjects => ("list_projects", String::new()),
            Self::MetadataToken => ("metadata_token", String::new()),
            Self::SecurityKey => ("security_key", String::new()),
            Self::Everything => ("*", String::new()),
        }
    }
}

/// Every fault of the issue, and some more.
const FAULTS: [&str; 49] = [
    "status=307",
    "status=400",
    "status=401",
    "status=403",
    "status=404",
    "status=408",
    "status=409",
    "status=413",
    "status=429",
    "status=429:retry_after=1",
    "status=500",
    "status=502",
    "status=503",
    "status=504",
    "status=500:done",
    "status=504:done",
    "status=403:body=html",
    "status=503:body=html",
    "status=400:body=empty",
    "status=500:body=half",
    "body=html",
    "body=empty",
    "body=text",
    "body=half",
    "truncate=0",
    "truncate=20",
    "reset",
    "reset:done",
    "delay=60s",
    "delay=60s:done",
    "delay=50ms",
    "drip=1ms",
    "drip=900ms",
    "huge=1000000",
    "shuffle",
    "missing=1",
    "extra",
    "duplicate",
    "foreign_instance",
    "foreign_type",
    "count=-1",
    "count=1",
    "no_count",
    "shift=1",
    "shift=-1",
    "date=none",
    "date=garbage",
    "date=-20m",
    "date=+20m",
];

/// Faults that only a deletion can have.
const OF_DELETION: [&str; 2] = ["ignore", "result=DBS.200054"];

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Often {
    Once,
    Always,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Cell {
    at: At,
    fault: &'static str,
    often: Often,
}

/// What a read makes of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Harmless,
    /// Tried again; when it lasts, the API cannot be reached.
    Retried,
    /// Read again from the first page; when it lasts, the listing is not believed.
    Disagrees,
    /// Not tried again.
    Refused,
    Forbidden,
    Unauthorised,
    /// The clock cannot be checked by this answer.
    Date,
}

/// What a reader of the contract expects of a read.
fn class(at: At, fault: &str) -> Class {
    let listing = !matches!(at, At::ListProjects);
    match fault {
        "status=401" => Class::Unauthorised,
        _ if fault.starts_with("status=403") => Class::Forbidden,
        "status=307" | "status=404" | "status=409" | "status=413" => Class::Refused,
        _ if fault.starts_with("status=400") => Class::Refused,
        // The same entry twice is what pages show that shift; all ids are there.
        "delay=50ms" | "drip=1ms" | "huge=1000000" | "shuffle" | "duplicate" => Class::Harmless,
        _ if fault.starts_with("date=") => {
            if listing {
                Class::Date
            } else {
                Class::Harmless
            }
        }
        // IAM's list of projects has no count; with one project missing or more than one the id is not known.
        "missing=1" | "extra" if !listing => Class::Refused,
        "count=-1" | "count=1" | "no_count" | "shift=1" | "shift=-1" | "foreign_instance" | "foreign_type"
            if !listing =>
        {
            Class::Harmless
        }
        // Instances have neither the one nor the other.
        "foreign_instance" | "foreign_type" if at == At::ListInstances => Class::Harmless,
        "missing=1" | "extra" | "foreign_instance" | "foreign_type" | "count=-1" | "count=1" | "no_count"
        | "shift=1" | "shift=-1" => Class::Disagrees,
        _ => Class::Retried,
    }
}

/// How much is gone after the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gone {
    All,
    Nothing,
    Some,
}

/// The acceptable ends of a cell: exit code and what is gone. `Some` stands for any amount.
fn expected(cell: Cell) -> Vec<(u8, Gone)> {
    let Cell { at, fault, often } = cell;
    let once = often == Often::Once;
    let good = vec![(0, Gone::All)];
    let class = class(at, fault);
    match at {
        // None, or several of the name: `project_id` is to be written down.
        At::ListProjects if ["missing=1", "extra"].contains(&fault) => vec![(78, Gone::Nothing)],
        // The worst date of any answer of a run counts; what IAM says is no answer of the API.
        At::ListInstances if class == Class::Date => vec![(3, Gone::Nothing)],
        At::ListInstances | At::ListProjects => match class {
            Class::Harmless | Class::Date => good,
            Class::Retried | Class::Disagrees | Class::Unauthorised if once => good,
            // The short budget of these cells ends before the waits do.
            Class::Retried if fault.starts_with("status=429") => vec![(1, Gone::Nothing), (69, Gone::Nothing)],
            Class::Retried | Class::Disagrees | Class::Refused => vec![(69, Gone::Nothing)],
            Class::Forbidden | Class::Unauthorised => vec![(77, Gone::Nothing)],
        },
        At::ListBackups => match class {
            Class::Harmless => good,
            Class::Retried | Class::Disagrees | Class::Unauthorised if once => good,
            Class::Date => vec![(3, Gone::Nothing)],
            Class::Refused if once => vec![(1, Gone::Some)],
            Class::Forbidden if once => vec![(77, Gone::Some)],
            // Only one of the two instances has more than one page.
            Class::Disagrees if fault.starts_with("shift") => vec![(1, Gone::Some)],
            Class::Retried | Class::Disagrees | Class::Refused => vec![(1, Gone::Nothing)],
            Class::Forbidden | Class::Unauthorised => vec![(77, Gone::Nothing)],
        },
        At::ListAutomated => match class {
            Class::Harmless => good,
            Class::Retried | Class::Disagrees | Class::Unauthorised if once => good,
            Class::Date => vec![(3, Gone::Nothing)],
            Class::Retried | Class::Disagrees | Class::Refused => vec![(1, Gone::Some)],
            Class::Forbidden | Class::Unauthorised => vec![(77, Gone::Some)],
        },
        // The batch is done, only the proof is missing.
        At::ListAgain => match (class, once) {
            (Class::Harmless | Class::Date, _) | (_, true) => good,
            (Class::Unauthorised, false) => vec![(1, Gone::All), (77, Gone::All)],
            // Two batches are under way, the second may be answered after the first was listed again.
            (Class::Disagrees, false) if fault.starts_with("shift") => vec![(1, Gone::Some)],
            (_, false) => vec![(1, Gone::All)],
        },
        At::FindInstance | At::ListRetained | At::ListByOldId => expected_of_deleted(cell),
        At::Delete => expected_of_deletion(fault, once),
        // A token that is no token is refused by the service.
        At::MetadataToken if fault.starts_with("body=") => vec![(77, Gone::Nothing)],
        At::MetadataToken => good,
        // Keys need no more than 64 KiB, and who sends more is not heard to the end.
        At::SecurityKey if fault.starts_with("huge") => vec![(77, Gone::Nothing)],
        At::SecurityKey => match class {
            Class::Harmless | Class::Date | Class::Disagrees => good,
            // It is a read like any other; only where nothing comes in time it is not asked again at once.
            Class::Retried if once && !fault.starts_with("delay") && !fault.starts_with("drip") => good,
            // The keys are asked for again with the next request.
            _ if once => vec![(0, Gone::All), (77, Gone::Nothing)],
            _ => vec![(77, Gone::Nothing)],
        },
        At::Everything => match class {
            Class::Date => vec![(3, Gone::Nothing)],
            _ => unreachable!("only dates strike everywhere"),
        },
    }
}

/// Only the deleted instance is left alone; the living ones are none of its business.
fn expected_of_deleted(Cell { at, fault, often }: Cell) -> Vec<(u8, Gone)> {
    let once = often == Often::Once;
    let good = vec![(0, Gone::All)];
    match class(At::ListBackups, fault) {
        // It is an answer with nothing in it, so there is nothing to miss or to take for another's, and it is short.
        _ if at == At::FindInstance
            && ["missing=1", "foreign_instance", "foreign_type", "drip=900ms"].contains(&fault) =>
        {
            good
        }
        // This status with this code says that there is none such, and there is none.
        Class::Refused if at == At::FindInstance && fault == "status=404" => good,
        // The old id is not known any more; which databases they hold, nobody has seen, so they are kept.
        Class::Refused if at == At::ListByOldId && fault == "status=404" => vec![(0, Gone::Some)],
        // One of its backups looks automated, which are none of ours.
        Class::Disagrees if at == At::ListRetained && fault == "foreign_type" => vec![(0, Gone::Some)],
        // All fit on one page.
        Class::Disagrees if fault.starts_with("shift") => good,
        Class::Harmless => good,
        Class::Retried | Class::Disagrees | Class::Unauthorised if once => good,
        Class::Date => vec![(3, Gone::Nothing)],
        Class::Retried | Class::Disagrees | Class::Refused => vec![(1, Gone::Some)],
        Class::Forbidden | Class::Unauthorised => vec![(77, Gone::Some)],
    }
}

fn expected_of_deletion(fault: &str, once: bool) -> Vec<(u8, Gone)> {
    let good = vec![(0, Gone::All)];
    match fault {
        "ignore" => vec![(0, Gone::Nothing)],
        "result=DBS.200054" => vec![(1, Gone::Nothing)],
        _ if fault.starts_with("status=403") => vec![(77, Gone::Nothing)],
        "status=401" if !once => vec![(77, Gone::Nothing)],
        // Whether the work is done when the client has gone is the server's affair.
        "delay=60s" if !once => vec![(1, Gone::Nothing), (0, Gone::All)],
        "reset" => {
            if once {
                good
            } else {
                vec![(1, Gone::Nothing)]
            }
        }
        _ if fault.starts_with("status=") && !fault.ends_with(":done") && !once => vec![(1, Gone::Nothing)],
        _ => good,
    }
}

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
