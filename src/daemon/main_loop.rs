//! The main loop: waits for the first of everything that can happen, and acts on it.
//!
//! Everything that may take long is a task whose end the loop waits for, beside all the rest, so that the watchdog is fed exactly
//! while the loop is alive. Not for deciding which policies are due (`scheduler`).

mod drain;
mod held_edits;
mod holds;
mod ledger;
mod project_checks;
mod publish;
mod reloads;
mod runs;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::{Notify, watch};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};

use super::config_watch::ConfigWatch;
use super::held_edit::HeldEdit;
use super::key_refusals::key_lockout;
use super::ledger_probe::{LedgerProbe, Probe};
use super::options::{Clock, Error, LoopEnded, Options};
use super::project_checks::{ProjectChecked, ProjectChecks};
use super::reload;
use super::reload_request::{LoadedFiles, ReloadRequest, RunningReload};
use super::run_task::{self, RunEnd, RunOutcome, RunTask, Runner, SharedLock};
use super::scheduler::Scheduler;
use super::systemd::Systemd;
use super::ticker::Ticker;
use super::timing::Timing;
use crate::config::{Config, Environment, PolicyEntry, StateAt, file_fingerprints, fingerprint};
use crate::notify::Notifier;
use crate::rds::{KeyLockout, Observer};
use crate::retention::{Hold, PolicyName, Refusal};
use crate::run::Projects;
use crate::status::{SharedLedger, SharedStatus, process_metrics};
use crate::telemetry::Metrics;
use crate::wording::remedies::program;

/// The loop wakes at least this often: for a clock that was set, a host that was suspended, a change of the files without
/// an event.
const HEARTBEAT: Duration = Duration::from_secs(30);
/// A run that is still there this long after it was aborted never yields; only the service manager can end it.
const STUCK: Duration = Duration::from_secs(300);

/// What woke the loop.
enum LoopEvent {
    Stop,
    RunEnded(Box<RunEnd>),
    Reloaded(Result<LoadedFiles, JoinError>),
    LedgerProbed(Probe),
    ProjectChecked(ProjectChecked),
    Sighup,
    FilesChanged,
    TickDue,
    Timer,
}

/// The daemon: it runs policies by their schedules until it has to stop.
pub struct MainLoop {
    clock: Clock,
    clock_set: Arc<Notify>,
    environment: Environment,
    stop: watch::Receiver<bool>,
    hangups: Arc<Notify>,
    host: String,
    demo: bool,
    runner: Runner,

    /// The configuration in force: the one applied last, and whatever a held edit keeps beside it.
    live: watch::Sender<Arc<Config>>,
    /// The configuration applied last.
    applied: Arc<Config>,
    status: Arc<SharedStatus>,
    metrics: Metrics,
    observer: Observer,
    key_lockout: KeyLockout,
    projects: Arc<Projects>,
    project_checks: ProjectChecks,
    ledger_probe: LedgerProbe,
    /// The ledger did something unexpected: probe it now.
    ledger_suspect: bool,
    /// What is shown of the ledger is out of date: have it read.
    status_stale: bool,
    /// The holds of each configuration that was applied and that the ledger does not know yet.
    unrecorded_holds: Vec<Vec<Hold>>,
    /// Why nothing runs while the known ledger is gone, replaced or set back.
    ledger_refusal: Option<Refusal>,

    scheduler: Scheduler,
    ticker: Ticker,
    /// The runs in progress, by their tasks.
    run_tasks: HashMap<Id, RunTask>,
    tasks: JoinSet<RunOutcome>,
    deletion_lock: SharedLock,

    files_changed: Arc<Notify>,
    config_watch: ConfigWatch,
    fingerprint: u64,
    reload: Option<RunningReload>,
    reload_request: Option<ReloadRequest>,
    /// A newer configuration that keeps less.
    held_edit: Option<HeldEdit>,
    /// The files of the configuration applied last, as they were then.
    fingerprints: BTreeMap<PathBuf, Option<u64>>,

    notifier: Notifier,
    systemd: Systemd,
    next_heartbeat: Instant,
    next_watchdog: Option<Instant>,
    next_holds_check: Option<DateTime<Utc>>,
    /// Holds and freezes whose end was warned of.
    warned_of_end: HashSet<String>,
    started_at: DateTime<Utc>,
    /// Interrupted runs of earlier processes that were counted.
    counted_interruptions: HashSet<(PolicyName, DateTime<Utc>)>,
}

impl std::fmt::Debug for MainLoop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MainLoop")
            .field("scheduler", &self.scheduler)
            .finish_non_exhaustive()
    }
}

impl MainLoop {
    /// Makes the clients of the projects. Reads nothing from the cloud and writes nothing.
    pub fn new(options: Options) -> Result<Self, Error> {
        Self::with_runner(options, run_task::runner())
    }

    fn with_runner(options: Options, runner: Runner) -> Result<Self, Error> {
        if options.config.projects.is_empty() {
            return Err(Error::NoProjects(options.config.path.clone()));
        }
        let now = (options.clock)();
        let metrics = process_metrics::metrics(&options.config, now);
        let ledger = SharedLedger::default();
        let key_lockout = key_lockout(&ledger, matches!(options.config.state, StateAt::Postgres(_)));
        let observer = process_metrics::observer(&metrics);
        let projects = Arc::new(Projects::connect(&options.config, &key_lockout, &observer)?);
        let applied = Arc::clone(&options.config);
        let (live, in_force) = watch::channel(options.config);
        let status = Arc::new(SharedStatus::new(metrics.clone(), ledger.clone(), in_force, now));
        status.state().loaded_at = Some(now);
        let notifier = Notifier::new(&applied.notify, program(&applied.path));
        let (systemd, start, files_changed) = (Systemd::new(), Instant::now(), Arc::new(Notify::new()));
        Ok(Self {
            next_watchdog: systemd.watchdog().map(|_| start),
            ticker: Ticker::new(Arc::clone(&options.clock)),
            clock: options.clock,
            clock_set: options.clock_set,
            environment: options.environment,
            stop: options.stop,
            hangups: options.hangups,
            host: options.host,
            demo: options.demo,
            runner,
            live,
            fingerprint: fingerprint(&applied),
            fingerprints: file_fingerprints(&applied.files),
            applied,
            status,
            metrics,
            observer,
            key_lockout,
            projects,
            project_checks: ProjectChecks::default(),
            ledger_probe: LedgerProbe::new(ledger),
            ledger_suspect: false,
            status_stale: false,
            unrecorded_holds: Vec::new(),
            ledger_refusal: None,
            scheduler: Scheduler::default(),
            run_tasks: HashMap::new(),
            tasks: JoinSet::new(),
            deletion_lock: SharedLock::default(),
            config_watch: ConfigWatch::new(Arc::clone(&files_changed)),
            files_changed,
            reload: None,
            reload_request: None,
            held_edit: None,
            notifier,
            systemd,
            next_heartbeat: start + HEARTBEAT,
            next_holds_check: None,
            warned_of_end: HashSet::new(),
            started_at: now,
            counted_interruptions: HashSet::new(),
        })
    }

    /// What it knows, for those who show it.
    pub fn status(&self) -> Arc<SharedStatus> {
        Arc::clone(&self.status)
    }

    /// The configuration in force.
    fn config(&self) -> Arc<Config> {
        self.live.borrow().clone()
    }

    /// Runs until a stop is requested and the batches in progress are finished.
    pub async fn run(mut self) -> Result<LoopEnded, Error> {
        self.start().await?;
        loop {
            self.act();
            let wake = self.next_wake();
            match self.wait(wake).await {
                LoopEvent::Stop => break,
                LoopEvent::RunEnded(ended) => self.run_ended(*ended),
                LoopEvent::Reloaded(loaded) => self.reload_finished(loaded),
                LoopEvent::LedgerProbed(found) => self.ledger_probed(found),
                LoopEvent::ProjectChecked(checked) => self.project_checked(checked),
                LoopEvent::Sighup => {
                    tracing::info!("SIGHUP: looking at the configuration");
                    self.request_reload_now();
                }
                LoopEvent::FilesChanged => self.request_reload_when_settled(),
                LoopEvent::TickDue => self.fire((self.clock)()),
                LoopEvent::Timer => {}
            }
        }
        Ok(self.drain().await)
    }

    async fn start(&mut self) -> Result<(), Error> {
        let (config, now) = (self.config(), (self.clock)());
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            config = %config.path.display(),
            sha256 = config.sha256,
            policies = config.policies.len(),
            projects = config.projects.len(),
            "started"
        );
        reload::log_warnings(&config);
        self.config_watch.follow(&[&config]);
        // They may have changed after they were read and before they were watched.
        self.request_reload_when_settled();
        self.ticker.start().await?;
        self.adopt(&config, now);
        if self.demo {
            self.scheduler.start_all();
        }
        self.project_checks.request(&self.projects);
        self.start_ledger_probe(now, Instant::now());
        // When READY is sent the ledger is open; but a slow disk does not prevent the start.
        if let Ok(found) = timeout(LedgerProbe::TIMEOUT, self.ledger_probe.finished()).await {
            self.ledger_probed(found);
        }
        self.publish();
        // Also when the ledger does not work: the daemon is up, says so, and goes on when the ledger does.
        self.systemd.ready();
        Ok(())
    }

    fn adopt(&mut self, config: &Config, now: DateTime<Utc>) {
        let timing = |entry: &PolicyEntry| (entry.policy.name.clone(), Timing::of(entry, &self.host));
        self.scheduler.adopt(config.policies.iter().map(timing), now);
    }

    /// Waits for the first event.
    async fn wait(&mut self, wake: Instant) -> LoopEvent {
        let loaded = async {
            match &mut self.reload {
                Some(reload) => (&mut reload.task).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            // A dropped sender is not a request to stop.
            Ok(_) = self.stop.wait_for(|stop| *stop) => LoopEvent::Stop,
            Some(ended) = self.tasks.join_next_with_id() => LoopEvent::RunEnded(Box::new(ended)),
            loaded = loaded => LoopEvent::Reloaded(loaded),
            found = self.ledger_probe.finished() => LoopEvent::LedgerProbed(found),
            Some(checked) = self.project_checks.finished() => LoopEvent::ProjectChecked(checked),
            () = self.hangups.notified() => LoopEvent::Sighup,
            () = self.files_changed.notified() => LoopEvent::FilesChanged,
            () = self.ticker.due() => LoopEvent::TickDue,
            () = self.clock_set.notified() => LoopEvent::TickDue,
            () = self.status.loss_found() => LoopEvent::Timer,
            () = sleep_until(wake) => LoopEvent::Timer,
        }
    }

    /// Does everything that is due.
    fn act(&mut self) {
        let (now, instant) = ((self.clock)(), Instant::now());
        self.abort_hanging_runs(instant);
        if instant >= self.next_heartbeat {
            self.next_heartbeat = instant + HEARTBEAT;
            self.check_for_changes();
            // For a clock that was set, and a tick that the ticker lost.
            self.fire(now);
        }
        self.check_held_edit(instant);
        self.start_reload(instant);
        self.start_ledger_probe(now, instant);
        self.start_runs();
        self.start_project_checks(instant);
        self.ticker.set(self.scheduler.next_fire());
        self.check_holds(now);
        self.publish();
        self.report_alive(instant);
    }

    /// When to wake at the latest. The ticker wakes the loop when a tick is due, also during a run: that tick is skipped and
    /// counted.
    fn next_wake(&self) -> Instant {
        let (now, instant) = ((self.clock)(), Instant::now());
        let in_time = |at: DateTime<Utc>| instant + (at - now).to_std().unwrap_or_default();
        let probe = self.ledger_probe.next_at().filter(|_| self.run_tasks.is_empty());
        let request = self.reload_request.as_ref().filter(|_| self.reload.is_none());
        let healthy = self.run_tasks.values().filter(|run_task| !run_task.is_aborted);
        let others = [
            probe.map(in_time),
            request.map(|request| request.at),
            self.held_edit.as_ref().map(|edit| edit.next_check),
            healthy.map(|run_task| run_task.deadline).min(),
            self.ledger_probe.slow_at().filter(|at| *at > instant),
            self.next_watchdog,
            self.project_checks.again_at().filter(|at| *at > instant),
        ];
        others.into_iter().flatten().fold(self.next_heartbeat, Instant::min)
    }

    /// Reports to the watchdog and to `/healthz` that the loop is alive.
    fn report_alive(&mut self, instant: Instant) {
        let is_stuck = |run_task: &RunTask| run_task.is_aborted && instant >= run_task.deadline + STUCK;
        if self.run_tasks.values().any(is_stuck) {
            // No run of its policies can start again in this process: the service manager shall restart it.
            return;
        }
        self.status.main_loop_alive();
        let Some(every) = self.systemd.watchdog() else { return };
        if self.next_watchdog.is_none_or(|at| instant >= at) {
            Systemd::alive();
            self.next_watchdog = Some(instant + every);
        }
    }
}

#[cfg(test)]
#[path = "main_loop_tests.rs"]
mod tests;
