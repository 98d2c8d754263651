//! What the daemon writes and HTTP clients read.
//!
//! A reader never waits for the daemon and never makes it wait: both hold the lock for a copy. Holds, freezes and approvals are
//! made by other processes, so a reader has them read from the ledger, at most every two seconds however many ask. A ledger
//! can be slow, so that is a task of its own: when it does not answer at once, readers get what was known before, and how
//! old it is.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::{Notify, watch};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout};

use super::assemble::{self, Configured, LedgerView, assemble};
use super::daemon_state::DaemonState;
use super::problems::obstacles;
use super::process_metrics::{self, PastRuns};
use super::recent::Recent;
use super::shared_ledger::SharedLedger;
use super::snapshot::{Status, StatusProblem};
use crate::clock::now;
use crate::config::Config;
use crate::ledger::{self, Ledger, PlacedFreeze};
use crate::retention::{Hold, PolicyName, ProjectName};
use crate::run;
use crate::telemetry::Metrics;

/// Holds and freezes are read from the ledger at most this often.
const FRESH: Duration = Duration::from_secs(2);
/// How long an HTTP client waits for the ledger: an answer that is a little old is better than none, and probes give up after a
/// second.
const LEDGER_TIMEOUT: Duration = Duration::from_millis(500);
/// Past runs are read at most this often.
const STORAGE_FRESH: Duration = Duration::from_secs(60);
/// The main loop wakes every 30 seconds; one that has not for this long is stalled, and a slow disk is no reason.
const STALLED: Duration = Duration::from_secs(150);

/// When the ledger was read last. Locked while it is being read.
#[derive(Debug, Default)]
struct LastRead {
    holds_at: Option<Instant>,
    storage_at: Option<Instant>,
    /// The head of the ledger's chain then; another one tells that something was recorded, perhaps by an `apply`.
    head: Option<String>,
}

/// What is known of the process, behind locks.
pub struct SharedStatus {
    metrics: Metrics,
    ledger: SharedLedger,
    live: watch::Receiver<Arc<Config>>,
    started_at: DateTime<Utc>,
    state: Mutex<DaemonState>,
    ledger_view: Mutex<LedgerView>,
    last_read: Mutex<LastRead>,
    /// What was read is out of date, whenever that was.
    is_outdated: AtomicBool,
    loop_alive_at: Mutex<Instant>,
    /// A reader found out that the state is lost: the main loop shall look, too, and see when it is back.
    loss_found: Notify,
}

impl std::fmt::Debug for SharedStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedStatus")
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl SharedStatus {
    /// Nothing is known yet; the configuration in force is read from `live`.
    pub fn new(
        metrics: Metrics,
        ledger: SharedLedger,
        live: watch::Receiver<Arc<Config>>,
        started_at: DateTime<Utc>,
    ) -> Self {
        let state = DaemonState {
            // Not ready until the ledger was opened once.
            state_problem: Some("it has not been opened yet".to_owned()),
            ..DaemonState::default()
        };
        Self {
            metrics,
            ledger,
            live,
            started_at,
            state: Mutex::new(state),
            ledger_view: Mutex::default(),
            last_read: Mutex::default(),
            is_outdated: AtomicBool::new(false),
            loop_alive_at: Mutex::new(Instant::now()),
            loss_found: Notify::new(),
        }
    }

    /// Ends when a reader finds out that the state is lost.
    pub async fn loss_found(&self) {
        self.loss_found.notified().await;
    }

    /// What the daemon writes into.
    pub fn state(&self) -> MutexGuard<'_, DaemonState> {
        // Whole after every statement, so a panic elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The configuration in force.
    pub fn config(&self) -> Arc<Config> {
        self.live.borrow().clone()
    }

    /// The ledger, if it is open.
    pub fn ledger(&self) -> Option<Arc<Ledger>> {
        self.ledger.ledger()
    }

    /// The metrics as text.
    pub fn metrics(&self, openmetrics: bool) -> String {
        self.metrics.render(openmetrics)
    }

    /// What prevents the daemon from doing its work; empty when nothing does.
    pub fn obstacles(&self) -> Vec<StatusProblem> {
        self.note_reach();
        obstacles(&self.state())
    }

    fn note_reach(&self) {
        let is_out_of_touch = self.ledger.ledger().is_some_and(|ledger| !ledger.is_in_touch());
        self.state().is_out_of_touch = is_out_of_touch;
    }

    /// A run has ended, or the configuration has changed: everything is read again for the next reader.
    pub fn invalidate(&self) {
        self.is_outdated.store(true, Ordering::Release);
    }

    /// The holds placed by command, as they were read last.
    pub fn placed_holds(&self) -> Vec<Hold> {
        self.ledger_view().placed_holds.clone()
    }

    /// The same with the freezes.
    pub fn placed_holds_and_freezes(&self) -> (Vec<Hold>, Vec<PlacedFreeze>) {
        let view = self.ledger_view();
        (view.placed_holds.clone(), view.freezes.clone())
    }

    /// The main loop is alive.
    pub fn main_loop_alive(&self) {
        *self.loop_alive_at.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// How long the main loop has been stalled, if it is: `/healthz`.
    pub fn stalled_for(&self) -> Option<Duration> {
        let alive_at = *self.loop_alive_at.lock().unwrap_or_else(PoisonError::into_inner);
        Some(alive_at.elapsed()).filter(|silence| *silence > STALLED)
    }

    /// Has the ledger read again if that is due, and waits for it; but not long, and not for a reading that others wait for.
    pub async fn refresh_if_old(self: &Arc<Self>) {
        let is_old = match self.last_read.try_lock() {
            Ok(last_read) => self.is_old(&last_read),
            Err(TryLockError::Poisoned(_)) => true,
            Err(TryLockError::WouldBlock) => false,
        };
        if is_old && self.ledger.ledger().is_some() {
            let status = Arc::clone(self);
            // What is not read in time is there for the next reader.
            let _ = timeout(LEDGER_TIMEOUT, spawn_blocking(move || status.refresh(false))).await;
        }
    }

    fn is_old(&self, last_read: &LastRead) -> bool {
        self.is_outdated.load(Ordering::Acquire) || last_read.holds_at.is_none_or(|at| at.elapsed() >= FRESH)
    }

    /// Reads holds, freezes and approvals again; without `force` not when that was just done, or is being done. May wait for
    /// the disk.
    pub fn refresh(&self, force: bool) {
        let Some(ledger) = self.ledger.ledger() else { return };
        let mut last_read = if force {
            self.last_read.lock().unwrap_or_else(PoisonError::into_inner)
        } else {
            match self.last_read.try_lock() {
                Ok(last_read) => last_read,
                Err(TryLockError::Poisoned(last_read)) => last_read.into_inner(),
                Err(TryLockError::WouldBlock) => return,
            }
        };
        if !force && !self.is_old(&last_read) {
            return;
        }
        if self.is_outdated.swap(false, Ordering::AcqRel) {
            *last_read = LastRead::default();
        }
        // Also after a failure: not every reader tries a ledger that cannot be read.
        last_read.holds_at = Some(Instant::now());
        if let Err(error) = self.read(&ledger, &mut last_read) {
            self.metrics.ledger_error();
            if error.is_lost() {
                self.metrics.ledger_rewound(true);
                self.state().state_problem = Some(error.to_string());
                self.loss_found.notify_one();
            }
            let error: &(dyn std::error::Error + 'static) = &error;
            tracing::error!(error, "holds and freeze could not be read");
        }
    }

    fn read(&self, ledger: &Ledger, last_read: &mut LastRead) -> Result<(), ledger::Error> {
        let now = now();
        let placed_holds = ledger.active_holds(now)?;
        let freezes = ledger.freezes()?;
        let shared = ledger.shared_state()?;
        process_metrics::show_members(&self.metrics, shared.as_ref());
        let mut storage = None;
        if last_read.storage_at.is_none_or(|at| at.elapsed() >= STORAGE_FRESH) {
            last_read.storage_at = Some(Instant::now());
            let config = self.live.borrow().clone();
            let policies = config.policies.iter().map(|entry| &entry.policy.name);
            storage = Some((assemble::storage(ledger)?, Recent::read(ledger, policies)?));
        }
        {
            let mut view = self.ledger_view();
            (view.placed_holds, view.freezes, view.shared) = (placed_holds, freezes, shared);
            view.read_at = Some(now);
            if let Some((storage, recent)) = storage {
                (view.storage, view.recent) = (storage, recent);
            }
        }
        let config = self.live.borrow().clone();
        self.update_notices(&config, ledger, now)?;
        let head = Some(ledger.head()?);
        if last_read.head != head {
            self.show_past_runs(&config, ledger)?;
            last_read.head = head;
        }
        let waiting = process_metrics::show_operator_state(&self.metrics, &config, ledger, now)?;
        self.state().guard_open = waiting;
        Ok(())
    }

    /// Records the holds of a configuration that came into force, and logs those that cover nothing. Later each run does.
    fn update_notices(&self, config: &Config, ledger: &Ledger, now: DateTime<Utc>) -> Result<(), ledger::Error> {
        if self.state().noticed.as_ref() == Some(&config.sha256) {
            return Ok(());
        }
        ledger.remember_configured(&config.holds, config.freeze.as_ref(), now)?;
        let notices = run::notices(config, ledger, now)?.into_all();
        for notice in &notices {
            tracing::info!("{notice}");
        }
        let mut state = self.state();
        state.notices = notices;
        state.noticed = Some(config.sha256.clone());
        Ok(())
    }

    /// Shows what the ledger knows of the last runs, where that is newer than what is known here: a run that failed as a whole
    /// left nothing in the ledger.
    pub fn show_past_runs(&self, config: &Config, ledger: &Ledger) -> Result<(), ledger::Error> {
        let mut past = PastRuns::read(ledger, now())?;
        let is_configured = |name: &ProjectName| config.projects.iter().any(|project| project.name == *name);
        past.instances.retain(|name, _| is_configured(name));
        let newer: BTreeSet<PolicyName> = {
            let state = self.state();
            let known = |name: &PolicyName| state.last.get(name).map(|last| last.finished_at);
            let policies = config.policies.iter().map(|entry| &entry.policy.name);
            policies
                .filter(|name| past.runs.get(*name).and_then(|last| last.finished.finished_at) > known(name))
                .cloned()
                .collect()
        };
        past.show(&self.metrics, |policy| newer.contains(policy));
        past.fill(&mut self.state(), |policy| newer.contains(policy));
        Ok(())
    }

    fn ledger_view(&self) -> MutexGuard<'_, LedgerView> {
        self.ledger_view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything that is known.
    pub fn status(&self) -> Status {
        let now = now();
        let config = self.live.borrow().clone();
        let view = self.ledger_view().clone();
        self.note_reach();
        let state = self.state();
        let loaded_at = state.loaded_at.unwrap_or(self.started_at);
        let configured = Configured::of(&config, &state, loaded_at);
        assemble(configured, view, &state, Some(self.started_at), now)
    }
}
