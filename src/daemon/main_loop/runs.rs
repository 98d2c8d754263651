//! The planner's runs: ringing, beginning, cutting, recording.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::task::JoinError;
use tokio::time::Instant;

use super::super::observe;
use super::super::run_task::{self, Failed};
use super::super::scheduler::{ScheduledRun, SkippedTick};
use super::super::status::LastRun;
use super::{MainLoop, RunEnd};
use crate::config::Config;
use crate::retention::report::RunResult;
use crate::retention::{Mode, Policy, PolicyName, Refusal, RunReport};
use crate::run::{ReportDetail, RunContext};
use crate::telemetry;

/// Fleets up to this many backups, as far as the last runs tell, are kept in memory decision by decision, for the page;
/// larger ones, and ones not yet seen, as numbers.
const MOST_ROWS: usize = 50_000;

/// The policies of a run.
fn of<'c>(run: &ScheduledRun, config: &'c Config) -> impl Iterator<Item = &'c Policy> {
    let entry = |name: &PolicyName| config.policies.iter().find(|entry| entry.policy.name == *name);
    run.policies.iter().filter_map(entry).map(|entry| &*entry.policy)
}

impl MainLoop {
    pub(super) fn fire(&mut self, now: DateTime<Utc>) {
        let (passed, far_back) = self.scheduler.fire(now);
        if far_back {
            tracing::warn!(%now, "the clock was set back: schedules follow it, and what was due while it was ahead is due again");
        }
        for passed in passed {
            match passed {
                SkippedTick::Busy(policy) => {
                    tracing::warn!(
                        policy = policy.as_str(),
                        "due, and its last run is not over, or has not had its turn: skipped"
                    );
                    self.metrics.tick_skipped(&policy);
                }
                SkippedTick::Missed(policy, tick) => tracing::warn!(
                    policy = policy.as_str(),
                    %tick,
                    "noticed too late (the host slept, or its clock was set) and not made up for, as it has `catch_up: false`"
                ),
            }
        }
    }

    pub(super) fn begin_run(&mut self) {
        if let Some(refusal) = self.lost.clone() {
            return self.refuse_runs(&refusal);
        }
        let Some(ledger) = self.store.ledger() else { return };
        for run in self.scheduler.take() {
            let context = RunContext {
                config: self.config(),
                live: self.live.subscribe(),
                projects: Arc::clone(&self.projects),
                ledger: Some(Arc::clone(&ledger)),
                lock: None,
                stop: self.stop.clone(),
                watcher: Arc::new(|_| {}),
            };
            let (rows, tools) = (self.wanted_rows(), (&self.run, &self.right, &self.clock));
            let run_task = run_task::begin(run, rows, context, tools, &mut self.runs);
            tracing::info!(
                policies = run_task.names(),
                trigger = run_task.run.trigger.as_str(),
                "run begins"
            );
            let running = run_task.run.policies.iter().map(|policy| (policy.clone(), run_task.at));
            self.shared_status.facts().running.extend(running);
            self.turns.insert(run_task.id(), run_task);
        }
    }

    /// What is due while the state is lost is refused; a tick that was missed is made up for when it is back.
    fn refuse_runs(&mut self, refusal: &Refusal) {
        let (config, now) = (self.config(), (self.clock)());
        for run in self.scheduler.take() {
            tracing::error!(
                policies = run_task::names(&run),
                limit = refusal.limit(),
                "run refused: {refusal}"
            );
            let report = RunReport::failed_report(of(&run, &config), (now, now), RunResult::Refused, Some(refusal));
            self.scheduler.done(run.key);
            self.record(report, Duration::ZERO, false);
        }
    }

    /// Every decision, where they fit into memory. Of a fleet that the last runs found too large none is begun with; of one
    /// that nothing is known of, as many as there is room for.
    fn wanted_rows(&self) -> ReportDetail {
        let facts = self.shared_status.facts();
        let known = facts
            .last
            .values()
            .filter_map(|last| last.summary)
            .map(|counts| counts.all());
        match known.sum::<u64>() {
            _ if self.show => ReportDetail::All,
            known if known > MOST_ROWS as u64 => ReportDetail::None,
            _ => ReportDetail::UpTo(MOST_ROWS),
        }
    }

    pub(super) fn abort_hanging_runs(&mut self, instant: Instant) {
        for run_task in self.turns.values_mut() {
            if !run_task.is_cut && instant >= run_task.deadline {
                tracing::error!(
                    policies = run_task.names(),
                    seconds = run_task.began.elapsed().as_secs(),
                    "a run hangs far beyond its time budget: it is cut, and counted as failed"
                );
                run_task.cut();
            }
        }
    }

    pub(super) fn run_ended(&mut self, ended: RunEnd) {
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let Some(run_task) = self.turns.remove(&id) else { return };
        self.scheduler.done(run_task.run.key);
        self.shared_status
            .facts()
            .running
            .retain(|policy, _| !run_task.run.policies.contains(policy));
        let took = run_task.began.elapsed();
        let now = (self.clock)();
        let policies = run_task.names();
        let mut refusal = None;
        let failed_report = match ended.map(|(_, walked)| walked) {
            Ok(Ok(report)) => {
                telemetry::run_line(&report);
                self.record(report, took, true);
                None
            }
            Ok(Err(Failed::Stopped)) => None,
            Ok(Err(Failed::NoTurn)) => {
                tracing::error!(policies, "skipped: another process ran on the state all the time");
                Some(RunResult::Skipped)
            }
            Ok(Err(error)) => {
                if error.is_of_the_ledger() {
                    self.metrics.ledger_error();
                    self.doubt = true;
                }
                refusal = error.refusal();
                let result = refusal.as_ref().map_or(RunResult::Failed, |_| RunResult::Refused);
                let error: &(dyn std::error::Error + 'static) = &error;
                tracing::error!(policies, error, "run {}", result.as_str());
                Some(result)
            }
            Err(error) => {
                tracing::error!(policies, %error, "run failed: it panicked or was cut; the daemon goes on");
                if self.scheduler.part(&run_task.run) {
                    tracing::warn!(
                        policies,
                        "each of these policies now runs on its own, so that the one that makes runs fail does not stop the others"
                    );
                }
                Some(RunResult::Failed)
            }
        };
        // What it left open in the ledger is closed by the next look.
        self.doubt |= failed_report == Some(RunResult::Failed);
        if let Some(result) = failed_report {
            let policies = of(&run_task.run, &run_task.context.config);
            let report = RunReport::failed_report(policies, (run_task.at, now), result, refusal.as_ref());
            self.record(report, took, false);
        }
        observe::show_clocks(&self.metrics, &run_task.context.projects);
        self.shared_status.outdate();
        self.refresh = true;
        self.next_holds = None;
    }

    /// Shows a report. One that is not whole stands in for a run that never made one: it only says how it ended.
    fn record(&mut self, mut report: RunReport, took: Duration, is_whole: bool) {
        if !is_whole {
            report.unconfirmed.clone_from(&self.shared_status.facts().unconfirmed);
        }
        self.metrics.observe_run(&report, took);
        let mut facts = self.shared_status.facts();
        let config = self.live.borrow().clone();
        let known = |name: &PolicyName| config.policies.iter().any(|entry| entry.policy.name == *name);
        facts.instances.extend(report.instances.clone());
        facts.unconfirmed.clone_from(&report.unconfirmed);
        if is_whole {
            facts.notices.clone_from(&report.notices);
        }
        let report = Arc::new(report);
        for policy in report.policies.iter().filter(|policy| known(&policy.policy)) {
            let name = policy.policy.clone();
            if is_whole {
                let open = policy.refusals.iter().any(Refusal::waits_for_approval);
                if open && policy.mode == Mode::Enforce {
                    facts.guard_open.insert(name.clone(), policy.digest.clone());
                } else {
                    facts.guard_open.remove(&name);
                }
                facts.reports.insert(name.clone(), Arc::clone(&report));
            } else {
                // The plan that was refused before still waits.
                self.metrics.guard_open(&name, facts.guard_open.contains_key(&name));
            }
            if policy.result == RunResult::Success {
                facts.last_success.insert(name.clone(), report.finished_at);
            }
            if policy.result != RunResult::Skipped {
                let mut last = LastRun::of(&report, policy);
                if !is_whole {
                    last.summary = None;
                }
                facts.last.insert(name, last);
            }
        }
    }
}
