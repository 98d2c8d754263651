//! `apply`: one run now, as the daemon would do it. For cron jobs and hands.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tokio::sync::watch;

use super::args::{ApplyArgs, Format, Global};
use super::failure::{CommandResult, Failure};
use super::operator::Operator;
use super::output::progress::ProgressLine;
use super::output::report::ReportKind;
use super::output::row_buffer::BufferedRows;
use super::output::show_report::show_report;
use super::{context, follow, metrics_file, plan};
use crate::config::Config;
use crate::ledger::Ledger;
use crate::notify::{Notifier, ending_soon};
use crate::operations::ProcessContext;
use crate::operations::apply::ApplyState;
use crate::operations::context::needs_projects;
use crate::retention::report::RunResult;
use crate::retention::{PolicyName, Refusal, RunReport};
use crate::run::{self, Purpose, RunRequest};
use crate::status::process_metrics::{self, PastRuns};
use crate::status::{LastRun, warn_if_new};
use crate::telemetry;
use crate::wording::error_chain;

/// A run that takes longer leaves the rest to the next one.
const BUDGET: Duration = Duration::from_secs(4 * 3_600);
/// What is queued for `notify` when the run has ended has this long to be delivered.
const NOTIFY: Duration = Duration::from_secs(10);
/// The same once a stop was requested.
const NOTIFY_ON_STOP: Duration = Duration::from_secs(3);

pub(super) fn apply(args: &ApplyArgs, global: &Global) -> CommandResult {
    let config = context::own_configuration(global)?;
    context::log(global)?;
    needs_projects(&config)?;
    context::refuse_ended(&config)?;
    // Before anything is made on disk: a misspelt name leaves no state behind.
    args.metrics_file.as_deref().map_or(Ok(()), metrics_file::check)?;
    run::check_policy_names(plan::policies(&args.policies).as_deref(), &config)?;
    let buffered = BufferedRows::default();
    context::block_on(1, async {
        let mut stop = context::stop_signal()?;
        let mut notifier = Notifier::new(&config.notify, global.invocation());
        let ran = run_once(args, &config, &buffered, stop.clone(), &mut notifier).await;
        // Shown first: no result waits for a message.
        let shown = ran.and_then(|report| {
            show_report(
                &report,
                &buffered,
                ReportKind::Apply,
                (&args.show, config.price.as_ref()),
                global,
            )
        });
        let is_stopped = *stop.borrow();
        tokio::select! {
            () = notifier.close(if is_stopped { NOTIFY_ON_STOP } else { NOTIFY }) => {}
            _ = stop.wait_for(|stop| *stop), if !is_stopped => {}
        }
        shown
    })
}

async fn run_once(
    args: &ApplyArgs,
    config: &Arc<Config>,
    buffered: &BufferedRows,
    mut stop: watch::Receiver<bool>,
    notifier: &mut Notifier,
) -> Result<RunReport, Failure> {
    let started_at = crate::clock::now();
    let policies = plan::policies(&args.policies);
    let state = ApplyState::open(config, policies.as_deref(), !args.no_wait, &mut stop, started_at).await?;
    let ledger = Arc::clone(&state.ledger);
    warn_if_new(config, &ledger);
    let metrics = process_metrics::metrics(config, started_at);
    let (progress, on_progress) = ProgressLine::of_run();
    let process = ProcessContext {
        stop,
        observer: process_metrics::observer(&metrics),
        on_progress,
    };
    let mut context = state.run_context(config, process)?;
    context.live = follow::follow(config);
    let request = run_request(args, config, buffered);
    let policies = request.policies.clone();
    let policies = policies.unwrap_or_else(|| config.policies.iter().map(|entry| entry.policy.name.clone()).collect());
    let frozen = frozen_before(config, &ledger, request.now);
    notifier.run_starts(&policies, request.now);
    let begun = Instant::now();
    let report = run::run(&request, &context).await;
    progress.finish();
    let report = match report {
        Ok(report) => report,
        Err(error) => {
            let report = failed_report(&policies, request.now, config, &error);
            notifier.run_ended(&report, &|_| None, Some(&error_chain(&error)));
            if let (Some(refusal), Some(file)) = (refusal_of(&error), &args.metrics_file) {
                metrics.observe_run(&report, begun.elapsed());
                metrics.ledger_rewound(matches!(refusal, Refusal::Ledger { .. }));
                metrics_file::write(&metrics, file)?;
            }
            return Err(error.into());
        }
    };
    notifier.run_ended(&report, &|policy| frozen.get(policy).copied(), None);
    notify_of_ends(notifier, config, &ledger);
    // Table and JSON say all of it already, the ledger's head included; the line is for those who asked for logs.
    if tracing::enabled!(tracing::Level::INFO) {
        telemetry::run_line(&report, &crate::wording::remedies::program(&config.path));
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

fn run_request(args: &ApplyArgs, config: &Config, buffered: &BufferedRows) -> RunRequest {
    RunRequest {
        purpose: Purpose::Apply {
            confirm_for: Duration::from_secs(args.confirm_for.approximate_seconds()),
        },
        policies: plan::policies(&args.policies),
        instance: None,
        now: crate::clock::now(),
        rows: match args.show.format {
            Format::Table if !args.show.all => run::ReportDetail::Going,
            Format::Table => run::ReportDetail::All,
            Format::Json => buffered.rows(),
        },
        trigger: "apply",
        person: Some(Arc::new(Operator::of(Some(config)).into_person())),
        budget: BUDGET,
    }
}

/// When the last run of each policy was, where a freeze held it back.
fn frozen_before(config: &Config, ledger: &Ledger, now: DateTime<Utc>) -> BTreeMap<PolicyName, DateTime<Utc>> {
    if config.notify.is_empty() {
        return BTreeMap::new();
    }
    // What cannot be read is news once more.
    let runs = ledger.last_runs(now).unwrap_or_default().into_iter();
    runs.filter_map(|(policy, last)| Some((policy, LastRun::remembered(last.finished)?.frozen_at()?)))
        .collect()
}

/// Sends which holds and freezes end soon; the run is not held up by a ledger that fails now.
fn notify_of_ends(notifier: &mut Notifier, config: &Config, ledger: &Arc<Ledger>) {
    let now = crate::clock::now();
    if let (Ok(holds), Ok(freezes)) = (ledger.active_holds(now), ledger.freezes()) {
        notifier.ending(&ending_soon(config, &holds, &freezes, now), now, ledger);
    }
}

fn refusal_of(error: &run::Error) -> Option<Refusal> {
    match error {
        run::Error::Ledger(error) => run::refusal_of(error),
        _ => None,
    }
}

/// A run that made no report: it failed, or, where it lost its state, was refused.
fn failed_report(ran: &[PolicyName], at: DateTime<Utc>, config: &Config, error: &run::Error) -> RunReport {
    let policies = config.policies.iter().map(|entry| &*entry.policy);
    let policies = policies.filter(|policy| ran.contains(&policy.name));
    let refusal = refusal_of(error);
    let result = refusal.as_ref().map_or(RunResult::Failed, |_| RunResult::Refused);
    RunReport::failed_report(policies, (at, crate::clock::now()), result, refusal.as_ref())
}
