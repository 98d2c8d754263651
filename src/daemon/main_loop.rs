//! The one loop: it waits, rings, starts runs, reloads and drains.
//!
//! Everything that takes long is a task whose end the loop waits for; the loop itself never waits for one thing only, so
//! that the watchdog is fed exactly as long as it turns. Not for deciding who is due (`due`).

mod files;
mod holds;
mod runs;
mod waiting;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::{Notify, watch};
use tokio::task::{Id, JoinError, JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use files::Wanted;
use waiting::Waiting;

use super::ledger_handle::{SharedLedger, key_lockout, say_when_new};
use super::ledger_probe::{LedgerProbe, Probe, Wanted as WantedLook};
use super::reload::{self, Found};
use super::run_task::{RunOutcome, RunTask, Runner, SharedLock};
use super::scheduler::{Scheduler, Timing};
use super::shared_status::SharedStatus;
use super::systemd::Systemd;
use super::watch::{Watch, fingerprint, prints};
use super::{Clock, Ended, Error, Options, observe};
use crate::config::{Config, Environment};
use crate::ledger::{self, LastBegun};
use crate::rds::{KeyLockout, Observer};
use crate::retention::{Hold, PolicyName, Refusal};
use crate::run::Projects;
use crate::telemetry::Metrics;

/// The loop turns at least this often: for a clock that was set, a host that slept, a change that the kernel did not tell.
const HEARTBEAT: Duration = Duration::from_secs(30);
/// A run under way has this long to finish its batch after the daemon was told to stop (contract: 30 s in all).
const DRAIN: Duration = Duration::from_secs(25);
/// A task that was cut has this long to be gone.
const CUT: Duration = Duration::from_secs(2);
/// A run that is still there so long after it was cut never yields; somebody else must end it.
const STUCK: Duration = Duration::from_secs(300);

/// What woke the loop.
enum Event {
    Stop,
    ScheduledRun(Box<RunEnd>),
    Loaded(Result<Loaded, JoinError>),
    Looked(Probe),
    Hangup,
    Changed,
    Time,
}

/// How the task of a run ended.
type RunEnd = Result<(Id, RunOutcome), JoinError>;
/// The outcome of looking at the files.
type Loaded = (Found, u64);

/// A look at the files under way.
#[derive(Debug)]
struct Reloading {
    task: JoinHandle<Loaded>,
    by_hand: bool,
}

pub(super) struct MainLoop {
    clock: Clock,
    environment: Environment,
    stop: watch::Receiver<bool>,
    hangups: Arc<Notify>,
    host: String,
    show: bool,
    run: Runner,

    /// The configuration in force: the one that was taken last, and what newer ones that wait keep beside it.
    live: watch::Sender<Arc<Config>>,
    /// The configuration that was taken last.
    taken: Arc<Config>,
    shared_status: Arc<SharedStatus>,
    metrics: Metrics,
    observer: Observer,
    keys: KeyLockout,
    projects: Arc<Projects>,
    store: LedgerProbe,
    /// The state did something unexpected: look at it now.
    doubt: bool,
    /// What the board shows of the state is out of date: have it read.
    refresh: bool,
    /// The holds of each configuration that was taken into force and that the ledger has not been told of.
    unnoted: Vec<Vec<Hold>>,
    /// Why nothing runs, while the state that was known is gone, replaced or set back.
    lost: Option<Refusal>,

    scheduler: Scheduler,
    /// The runs under way, by their tasks.
    turns: HashMap<Id, RunTask>,
    runs: JoinSet<RunOutcome>,
    right: SharedLock,

    changed: Arc<Notify>,
    watch: Watch,
    fingerprint: u64,
    reloading: Option<Reloading>,
    wanted: Option<Wanted>,
    /// A newer configuration that keeps less.
    waiting: Option<Waiting>,
    /// The files of the configuration that was taken last, as they were then.
    prints: BTreeMap<PathBuf, Option<u64>>,

    systemd: Systemd,
    next_beat: Instant,
    next_ping: Option<Instant>,
    next_holds: Option<DateTime<Utc>>,
    /// Holds that were warned about.
    warned: HashSet<String>,
    started_at: DateTime<Utc>,
    /// Interrupted runs of earlier processes that were counted.
    interrupted: HashSet<(PolicyName, DateTime<Utc>)>,
}

impl std::fmt::Debug for MainLoop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MainLoop")
            .field("scheduler", &self.scheduler)
            .finish_non_exhaustive()
    }
}

impl MainLoop {
    pub(super) fn new(options: Options, run: Runner) -> Result<Self, Error> {
        let now = (options.clock)();
        let metrics = observe::metrics(&options.config, now);
        let slot = SharedLedger::default();
        let keys = key_lockout(&slot);
        let observer = observe::observer(&metrics);
        let projects = Arc::new(Projects::connect(&options.config, &keys, &observer)?);
        let (fingerprint, prints) = (fingerprint(&options.config), prints(&options.config.files));
        let taken = Arc::clone(&options.config);
        let (live, reader) = watch::channel(options.config);
        let shared_status = Arc::new(SharedStatus::new(metrics.clone(), slot.clone(), reader, now));
        shared_status.facts().loaded_at = Some(now);
        let changed = Arc::new(Notify::new());
        let systemd = Systemd::new();
        let begin = Instant::now();
        Ok(Self {
            next_ping: systemd.watchdog().map(|_| begin),
            clock: options.clock,
            environment: options.environment,
            stop: options.stop,
            hangups: options.hangups,
            host: options.host,
            show: options.show,
            run,
            live,
            taken,
            shared_status,
            metrics,
            observer,
            keys,
            projects,
            store: LedgerProbe::new(slot),
            doubt: false,
            refresh: false,
            unnoted: Vec::new(),
            lost: None,
            scheduler: Scheduler::default(),
            turns: HashMap::new(),
            runs: JoinSet::new(),
            right: SharedLock::default(),
            watch: Watch::new(Arc::clone(&changed)),
            changed,
            fingerprint,
            reloading: None,
            wanted: None,
            waiting: None,
            prints,
            systemd,
            next_beat: begin + HEARTBEAT,
            next_holds: None,
            warned: HashSet::new(),
            started_at: now,
            interrupted: HashSet::new(),
        })
    }

    pub(super) fn shared_status(&self) -> Arc<SharedStatus> {
        Arc::clone(&self.shared_status)
    }

    /// The newest configuration.
    fn config(&self) -> Arc<Config> {
        self.live.borrow().clone()
    }

    /// Runs until it is told to stop.
    pub(super) async fn run(mut self) -> Result<Ended, Error> {
        self.begin().await;
        loop {
            self.tick();
            let wake = self.wake();
            match self.wait(wake).await {
                Event::Stop => break,
                Event::ScheduledRun(ended) => self.run_ended(*ended),
                Event::Loaded(loaded) => self.loaded(loaded),
                Event::Looked(found) => self.looked(found),
                Event::Hangup => {
                    tracing::info!("SIGHUP: looking at the configuration");
                    self.want_at_once();
                }
                Event::Changed => self.want_when_settled(),
                Event::Time => {}
            }
        }
        Ok(self.drain().await)
    }

    async fn begin(&mut self) {
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
        self.watch.follow(&[&config]);
        // They may have changed after they were read and before they were watched.
        self.want_when_settled();
        self.adopt(&config, now);
        if self.show {
            self.scheduler.start_all();
        }
        self.look_at_the_state(now, Instant::now());
        // Whoever waits for the daemon to be up finds its state open; but a slow disk does not keep it down.
        if let Ok(found) = timeout(LedgerProbe::PATIENCE, self.store.looked()).await {
            self.looked(found);
        }
        self.publish();
        // Also when the state does not work: the daemon is up, says so, and mends itself when the state does.
        self.systemd.ready();
    }

    fn adopt(&mut self, config: &Config, now: DateTime<Utc>) {
        let timing = |entry: &crate::config::PolicyEntry| (entry.policy.name.clone(), Timing::of(entry, &self.host));
        self.scheduler.adopt(config.policies.iter().map(timing), now);
    }

    /// Waits for whatever comes first.
    async fn wait(&mut self, wake: Instant) -> Event {
        let loaded = async {
            match &mut self.reloading {
                Some(reloading) => (&mut reloading.task).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            // A dropped sender can tell nothing any more; it is no order to stop.
            Ok(_) = self.stop.wait_for(|stop| *stop) => Event::Stop,
            Some(ended) = self.runs.join_next_with_id() => Event::ScheduledRun(Box::new(ended)),
            loaded = loaded => Event::Loaded(loaded),
            found = self.store.looked() => Event::Looked(found),
            () = self.hangups.notified() => Event::Hangup,
            () = self.changed.notified() => Event::Changed,
            () = sleep_until(wake) => Event::Time,
        }
    }

    /// Does everything that it is time for.
    fn tick(&mut self) {
        let (now, instant) = ((self.clock)(), Instant::now());
        self.abort_hanging_runs(instant);
        if instant >= self.next_beat {
            self.next_beat = instant + HEARTBEAT;
            self.look_for_changes();
        }
        self.look_at_what_waits(instant);
        self.begin_reload(instant);
        self.look_at_the_state(now, instant);
        self.fire(now);
        self.begin_run();
        self.want_holds(now);
        self.publish();
        self.ping(instant);
    }

    /// When to turn again at the latest.
    fn wake(&self) -> Instant {
        let (now, instant) = ((self.clock)(), Instant::now());
        let in_time = |at: DateTime<Utc>| instant + (at - now).to_std().unwrap_or_default();
        // What rings while a run is under way is looked at in time, too: it is counted as skipped.
        let mut wake = self.next_beat;
        let fire = self.scheduler.next_fire().map(in_time);
        let look = self.store.next_look().filter(|_| self.turns.is_empty()).map(in_time);
        let wanted = self.wanted.as_ref().filter(|_| self.reloading.is_none());
        let reload = wanted.map(|wanted| wanted.at);
        let waiting = self.waiting.as_ref().map(|waiting| waiting.next_look);
        let whole = self.turns.values().filter(|run_task| !run_task.is_cut);
        let deadline = whole.map(|run_task| run_task.deadline).min();
        let told = self.store.told_at().filter(|at| *at > instant);
        for other in [fire, look, reload, waiting, deadline, told, self.next_ping]
            .into_iter()
            .flatten()
        {
            wake = wake.min(other);
        }
        wake
    }

    /// Tells those who watch that the loop turns.
    fn ping(&mut self, instant: Instant) {
        let is_stuck = |run_task: &RunTask| run_task.is_cut && instant >= run_task.deadline + STUCK;
        if self.turns.values().any(is_stuck) {
            // No run of its policies will ever begin again in this process. Whoever watches it shall make a new one.
            return;
        }
        self.shared_status.turned();
        let Some(every) = self.systemd.watchdog() else { return };
        if self.next_ping.is_none_or(|at| instant >= at) {
            Systemd::alive();
            self.next_ping = Some(instant + every);
        }
    }

    // The state.

    fn look_at_the_state(&mut self, now: DateTime<Utc>, instant: Instant) {
        if self.store.told_at().is_some_and(|at| instant >= at) {
            let problem =
                "the ledger has not answered for 15 seconds: its disk is slow, or another process has locked it";
            self.shared_status
                .facts()
                .store_problem
                .get_or_insert(problem.to_owned());
        }
        let wanted = WantedLook {
            config: self.config(),
            shared_status: self.shared_status(),
            // The board may have found out first.
            doubt: self.doubt || (self.lost.is_none() && self.metrics.is_ledger_rewound()),
            refresh: self.refresh,
            beside_runs: !self.turns.is_empty(),
            holds: self.unnoted.clone(),
        };
        if self.store.begin_look(wanted, now) {
            (self.doubt, self.refresh) = (false, false);
            self.unnoted.clear();
        }
    }

    fn looked(&mut self, found: Probe) {
        let now = (self.clock)();
        self.store.plan_next(&found, now);
        match found {
            Probe::Failed(error) => return self.state_failed(&error),
            Probe::Same => {}
            Probe::Opened(ledger, past) => {
                let config = self.config();
                tracing::info!(state = %ledger.path().display(), "state opened");
                say_when_new(&config, &ledger);
                self.keys.restore(past.refusals, now);
                for (policy, last) in &past.begun {
                    self.catch_up(policy, last, now);
                }
            }
        }
        if self.store.ledger().is_some() {
            self.lost = None;
            self.metrics.ledger_rewound(false);
            self.shared_status.facts().store_problem = None;
        }
        self.warn_of_ending_holds(now);
    }

    fn state_failed(&mut self, error: &ledger::Error) {
        self.metrics.ledger_error();
        let is_news = self.shared_status.facts().store_problem.replace(error.to_string()) != Some(error.to_string());
        self.lost = error.is_lost().then(|| Refusal::Ledger {
            message: error.to_string(),
        });
        self.metrics.ledger_rewound(self.lost.is_some());
        let error: &(dyn std::error::Error + 'static) = error;
        if is_news || self.lost.is_none() {
            tracing::error!(
                error,
                "the state does not work: nothing runs until it does; it is tried again"
            );
        }
    }

    /// Lets a policy run soon whose last run was interrupted, or that missed a tick.
    fn catch_up(&mut self, policy: &PolicyName, last: &LastBegun, now: DateTime<Utc>) {
        // Of an earlier process; the counters began with this one.
        if last.is_interrupted && last.at < self.started_at && self.interrupted.insert((policy.clone(), last.at)) {
            self.metrics.run_interrupted(policy);
        }
        if self.scheduler.catch_up(policy, last, now) {
            let why = if last.is_interrupted {
                "its last run was interrupted"
            } else {
                "a tick was missed"
            };
            tracing::info!(policy = policy.as_str(), last = %last.at, "{why}: it is made up for now");
        }
    }

    // Showing.

    fn publish(&mut self) {
        let mut facts = self.shared_status.facts();
        facts.next.clear();
        facts.waiting.clear();
        for (policy, next) in self.scheduler.next_fires() {
            self.metrics.next_run(policy, next);
            facts.next.insert(policy.clone(), next);
            if self.scheduler.is_waiting(policy) {
                facts.waiting.insert(policy.clone());
            }
        }
        let first = facts
            .next
            .iter()
            .filter_map(|(policy, next)| Some((((*next)?), policy)))
            .min();
        let mut status = match (facts.running.values().min().copied(), first) {
            (Some(since), _) => {
                let names: Vec<&str> = facts.running.keys().map(PolicyName::as_str).collect();
                format!("running {} since {}", names.join(", "), short(since))
            }
            (None, Some((next, policy))) => format!("next run: {policy} at {}", short(next)),
            (None, None) => "no policy has a schedule".to_owned(),
        };
        if let Some(problem) = &facts.store_problem {
            status = format!("nothing runs: {problem}");
        } else if let Some(problem) = facts.config_problems.first() {
            status = format!("{status}; the new configuration is refused: {problem}");
        } else if let Some(waiting) = &facts.config_waiting {
            status = format!("{status}; {waiting}");
        }
        drop(facts);
        self.systemd.status(status);
    }

    // The end.

    /// Lets the runs under way finish their batches.
    async fn drain(mut self) -> Ended {
        Systemd::stopping();
        self.shared_status.facts().stopping = true;
        if let Some(reloading) = self.reloading.take() {
            // It only reads.
            reloading.task.abort();
        }
        let mut ended = Ended::Drained;
        if !self.turns.is_empty() {
            tracing::info!("waiting for the batches under way");
            self.runs_end(DRAIN).await;
        }
        if !self.turns.is_empty() {
            for run_task in self.turns.values_mut() {
                tracing::error!(
                    policies = run_task.names(),
                    "the run did not end in time and is cut; what it sent is in the ledger"
                );
                run_task.cut();
            }
            ended = Ended::Cut;
            self.runs_end(CUT).await;
        }
        self.store.close().await;
        tracing::info!("stopped");
        ended
    }
}

impl MainLoop {
    /// Waits until all runs have ended, but not longer than this.
    async fn runs_end(&mut self, within: Duration) {
        let end = Instant::now() + within;
        while let Ok(Some(ended)) = timeout_at(end, self.runs.join_next_with_id()).await {
            self.run_ended(ended);
        }
    }
}

fn short(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

#[cfg(test)]
#[path = "main_loop_tests.rs"]
mod tests;
