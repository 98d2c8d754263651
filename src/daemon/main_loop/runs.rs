//! The main loop and its runs: firing ticks, starting runs, aborting those that hang, recording their reports.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::task::JoinError;
use tokio::time::Instant;

use super::super::run_task::{self, Failed, RunEnd, RunTask};
use super::super::scheduler::{ScheduledRun, SkippedTick, Trigger};
use super::MainLoop;
use crate::config::Config;
use crate::ledger::LastBegun;
use crate::retention::report::RunResult;
use crate::retention::{Mode, Policy, PolicyName, Refusal, RunReport};
use crate::run::{ReportDetail, RunContext};
use crate::status::{LastRun, process_metrics};
use crate::telemetry;
use crate::wording::{error_chain, remedies};

/// Of fleets up to this many backups, as far as the last runs tell, every decision is kept in memory for the page; of larger
/// fleets only numbers.
const MAX_ROWS: usize = 50_000;

/// The policies of a run.
fn policies_of<'c>(run: &ScheduledRun, config: &'c Config) -> impl Iterator<Item = &'c Policy> {
    let entry = |name: &PolicyName| config.policies.iter().find(|entry| entry.policy.name == *name);
    run.policies.iter().filter_map(entry).map(|entry| &*entry.policy)
}

impl MainLoop {
    pub(super) fn fire(&mut self, now: DateTime<Utc>) {
        let (skipped, was_ahead) = self.scheduler.fire(now);
        if was_ahead {
            tracing::warn!(%now, "the clock was set back: schedules follow it, and what was due while it was ahead is due again");
        }
        for tick in skipped {
            match tick {
                SkippedTick::Busy(policy) => {
                    tracing::warn!(
                        policy = policy.as_str(),
                        "due while its last run is in progress or still waits: skipped"
                    );
                    self.metrics.tick_skipped(&policy);
                }
                SkippedTick::Missed(policy, tick) => tracing::warn!(
                    policy = policy.as_str(),
                    %tick,
                    "noticed too late (the host was suspended, or its clock was set) and skipped because of `catch_up: false`"
                ),
            }
        }
    }

    pub(super) fn start_runs(&mut self) {
        if let Some(refusal) = self.ledger_refusal.clone() {
            return self.refuse_runs(&refusal);
        }
        let Some(ledger) = self.ledger_probe.ledger() else {
            return;
        };
        for run in self.scheduler.start_due() {
            let context = RunContext {
                config: self.config(),
                live: self.live.subscribe(),
                projects: Arc::clone(&self.projects),
                ledger: Some(Arc::clone(&ledger)),
                lock: None,
                stop: self.stop.clone(),
                watcher: Arc::new(|_| {}),
            };
            let (rows, tools) = (self.report_detail(), (&self.runner, &self.deletion_lock, &self.clock));
            let run_task = run_task::start(run, rows, context, tools, &mut self.tasks);
            tracing::info!(
                policies = run_task.names(),
                trigger = run_task.run.trigger.as_str(),
                "run begins"
            );
            self.notifier.run_starts(&run_task.run.policies, run_task.at);
            let running = run_task.run.policies.iter().map(|policy| (policy.clone(), run_task.at));
            self.status.state().running.extend(running);
            self.run_tasks.insert(run_task.id(), run_task);
        }
    }

    /// Refuses what is due while the ledger is lost; missed ticks run late when it is back.
    fn refuse_runs(&mut self, refusal: &Refusal) {
        let (config, now) = (self.config(), (self.clock)());
        for run in self.scheduler.start_due() {
            tracing::error!(
                policies = run_task::names(&run),
                limit = refusal.limit(),
                "run refused: {refusal}"
            );
            let report = RunReport::failed_report(
                policies_of(&run, &config),
                (now, now),
                RunResult::Refused,
                Some(refusal),
            );
            self.scheduler.finished(run.key);
            self.record_report(report, Duration::ZERO, Err(None));
        }
    }

    /// Every decision, where they fit into memory; none of a fleet that the last runs found too large.
    fn report_detail(&self) -> ReportDetail {
        let state = self.status.state();
        let known = state
            .last
            .values()
            .filter_map(|last| last.summary)
            .map(|counts| counts.all());
        match known.sum::<u64>() {
            _ if self.demo => ReportDetail::All,
            known if known > MAX_ROWS as u64 => ReportDetail::None,
            _ => ReportDetail::UpTo(MAX_ROWS),
        }
    }

    pub(super) fn abort_hanging_runs(&mut self, instant: Instant) {
        for run_task in self.run_tasks.values_mut() {
            if !run_task.is_aborted && instant >= run_task.deadline {
                tracing::error!(
                    policies = run_task.names(),
                    seconds = run_task.started.elapsed().as_secs(),
                    "a run hangs far beyond its time budget: it is aborted, and counted as failed"
                );
                run_task.abort();
            }
        }
    }

    fn isolate(&mut self, run_task: &RunTask) {
        if self.scheduler.isolate(&run_task.run) {
            tracing::warn!(
                policies = run_task.names(),
                "each of these policies now runs on its own, so that the one that fails does not stop the others"
            );
        }
    }

    pub(super) fn run_ended(&mut self, ended: RunEnd) {
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let Some(run_task) = self.run_tasks.remove(&id) else {
            return;
        };
        self.scheduler.finished(run_task.run.key);
        self.status
            .state()
            .running
            .retain(|policy, _| !run_task.run.policies.contains(policy));
        for project in self.deletion_lock.drain_taken_over() {
            self.metrics.taken_over(&project);
        }
        let took = run_task.started.elapsed();
        let now = (self.clock)();
        let policies = run_task.names();
        let (mut refusal, mut why) = (None, None);
        let failed_report = match ended.map(|(_, outcome)| outcome) {
            Ok(Ok(report)) => {
                telemetry::run_line(&report, &remedies::program(&self.config().path));
                self.record_report(report, took, Ok(()));
                None
            }
            Ok(Err(Failed::Stopped | Failed::RanElsewhere)) => None,
            Ok(Err(Failed::StateBusy)) => {
                tracing::error!(policies, "skipped: another process ran on the state all the time");
                Some(RunResult::Skipped)
            }
            Ok(Err(error)) => {
                refusal = error.refusal();
                why = Some(error_chain(&error));
                Some(self.run_failed(&run_task, &error, now))
            }
            Err(error) => {
                tracing::error!(policies, %error, "run failed: it panicked or was aborted; the daemon goes on");
                self.isolate(&run_task);
                Some(RunResult::Failed)
            }
        };
        // What it left open in the ledger is closed by the next probe.
        self.ledger_suspect |= failed_report == Some(RunResult::Failed);
        if let Some(result) = failed_report {
            let policies = policies_of(&run_task.run, &run_task.context.config);
            let report = RunReport::failed_report(policies, (run_task.at, now), result, refusal.as_ref());
            self.record_report(report, took, Err(why.as_deref()));
        }
        process_metrics::show_clock_skew(&self.metrics, &run_task.context.projects);
        self.status.invalidate();
        self.status_stale = true;
        self.next_holds_check = None;
    }

    /// A run ended with an error. Has another one, once, do what one that lost its lease left, unless another daemon does.
    fn run_failed(&mut self, run_task: &RunTask, error: &Failed, now: DateTime<Utc>) -> RunResult {
        if error.is_ledger_error() {
            self.metrics.ledger_error();
            self.ledger_suspect = true;
        }
        let result = error.refusal().map_or(RunResult::Failed, |_| RunResult::Refused);
        let cause: &(dyn std::error::Error + 'static) = error;
        tracing::error!(policies = run_task.names(), error = cause, "run {}", result.as_str());
        if !error.is_lease_lost() {
            return result;
        }
        let last = LastBegun {
            at: run_task.at,
            is_interrupted: run_task.run.trigger != Trigger::CatchUp,
            is_killed: false,
            is_open: false,
        };
        for policy in &run_task.run.policies {
            self.catch_up(policy, &last, now);
        }
        result
    }

    /// Records a report. One that is not whole replaces that of a run that never made one, and comes with why: it tells only
    /// how the run ended.
    fn record_report(&mut self, mut report: RunReport, took: Duration, whole: Result<(), Option<&str>>) {
        let is_whole = whole.is_ok();
        if !is_whole {
            report.unconfirmed.clone_from(&self.status.state().unconfirmed);
        }
        self.metrics.observe_run(&report, took);
        let mut state = self.status.state();
        let frozen_before = |policy: &PolicyName| state.last.get(policy)?.frozen_at();
        self.notifier.run_ended(&report, &frozen_before, whole.err().flatten());
        let config = self.live.borrow().clone();
        let known = |name: &PolicyName| config.policies.iter().any(|entry| entry.policy.name == *name);
        // Their instances were listed.
        state
            .unread_projects
            .retain(|project, _| !report.instances.contains_key(project));
        state.instances.extend(report.instances.clone());
        state.unconfirmed.clone_from(&report.unconfirmed);
        if is_whole {
            state.notices.clone_from(&report.notices);
        }
        let report = Arc::new(report);
        for policy in report.policies.iter().filter(|policy| known(&policy.policy)) {
            let name = policy.policy.clone();
            if is_whole {
                let open = policy.refusals.iter().any(Refusal::waits_for_approval);
                if open && policy.mode == Mode::Enforce {
                    state.guard_open.insert(name.clone(), policy.digest.clone());
                } else {
                    state.guard_open.remove(&name);
                }
                state.reports.insert(name.clone(), Arc::clone(&report));
            } else {
                // The plan that was refused before still waits.
                self.metrics.guard_open(&name, state.guard_open.contains_key(&name));
            }
            if policy.result == RunResult::Success {
                state.last_success.insert(name.clone(), report.finished_at);
            }
            if policy.result != RunResult::Skipped {
                let mut last = LastRun::of(&report, policy);
                if !is_whole {
                    last.error = whole.err().flatten().map(str::to_owned);
                    last.summary = None;
                    last.known = None;
                }
                state.set_last(name, last);
            }
        }
    }
}
