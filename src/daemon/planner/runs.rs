//! The planner's runs: ringing, beginning, cutting, recording.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::task::JoinError;
use tokio::time::Instant;

use super::super::due::{Pass, Passed};
use super::super::gauges;
use super::super::status::LastRun;
use super::super::turn::{self, Failed};
use super::{PassEnd, Planner};
use crate::config::Config;
use crate::retention::report::RunResult;
use crate::retention::{Mode, Policy, PolicyName, Refusal, RunReport};
use crate::run::{Rows, World};
use crate::telemetry;

/// Fleets up to this many backups, as far as the last runs tell, are kept in memory decision by decision, for the page;
/// larger ones, and ones not yet seen, as numbers.
const MOST_ROWS: usize = 50_000;

/// The policies of a pass.
fn of<'c>(pass: &Pass, config: &'c Config) -> impl Iterator<Item = &'c Policy> {
    let entry = |name: &PolicyName| config.policies.iter().find(|entry| entry.policy.name == *name);
    pass.policies.iter().filter_map(entry).map(|entry| &*entry.policy)
}

impl Planner {
    pub(super) fn ring(&mut self, now: DateTime<Utc>) {
        let (passed, far_back) = self.agenda.ring(now);
        if far_back {
            tracing::warn!(%now, "the clock was set back: schedules follow it, and what was due while it was ahead is due again");
        }
        for passed in passed {
            match passed {
                Passed::Busy(policy) => {
                    tracing::warn!(
                        policy = policy.as_str(),
                        "due, and its last run is not over, or has not had its turn: skipped"
                    );
                    self.metrics.tick_skipped(&policy);
                }
                Passed::Missed(policy, tick) => tracing::warn!(
                    policy = policy.as_str(),
                    %tick,
                    "noticed too late (the host slept, or its clock was set) and not made up for, as it has `catch_up: false`"
                ),
            }
        }
    }

    pub(super) fn begin_pass(&mut self) {
        if let Some(refusal) = self.lost.clone() {
            return self.refuse_passes(&refusal);
        }
        let Some(ledger) = self.store.ledger() else { return };
        for pass in self.agenda.take() {
            let world = World {
                config: self.config(),
                live: self.live.subscribe(),
                projects: Arc::clone(&self.projects),
                ledger: Some(Arc::clone(&ledger)),
                lock: None,
                stop: self.stop.clone(),
                watcher: Arc::new(|_| {}),
            };
            let (rows, tools) = (self.wanted_rows(), (&self.pass, &self.right, &self.clock));
            let turn = turn::begin(pass, rows, world, tools, &mut self.passes);
            tracing::info!(
                policies = turn.names(),
                trigger = turn.pass.trigger.as_str(),
                "run begins"
            );
            let running = turn.pass.policies.iter().map(|policy| (policy.clone(), turn.at));
            self.board.facts().running.extend(running);
            self.turns.insert(turn.id(), turn);
        }
    }

    /// What is due while the state is lost is refused; a tick that was missed is made up for when it is back.
    fn refuse_passes(&mut self, refusal: &Refusal) {
        let (config, now) = (self.config(), (self.clock)());
        for pass in self.agenda.take() {
            tracing::error!(
                policies = turn::names(&pass),
                limit = refusal.limit(),
                "run refused: {refusal}"
            );
            let report = RunReport::stand_in(of(&pass, &config), (now, now), RunResult::Refused, Some(refusal));
            self.agenda.done(pass.key);
            self.record(report, Duration::ZERO, false);
        }
    }

    /// Every decision, where they fit into memory. Of a fleet that the last runs found too large none is begun with; of one
    /// that nothing is known of, as many as there is room for.
    fn wanted_rows(&self) -> Rows {
        let facts = self.board.facts();
        let known = facts
            .last
            .values()
            .filter_map(|last| last.summary)
            .map(|counts| counts.all());
        match known.sum::<u64>() {
            _ if self.show => Rows::All,
            known if known > MOST_ROWS as u64 => Rows::None,
            _ => Rows::UpTo(MOST_ROWS),
        }
    }

    pub(super) fn cut_what_hangs(&mut self, instant: Instant) {
        for turn in self.turns.values_mut() {
            if !turn.is_cut && instant >= turn.deadline {
                tracing::error!(
                    policies = turn.names(),
                    seconds = turn.began.elapsed().as_secs(),
                    "a run hangs far beyond its time budget: it is cut, and counted as failed"
                );
                turn.cut();
            }
        }
    }

    pub(super) fn pass_ended(&mut self, ended: PassEnd) {
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let Some(turn) = self.turns.remove(&id) else { return };
        self.agenda.done(turn.pass.key);
        self.board
            .facts()
            .running
            .retain(|policy, _| !turn.pass.policies.contains(policy));
        let took = turn.began.elapsed();
        let now = (self.clock)();
        let policies = turn.names();
        let mut refusal = None;
        let stand_in = match ended.map(|(_, walked)| walked) {
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
                if self.agenda.part(&turn.pass) {
                    tracing::warn!(
                        policies,
                        "each of these policies now runs on its own, so that the one that makes runs fail does not stop the others"
                    );
                }
                Some(RunResult::Failed)
            }
        };
        // What it left open in the ledger is closed by the next look.
        self.doubt |= stand_in == Some(RunResult::Failed);
        if let Some(result) = stand_in {
            let policies = of(&turn.pass, &turn.world.config);
            let report = RunReport::stand_in(policies, (turn.at, now), result, refusal.as_ref());
            self.record(report, took, false);
        }
        gauges::show_clocks(&self.metrics, &turn.world.projects);
        self.board.outdate();
        self.refresh = true;
        self.next_holds = None;
    }

    /// Shows a report. One that is not whole stands in for a pass that never made one: it only says how it ended.
    fn record(&mut self, mut report: RunReport, took: Duration, is_whole: bool) {
        if !is_whole {
            report.unconfirmed.clone_from(&self.board.facts().unconfirmed);
        }
        self.metrics.observe_run(&report, took);
        let mut facts = self.board.facts();
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
