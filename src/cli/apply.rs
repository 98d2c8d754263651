//! `apply`: one run now, as the daemon would do it. For cron jobs and hands.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::args::{ApplyArgs, Format, Global};
use super::failure::{CommandResult, Failure};
use super::output::progress::Progress;
use super::output::report::Kind;
use super::output::row_buffer::BufferedRows;
use super::output::show_report::show_report;
use super::{context, follow, metrics_file, plan};
use crate::config::Config;
use crate::ledger;
use crate::operations::ProcessContext;
use crate::operations::apply::ApplyState;
use crate::operations::context::needs_projects;
use crate::retention::report::RunResult;
use crate::retention::{PolicyName, Refusal, RunReport};
use crate::run::{self, Purpose, RunRequest};
use crate::status::process_metrics::{self, PastRuns};
use crate::status::warn_if_new;
use crate::telemetry::{self, Metrics};

/// A run that takes longer leaves the rest to the next one.
const BUDGET: Duration = Duration::from_secs(4 * 3_600);

pub(super) fn apply(args: &ApplyArgs, global: &Global) -> CommandResult {
    let config = context::own_configuration(global)?;
    context::log(global)?;
    needs_projects(&config)?;
    context::refuse_ended(&config)?;
    // Before anything is made on disk: a misspelt name leaves no state behind.
    args.metrics_file.as_deref().map_or(Ok(()), metrics_file::check)?;
    run::check_policy_names(plan::policies(&args.policies).as_deref(), &config)?;
    let told = BufferedRows::default();
    let report = context::block_on(1, run_once(args, &config, &told))?;
    show_report(&report, &told, Kind::Apply, &args.show, global)
}

async fn run_once(args: &ApplyArgs, config: &Arc<Config>, told: &BufferedRows) -> Result<RunReport, Failure> {
    let mut stop = context::stop_signal()?;
    let started_at = crate::clock::now();
    let policies = plan::policies(&args.policies);
    let state = ApplyState::open(config, policies.as_deref(), !args.no_wait, &mut stop, started_at).await?;
    let ledger = Arc::clone(&state.ledger);
    warn_if_new(config, &ledger);
    let metrics = process_metrics::metrics(config, started_at);
    let (progress, on_progress) = Progress::of_run();
    let process = ProcessContext {
        stop,
        observer: process_metrics::observer(&metrics),
        on_progress,
    };
    let mut context = state.run_context(config, process)?;
    context.live = follow::follow(config);
    let request = RunRequest {
        purpose: Purpose::Apply {
            confirm_for: Duration::from_secs(args.confirm_for.approximate_seconds()),
        },
        policies: plan::policies(&args.policies),
        instance: None,
        now: crate::clock::now(),
        rows: match args.show.format {
            Format::Table if !args.show.all => run::ReportDetail::Going,
            Format::Table => run::ReportDetail::All,
            Format::Json => told.rows(),
        },
        trigger: "apply",
        budget: BUDGET,
    };
    let begun = Instant::now();
    let report = run::run(&request, &context).await;
    progress.finish();
    let report = match report {
        Ok(report) => report,
        Err(run::Error::Ledger(error)) if error.is_lost() => {
            if let Some(file) = &args.metrics_file {
                observe_loss(&metrics, &request, config, &error, begun.elapsed());
                metrics_file::write(&metrics, file)?;
            }
            return Err(error.into());
        }
        Err(error) => return Err(error.into()),
    };
    // Table and JSON say all of it already, the ledger's head included; the line is for those who asked for logs.
    if tracing::enabled!(tracing::Level::INFO) {
        telemetry::run_line(&report);
    }
    if let Some(file) = &args.metrics_file {
        PastRuns::read(&ledger, request.now)?.show(&metrics, |_| true);
        metrics.observe_run(&report, begun.elapsed());
        process_metrics::show_clock_skew(&metrics, &context.projects);
        process_metrics::show_operator_state(&metrics, config, &ledger, request.now)?;
        metrics_file::write(&metrics, file)?;
    }
    Ok(report)
}

/// Counts a run that lost its state as refused.
fn observe_loss(metrics: &Metrics, request: &RunRequest, config: &Config, error: &ledger::Error, took: Duration) {
    let ran = |name: &PolicyName| request.policies.as_ref().is_none_or(|only| only.contains(name));
    let policies = config.policies.iter().map(|entry| &*entry.policy);
    let times = (request.now, crate::clock::now());
    let refusal = Refusal::Ledger {
        message: error.to_string(),
    };
    let policies = policies.filter(|policy| ran(&policy.name));
    let report = RunReport::failed_report(policies, times, RunResult::Refused, Some(&refusal));
    metrics.observe_run(&report, took);
    metrics.ledger_rewound(true);
}
