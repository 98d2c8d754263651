//! `plan`: what would happen now, with reasons. Never deletes, writes nothing.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::args::{Format, Global, Plan};
use super::failure::{CommandResult, Failure};
use super::output::progress::{Progress, Values};
use super::output::report::Kind;
use super::output::row_buffer::BufferedRows;
use super::output::show_report::show_report;
use super::{context, exit};
use crate::config::Config;
use crate::retention::report::{InstanceCounts, Summary};
use crate::retention::{InstanceId, PolicyName, RunReport};
use crate::run::{self, OnProgress, Purpose, RunRequest};

/// Long enough for the largest fleet at the slowest pace; a plan that takes longer says what it left out.
const BUDGET: Duration = Duration::from_secs(6 * 3_600);

pub(super) fn plan(args: &Plan, global: &Global) -> CommandResult {
    let config = context::configuration(global)?;
    context::log(global)?;
    let told = BufferedRows::default();
    let order = RunRequest {
        purpose: Purpose::Plan,
        policies: policies(&args.policies),
        instance: args.instance.as_deref().map(InstanceId::from),
        now: args.at.unwrap_or_else(crate::clock::now),
        rows: match (args.show.format, &args.backups) {
            (Format::Json, None) => told.rows(),
            // A table is sorted; and a file's backups are in memory already, so that packing their decisions saves nothing but takes time.
            (Format::Table, _) | (Format::Json, Some(_)) => run::ReportDetail::All,
        },
        trigger: "plan",
        budget: BUDGET,
    };
    let (report, kind) = match &args.backups {
        Some(file) => (offline(&order, &config, file)?, Kind::Offline),
        None => (online(&order, &config)?, Kind::Plan),
    };
    if let Some(wanted) = &args.instance {
        must_be_there(wanted, &report)?;
    }
    let shown = show_report(&report, &told, kind, &args.show, global);
    // The process ends now: giving back the memory of a million rows one by one would only take time.
    std::mem::forget((report, told));
    shown
}

/// A name that nothing bears is a mistake of whoever typed it, unless a project could not be asked.
fn must_be_there(wanted: &str, report: &RunReport) -> Result<(), Failure> {
    let counts: InstanceCounts = report.instances.values().sum();
    // A deleted instance is in no list, and has backups.
    let mut decided = report.policies.iter().map(|policy| policy.summary);
    let is_there = counts.managed + counts.unmanaged > 0 || decided.any(|summary| summary != Summary::default());
    if is_there || !report.skipped.is_empty() {
        return Ok(());
    }
    Err(Failure::new(
        exit::USAGE,
        format!("no instance has the id or name `{wanted}`, as far as the policies' projects go"),
    ))
}

/// The policies named on the command line; none named is all of them.
pub(super) fn policies(names: &[String]) -> Option<Vec<PolicyName>> {
    (!names.is_empty()).then(|| names.iter().map(|name| PolicyName::from(name.as_str())).collect())
}

fn offline(order: &RunRequest, config: &Config, file: &Path) -> Result<RunReport, Failure> {
    // The file's bytes are gone before the rows are made: both are as large as the fleet.
    let backups = context::backups_of_file(file)?;
    Ok(run::decide_file(order, config, backups)?)
}

fn online(order: &RunRequest, config: &Arc<Config>) -> Result<RunReport, Failure> {
    let ledger = context::ledger_to_read(config, order.now)?.map(Arc::new);
    context::block_on(1, async {
        let stop = context::stop_signal()?;
        let (progress, watcher) = progress();
        let context = context::context(config, ledger, None, stop, &context::no_observer(), watcher)?;
        let report = run::run(order, &context).await;
        progress.finish();
        Ok(report?)
    })
}

/// A progress line and what keeps it moving.
pub(super) fn progress() -> (Arc<Progress>, OnProgress) {
    let progress = Arc::new(Progress::new(true));
    let line = Arc::clone(&progress);
    let watcher = move |at: run::Progress| {
        line.update(Values {
            instances_done: at.instances as u64,
            instances: at.of_instances as u64,
            backups: at.backups as u64,
            calls: at.calls,
            sent: at.sent as u64,
            to_send: at.of_sent as u64,
        });
    };
    (progress, Arc::new(watcher))
}
