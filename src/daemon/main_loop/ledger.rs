//! The main loop and its ledger: when to probe it, what earlier runs left in it, and what happens while it does not work.

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use super::super::ledger_probe::{Probe, ProbeRequest};
use super::MainLoop;
use crate::ledger::{Error, LastBegun};
use crate::retention::PolicyName;
use crate::run;
use crate::status::warn_if_new;
use crate::wording::problems::SLOW_LEDGER;

impl MainLoop {
    pub(super) fn start_ledger_probe(&mut self, now: DateTime<Utc>, instant: Instant) {
        if self.ledger_probe.slow_at().is_some_and(|at| instant >= at) {
            let mut state = self.status.state();
            state.state_problem.get_or_insert(SLOW_LEDGER.to_owned());
        }
        let request = ProbeRequest {
            config: self.config(),
            status: self.status(),
            // A reader of the status may have found out first.
            is_suspect: self.ledger_suspect || (self.ledger_refusal.is_none() && self.metrics.is_ledger_rewound()),
            refresh_status: self.status_stale,
            during_runs: !self.run_tasks.is_empty(),
            holds: self.unrecorded_holds.clone(),
        };
        if self.ledger_probe.start(request, now) {
            (self.ledger_suspect, self.status_stale) = (false, false);
            self.unrecorded_holds.clear();
        }
    }

    pub(super) fn ledger_probed(&mut self, found: Probe) {
        let now = (self.clock)();
        self.ledger_probe.schedule_next(&found, now);
        match found {
            Probe::Failed(error) => return self.ledger_failed(&error),
            Probe::Same => {}
            Probe::Opened(ledger, past) => {
                let config = self.config();
                tracing::info!(state = %ledger.path().display(), "state opened");
                warn_if_new(&config, &ledger);
                self.key_lockout.restore(past.refusals, now);
                for (policy, last) in &past.begun {
                    self.catch_up(policy, last, now);
                }
            }
        }
        if self.ledger_probe.ledger().is_some() {
            self.ledger_refusal = None;
            self.metrics.ledger_rewound(false);
            self.status.state().state_problem = None;
        }
        self.warn_of_what_ends(now);
    }

    pub(super) fn ledger_failed(&mut self, error: &Error) {
        self.metrics.ledger_error();
        let is_news = self.status.state().state_problem.replace(error.to_string()) != Some(error.to_string());
        self.ledger_refusal = run::refusal_of(error);
        self.metrics.ledger_rewound(error.is_lost());
        let error: &(dyn std::error::Error + 'static) = error;
        if is_news || self.ledger_refusal.is_none() {
            tracing::error!(
                error,
                "the state does not work: nothing runs until it does; it is tried again"
            );
        }
    }

    /// Lets a policy run soon whose last run was interrupted, or that missed a tick.
    pub(super) fn catch_up(&mut self, policy: &PolicyName, last: &LastBegun, now: DateTime<Utc>) {
        // Of an earlier process; the counters began with this one.
        if last.is_interrupted
            && last.at < self.started_at
            && self.counted_interruptions.insert((policy.clone(), last.at))
        {
            self.metrics.run_interrupted(policy);
        }
        if let (true, Some(ledger)) = (last.is_killed, self.ledger_probe.ledger()) {
            self.notifier.run_interrupted(policy, last.at, &ledger);
        }
        if self.scheduler.catch_up(policy, last, now) {
            let why = if last.is_interrupted {
                "its last run was interrupted"
            } else if last.is_open {
                "its last run is not finished, and its daemon may be gone"
            } else {
                "a tick was missed"
            };
            tracing::info!(policy = policy.as_str(), last = %last.at, "{why}: it is made up for now");
        }
    }
}
