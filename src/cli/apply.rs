//! `apply`: one run now, as the daemon would do it. For cron jobs and hands.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::args::{Apply, Format, Global};
use super::render::Kind;
use super::told::Told;
use super::{CommandResult, Failure, exit, plan, session, show_report};
use crate::config::Config;
use crate::daemon::gauges::{self, Remembered};
use crate::daemon::say_when_new;
use crate::ledger::{Access, Ledger};
use crate::retention::RunReport;
use crate::run::{self, Order, Purpose};
use crate::telemetry::{self, Metrics};

/// A run that takes longer leaves the rest to the next one.
const BUDGET: Duration = Duration::from_secs(4 * 3_600);

pub(super) fn apply(args: &Apply, global: &Global) -> CommandResult {
    let config = session::configuration(global)?;
    session::log(global)?;
    session::needs_projects(&config)?;
    // Before anything is made on disk: a misspelt name leaves no state behind.
    run::know_all(plan::policies(&args.policies).as_deref(), &config)?;
    let told = Told::default();
    let report = session::block_on(1, run_once(args, &config, &told))?;
    show_report(&report, &told, Kind::Apply, &args.show, global)
}

async fn run_once(args: &Apply, config: &Arc<Config>, told: &Told) -> Result<RunReport, Failure> {
    let mut stop = session::stop_signal()?;
    let started_at = crate::clock::now();
    let ledger = Arc::new(Ledger::open(&config.state_dir, Access::Create, started_at)?);
    let lock = session::deletion_lock(config, !args.no_wait, &mut stop).await?;
    say_when_new(config, &ledger);
    let metrics = gauges::metrics(config, started_at);
    let (progress, watcher) = plan::progress();
    let observer = gauges::observer(&metrics);
    let world = session::world(config, Some(Arc::clone(&ledger)), Some(lock), stop, &observer, watcher)?;
    let order = Order {
        purpose: Purpose::Apply {
            confirm_for: Duration::from_secs(args.confirm_for.approximate_seconds()),
        },
        policies: plan::policies(&args.policies),
        instance: None,
        now: crate::clock::now(),
        rows: match args.show.format {
            Format::Table if !args.show.all => run::Rows::Going,
            Format::Table => run::Rows::All,
            Format::Json => told.rows(),
        },
        trigger: "apply",
        budget: BUDGET,
    };
    let begun = Instant::now();
    let report = run::pass(&order, &world).await;
    progress.finish();
    let report = report?;
    // Table and JSON say all of it already, the ledger's head included; the line is for those who asked for logs.
    if tracing::enabled!(tracing::Level::INFO) {
        telemetry::run_line(&report);
    }
    if let Some(file) = &args.metrics_file {
        Remembered::read(&ledger)?.show(&metrics, |_| true);
        metrics.observe_run(&report, begun.elapsed());
        gauges::show_clocks(&metrics, &world.projects);
        gauges::show_decided(&metrics, config, &ledger, order.now)?;
        write_metrics(&metrics, file)?;
    }
    Ok(report)
}

/// Written beside and renamed over, so that a collector never reads half a file. Who may read the file before may read the
/// new one; the first may be read by everybody, for the collector is another user, and no secret is in it.
fn write_metrics(metrics: &Metrics, file: &Path) -> Result<(), Failure> {
    let fail =
        |error: std::io::Error| Failure::new(exit::UNDONE, format!("--metrics-file {}: {error}", file.display()));
    let before = fs::read_to_string(file).unwrap_or_default();
    let mode = fs::metadata(file).map_or(0o644, |metadata| metadata.permissions().mode());
    let mut beside = file.as_os_str().to_owned();
    beside.push(format!(".{}.tmp", std::process::id()));
    let written = fs::write(&beside, metrics.textfile(&before))
        .and_then(|()| fs::set_permissions(&beside, Permissions::from_mode(mode)))
        .and_then(|()| fs::rename(&beside, file));
    written.map_err(|error| {
        // Not even that may work, where nothing does.
        let _ = fs::remove_file(&beside);
        fail(error)
    })
}
