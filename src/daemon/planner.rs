//! The one loop: it waits, rings, starts passes, reloads and drains.
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

use super::board::Board;
use super::due::{Agenda, Timing};
use super::ledger_probe::{LedgerProbe, Look, Wanted as WantedLook};
use super::reload::{self, Found};
use super::store::{Slot, key_guard, say_when_new};
use super::systemd::Systemd;
use super::turn::{Passer, Right, Turn, Walked};
use super::watch::{Watch, fingerprint, prints};
use super::{Clock, Ended, Error, Options, gauges};
use crate::config::{Config, Surroundings};
use crate::ledger::{self, LastBegun};
use crate::rds::{KeyGuard, Observer};
use crate::retention::{Hold, PolicyName, Refusal};
use crate::run::Projects;
use crate::telemetry::Metrics;

/// The loop turns at least this often: for a clock that was set, a host that slept, a change that the kernel did not tell.
const HEARTBEAT: Duration = Duration::from_secs(30);
/// A pass under way has this long to finish its batch after the daemon was told to stop (contract: 30 s in all).
const DRAIN: Duration = Duration::from_secs(25);
/// A task that was cut has this long to be gone.
const CUT: Duration = Duration::from_secs(2);
/// A pass that is still there so long after it was cut never yields; somebody else must end it.
const STUCK: Duration = Duration::from_secs(300);

/// What woke the loop.
enum Woken {
    Stop,
    Pass(Box<PassEnd>),
    Loaded(Result<Loaded, JoinError>),
    Looked(Look),
    Hangup,
    Changed,
    Time,
}

/// How the task of a pass ended.
type PassEnd = Result<(Id, Walked), JoinError>;
/// The outcome of looking at the files.
type Loaded = (Found, u64);

/// A look at the files under way.
#[derive(Debug)]
struct Reloading {
    task: JoinHandle<Loaded>,
    by_hand: bool,
}

pub(super) struct Planner {
    clock: Clock,
    surroundings: Surroundings,
    stop: watch::Receiver<bool>,
    hangups: Arc<Notify>,
    host: String,
    show: bool,
    pass: Passer,

    /// The configuration in force: the one that was taken last, and what newer ones that wait keep beside it.
    live: watch::Sender<Arc<Config>>,
    /// The configuration that was taken last.
    taken: Arc<Config>,
    board: Arc<Board>,
    metrics: Metrics,
    observer: Observer,
    keys: KeyGuard,
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

    agenda: Agenda,
    /// The passes under way, by their tasks.
    turns: HashMap<Id, Turn>,
    passes: JoinSet<Walked>,
    right: Right,

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

impl std::fmt::Debug for Planner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Planner")
            .field("agenda", &self.agenda)
            .finish_non_exhaustive()
    }
}

impl Planner {
    pub(super) fn new(options: Options, pass: Passer) -> Result<Self, Error> {
        let now = (options.clock)();
        let metrics = gauges::metrics(&options.config, now);
        let slot = Slot::default();
        let keys = key_guard(&slot);
        let observer = gauges::observer(&metrics);
        let projects = Arc::new(Projects::connect(&options.config, &keys, &observer)?);
        let (fingerprint, prints) = (fingerprint(&options.config), prints(&options.config.files));
        let taken = Arc::clone(&options.config);
        let (live, reader) = watch::channel(options.config);
        let board = Arc::new(Board::new(metrics.clone(), slot.clone(), reader, now));
        board.facts().loaded_at = Some(now);
        let changed = Arc::new(Notify::new());
        let systemd = Systemd::new();
        let begin = Instant::now();
        Ok(Self {
            next_ping: systemd.watchdog().map(|_| begin),
            clock: options.clock,
            surroundings: options.surroundings,
            stop: options.stop,
            hangups: options.hangups,
            host: options.host,
            show: options.show,
            pass,
            live,
            taken,
            board,
            metrics,
            observer,
            keys,
            projects,
            store: LedgerProbe::new(slot),
            doubt: false,
            refresh: false,
            unnoted: Vec::new(),
            lost: None,
            agenda: Agenda::default(),
            turns: HashMap::new(),
            passes: JoinSet::new(),
            right: Right::default(),
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

    pub(super) fn board(&self) -> Arc<Board> {
        Arc::clone(&self.board)
    }

    /// The newest configuration.
    fn config(&self) -> Arc<Config> {
        self.live.borrow().clone()
    }

    /// Runs until it is told to stop.
    pub(super) async fn run(mut self) -> Result<Ended, Error> {
        self.begin().await;
        loop {
            self.attend();
            let wake = self.wake();
            match self.wait(wake).await {
                Woken::Stop => break,
                Woken::Pass(ended) => self.pass_ended(*ended),
                Woken::Loaded(loaded) => self.loaded(loaded),
                Woken::Looked(found) => self.looked(found),
                Woken::Hangup => {
                    tracing::info!("SIGHUP: looking at the configuration");
                    self.want_at_once();
                }
                Woken::Changed => self.want_when_settled(),
                Woken::Time => {}
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
            self.agenda.start_all();
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
        self.agenda.adopt(config.policies.iter().map(timing), now);
    }

    /// Waits for whatever comes first.
    async fn wait(&mut self, wake: Instant) -> Woken {
        let loaded = async {
            match &mut self.reloading {
                Some(reloading) => (&mut reloading.task).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            // A dropped sender can tell nothing any more; it is no order to stop.
            Ok(_) = self.stop.wait_for(|stop| *stop) => Woken::Stop,
            Some(ended) = self.passes.join_next_with_id() => Woken::Pass(Box::new(ended)),
            loaded = loaded => Woken::Loaded(loaded),
            found = self.store.looked() => Woken::Looked(found),
            () = self.hangups.notified() => Woken::Hangup,
            () = self.changed.notified() => Woken::Changed,
            () = sleep_until(wake) => Woken::Time,
        }
    }

    /// Does everything that it is time for.
    fn attend(&mut self) {
        let (now, instant) = ((self.clock)(), Instant::now());
        self.cut_what_hangs(instant);
        if instant >= self.next_beat {
            self.next_beat = instant + HEARTBEAT;
            self.look_for_changes();
        }
        self.look_at_what_waits(instant);
        self.begin_reload(instant);
        self.look_at_the_state(now, instant);
        self.ring(now);
        self.begin_pass();
        self.want_holds(now);
        self.publish();
        self.ping(instant);
    }

    /// When to turn again at the latest.
    fn wake(&self) -> Instant {
        let (now, instant) = ((self.clock)(), Instant::now());
        let in_time = |at: DateTime<Utc>| instant + (at - now).to_std().unwrap_or_default();
        // What rings while a pass is under way is looked at in time, too: it is counted as skipped.
        let mut wake = self.next_beat;
        let ring = self.agenda.next_ring().map(in_time);
        let look = self.store.next_look().filter(|_| self.turns.is_empty()).map(in_time);
        let wanted = self.wanted.as_ref().filter(|_| self.reloading.is_none());
        let reload = wanted.map(|wanted| wanted.at);
        let waiting = self.waiting.as_ref().map(|waiting| waiting.next_look);
        let whole = self.turns.values().filter(|turn| !turn.is_cut);
        let deadline = whole.map(|turn| turn.deadline).min();
        let told = self.store.told_at().filter(|at| *at > instant);
        for other in [ring, look, reload, waiting, deadline, told, self.next_ping]
            .into_iter()
            .flatten()
        {
            wake = wake.min(other);
        }
        wake
    }

    /// Tells those who watch that the loop turns.
    fn ping(&mut self, instant: Instant) {
        let is_stuck = |turn: &Turn| turn.is_cut && instant >= turn.deadline + STUCK;
        if self.turns.values().any(is_stuck) {
            // No run of its policies will ever begin again in this process. Whoever watches it shall make a new one.
            return;
        }
        self.board.turned();
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
            self.board.facts().store_problem.get_or_insert(problem.to_owned());
        }
        let wanted = WantedLook {
            config: self.config(),
            board: self.board(),
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

    fn looked(&mut self, found: Look) {
        let now = (self.clock)();
        self.store.plan_next(&found, now);
        match found {
            Look::Failed(error) => return self.state_failed(&error),
            Look::Same => {}
            Look::Opened(ledger, past) => {
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
            self.board.facts().store_problem = None;
        }
        self.warn_of_ending_holds(now);
    }

    fn state_failed(&mut self, error: &ledger::Error) {
        self.metrics.ledger_error();
        let is_news = self.board.facts().store_problem.replace(error.to_string()) != Some(error.to_string());
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
        if self.agenda.catch_up(policy, last, now) {
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
        let mut facts = self.board.facts();
        facts.next.clear();
        facts.waiting.clear();
        for (policy, next) in self.agenda.next_rings() {
            self.metrics.next_run(policy, next);
            facts.next.insert(policy.clone(), next);
            if self.agenda.is_waiting(policy) {
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

    /// Lets the passes under way finish their batches.
    async fn drain(mut self) -> Ended {
        Systemd::stopping();
        self.board.facts().stopping = true;
        if let Some(reloading) = self.reloading.take() {
            // It only reads.
            reloading.task.abort();
        }
        let mut ended = Ended::Drained;
        if !self.turns.is_empty() {
            tracing::info!("waiting for the batches under way");
            self.passes_end(DRAIN).await;
        }
        if !self.turns.is_empty() {
            for turn in self.turns.values_mut() {
                tracing::error!(
                    policies = turn.names(),
                    "the run did not end in time and is cut; what it sent is in the ledger"
                );
                turn.cut();
            }
            ended = Ended::Cut;
            self.passes_end(CUT).await;
        }
        self.store.close().await;
        tracing::info!("stopped");
        ended
    }
}

impl Planner {
    /// Waits until all passes have ended, but not longer than this.
    async fn passes_end(&mut self, within: Duration) {
        let end = Instant::now() + within;
        while let Ok(Some(ended)) = timeout_at(end, self.passes.join_next_with_id()).await {
            self.pass_ended(ended);
        }
    }
}

fn short(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

#[cfg(test)]
#[path = "planner_tests.rs"]
mod tests;
