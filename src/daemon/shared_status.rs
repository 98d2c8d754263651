//! Where the planner writes down what it knows, for whoever asks over HTTP.
//!
//! A reader never waits for the planner and never makes it wait: both hold the lock for a copy. Holds, the freeze and
//! approvals are typed in other processes, so a reader has them read from the ledger, at most every two seconds however
//! many ask. A ledger can be slow, so that is a task of its own: whoever asks gets what was known before, and how old it is,
//! when the ledger does not answer at once.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout};

use super::ledger_handle::SharedLedger;
use super::observe::Remembered;
use super::status::{ConfigStatus, FreezeStatus, LastRun, PolicyStatus, Problem, Status, StorageDay};
use crate::clock::now;
use crate::config::{Config, PolicyEntry};
use crate::ledger::{self, Ledger, PlacedFreeze, RunFilter};
use crate::retention::report::{InstanceCounts, Skip};
use crate::retention::{Freeze, Hold, PolicyName, ProjectName, RunReport};
use crate::run;
use crate::telemetry::Metrics;

/// Holds and freeze are read from the ledger no more often than this.
const FRESH: Duration = Duration::from_secs(2);
/// Whoever asks over HTTP waits so long for the ledger: an answer that is a little old is better than none, and probes give up
/// after a second.
const PATIENCE: Duration = Duration::from_millis(500);
/// What was read longer ago, and could not be read since, is told of.
const OLD: TimeDelta = TimeDelta::seconds(30);
/// Past runs are read no more often than this.
const STORAGE_FRESH: Duration = Duration::from_secs(60);
/// So many runs tell of storage over time: a year of one daily policy, or forty days of ten.
const STORAGE_RUNS: u32 = 400;
/// A planner that has not turned for so long stands still: it turns every 30 seconds, and a slow disk is no standstill.
const STANDSTILL: Duration = Duration::from_secs(150);
/// Instances left alone that are listed as problems; the rest is a number.
const MOST_SKIPS: usize = 20;

/// What the planner knows.
#[derive(Debug, Default)]
pub(super) struct DaemonState {
    /// When the configuration in force was loaded.
    pub loaded_at: Option<DateTime<Utc>>,
    /// What is wrong with the newest version of the files; empty when it is in force.
    pub config_problems: Vec<String>,
    /// That a newer version of the files waits, and for what.
    pub config_waiting: Option<String>,
    /// What is wrong with the state.
    pub store_problem: Option<String>,
    /// Told to stop.
    pub stopping: bool,
    pub next: BTreeMap<PolicyName, Option<DateTime<Utc>>>,
    pub waiting: BTreeSet<PolicyName>,
    /// The policies of the runs under way, and since when.
    pub running: BTreeMap<PolicyName, DateTime<Utc>>,
    pub last: BTreeMap<PolicyName, LastRun>,
    pub last_success: BTreeMap<PolicyName, DateTime<Utc>>,
    pub reports: BTreeMap<PolicyName, Arc<RunReport>>,
    /// By project, as of the last run that listed its instances.
    pub instances: BTreeMap<ProjectName, InstanceCounts>,
    pub unconfirmed: BTreeMap<ProjectName, u64>,
    /// What covers nothing, by the last run or reload.
    pub notices: Vec<String>,
    /// The configuration whose notices were told.
    pub noticed: Option<String>,
    /// Policies whose refused plan waits for approval, with the digest by which it can be approved.
    pub guard_open: BTreeMap<PolicyName, Option<String>>,
}

/// What other processes may have changed.
#[derive(Debug, Default)]
struct HeldBackups {
    /// When it was read.
    read_at: Option<DateTime<Utc>>,
    placed: Vec<Hold>,
    freezes: Vec<PlacedFreeze>,
    storage: Vec<StorageDay>,
}

/// When the ledger was read last, for holds and such, and for past runs. Whoever has it locked is reading.
#[derive(Debug, Default)]
struct Reading {
    held_at: Option<Instant>,
    storage_at: Option<Instant>,
    /// The head of the ledger's chain then; another one says that something was done, perhaps by an `apply`.
    head: Option<String>,
}

/// The board.
pub struct SharedStatus {
    metrics: Metrics,
    slot: SharedLedger,
    live: watch::Receiver<Arc<Config>>,
    started_at: DateTime<Utc>,
    facts: Mutex<DaemonState>,
    held: Mutex<HeldBackups>,
    reading: Mutex<Reading>,
    /// What was read is out of date, whenever that was.
    outdated: AtomicBool,
    turned_at: Mutex<Instant>,
}

impl std::fmt::Debug for SharedStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedStatus")
            .field("facts", &self.facts)
            .finish_non_exhaustive()
    }
}

impl SharedStatus {
    pub(super) fn new(
        metrics: Metrics,
        slot: SharedLedger,
        live: watch::Receiver<Arc<Config>>,
        at: DateTime<Utc>,
    ) -> Self {
        let facts = DaemonState {
            // Ready is who has seen his state.
            store_problem: Some("it has not been opened yet".to_owned()),
            ..DaemonState::default()
        };
        Self {
            metrics,
            slot,
            live,
            started_at: at,
            facts: Mutex::new(facts),
            held: Mutex::default(),
            reading: Mutex::default(),
            outdated: AtomicBool::new(false),
            turned_at: Mutex::new(Instant::now()),
        }
    }

    /// What the planner writes into.
    pub(super) fn facts(&self) -> MutexGuard<'_, DaemonState> {
        // Whole after every statement, so a panic elsewhere does not spoil it.
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The configuration in force.
    pub fn config(&self) -> Arc<Config> {
        self.live.borrow().clone()
    }

    /// The metrics, as they are known.
    pub fn metrics(&self, openmetrics: bool) -> String {
        self.metrics.render(openmetrics)
    }

    /// Why the daemon cannot do its work; empty when it can.
    pub fn obstacles(&self) -> Vec<Problem> {
        obstacles(&self.facts())
    }

    /// A run has ended, or the configuration is another one: all is read again for the next who asks.
    pub(super) fn outdate(&self) {
        self.outdated.store(true, Ordering::Release);
    }

    /// The holds placed by command, as they were read last.
    pub(super) fn placed_holds(&self) -> Vec<Hold> {
        self.held().placed.clone()
    }

    /// The planner has turned.
    pub(super) fn turned(&self) {
        *self.turned_at.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// For how long the planner has stood still, if it does: `/healthz`.
    pub fn stands_still(&self) -> Option<Duration> {
        let turned_at = *self.turned_at.lock().unwrap_or_else(PoisonError::into_inner);
        Some(turned_at.elapsed()).filter(|still| *still > STANDSTILL)
    }

    /// Has what may be out of date read again, and waits for it; but not long, and not for a reading that others wait for.
    pub async fn refreshed(self: &Arc<Self>) {
        let is_old = match self.reading.try_lock() {
            Ok(reading) => self.is_old(&reading),
            Err(TryLockError::Poisoned(_)) => true,
            Err(TryLockError::WouldBlock) => false,
        };
        if is_old && self.slot.ledger().is_some() {
            let shared_status = Arc::clone(self);
            // What is not read in time is there for the next who asks.
            let _ = timeout(PATIENCE, spawn_blocking(move || shared_status.refresh(false))).await;
        }
    }

    fn is_old(&self, reading: &Reading) -> bool {
        self.outdated.load(Ordering::Acquire) || reading.held_at.is_none_or(|at| at.elapsed() >= FRESH)
    }

    /// Reads holds, freeze and approvals again; without `force` not when that was done just now, or is being done. May wait
    /// for the disk.
    pub(super) fn refresh(&self, force: bool) {
        let Some(ledger) = self.slot.ledger() else { return };
        let mut reading = if force {
            self.reading.lock().unwrap_or_else(PoisonError::into_inner)
        } else {
            match self.reading.try_lock() {
                Ok(reading) => reading,
                Err(TryLockError::Poisoned(reading)) => reading.into_inner(),
                Err(TryLockError::WouldBlock) => return,
            }
        };
        if !force && !self.is_old(&reading) {
            return;
        }
        if self.outdated.swap(false, Ordering::AcqRel) {
            *reading = Reading::default();
        }
        // Also after a failure: a state that cannot be read is not asked by every reader again.
        reading.held_at = Some(Instant::now());
        if let Err(error) = self.read(&ledger, &mut reading) {
            self.metrics.ledger_error();
            if error.is_lost() {
                self.metrics.ledger_rewound(true);
                self.facts().store_problem = Some(error.to_string());
            }
            let error: &(dyn std::error::Error + 'static) = &error;
            tracing::error!(error, "holds and freeze could not be read");
        }
    }

    fn read(&self, ledger: &Ledger, reading: &mut Reading) -> Result<(), ledger::Error> {
        let now = now();
        let placed = ledger.active_holds(now)?;
        let freezes = ledger.freezes()?;
        let mut storage = None;
        if reading.storage_at.is_none_or(|at| at.elapsed() >= STORAGE_FRESH) {
            reading.storage_at = Some(Instant::now());
            storage = Some(StorageDay::of_runs(&ledger.runs(&RunFilter {
                policy: None,
                limit: Some(STORAGE_RUNS),
            })?));
        }
        {
            let mut held = self.held();
            (held.placed, held.freezes) = (placed, freezes);
            held.read_at = Some(now);
            if let Some(storage) = storage {
                held.storage = storage;
            }
        }
        let config = self.live.borrow().clone();
        self.tell_notices(&config, ledger, now)?;
        let head = Some(ledger.head()?);
        if reading.head != head {
            self.recall(&config, ledger)?;
            reading.head = head;
        }
        let waiting = super::observe::show_decided(&self.metrics, &config, ledger, now)?;
        self.facts().guard_open = waiting;
        Ok(())
    }

    /// Remembers the holds of a configuration that came into force, and names what covers nothing. Later each run does.
    fn tell_notices(&self, config: &Config, ledger: &Ledger, now: DateTime<Utc>) -> Result<(), ledger::Error> {
        if self.facts().noticed.as_ref() == Some(&config.sha256) {
            return Ok(());
        }
        ledger.remember_configured(&config.holds, config.freeze.as_ref(), now)?;
        let notices = run::notices(config, ledger, now)?;
        for notice in &notices {
            tracing::info!("{notice}");
        }
        let mut facts = self.facts();
        facts.notices = notices;
        facts.noticed = Some(config.sha256.clone());
        Ok(())
    }

    /// Shows what the ledger knows of the last runs, as far as it is newer than what is known here: a run that failed as a
    /// whole left nothing in the ledger.
    pub(super) fn recall(&self, config: &Config, ledger: &Ledger) -> Result<(), ledger::Error> {
        let mut remembered = Remembered::read(ledger, now())?;
        let is_there = |name: &ProjectName| config.projects.iter().any(|project| project.name == *name);
        remembered.instances.retain(|name, _| is_there(name));
        let newer: BTreeSet<PolicyName> = {
            let facts = self.facts();
            let known = |name: &PolicyName| facts.last.get(name).map(|last| last.finished_at);
            let policies = config.policies.iter().map(|entry| &entry.policy.name);
            policies
                .filter(|name| remembered.runs.get(*name).and_then(|last| last.finished.finished_at) > known(name))
                .cloned()
                .collect()
        };
        remembered.show(&self.metrics, |policy| newer.contains(policy));
        let mut facts = self.facts();
        facts.instances = remembered.instances;
        facts.unconfirmed = remembered.unconfirmed;
        for name in newer {
            let Some(last) = remembered.runs.remove(&name) else {
                continue;
            };
            if let Some(at) = last.success.and_then(|run| run.finished_at) {
                facts.last_success.insert(name.clone(), at);
            }
            if let Some(run) = LastRun::remembered(last.finished) {
                facts.last.insert(name, run);
            }
        }
        Ok(())
    }

    fn held(&self) -> MutexGuard<'_, HeldBackups> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything, as it is known.
    pub fn status(&self) -> Status {
        let now = now();
        let config = self.live.borrow().clone();
        let (placed, frozen, storage, read_at) = {
            let held = self.held();
            (
                held.placed.clone(),
                held.freezes.clone(),
                held.storage.clone(),
                held.read_at,
            )
        };
        let holds = config.holds.iter().cloned().chain(placed);
        let freezes = freezes(&config, frozen, now);
        let facts = self.facts();
        let obstacles = obstacles(&facts);
        let instances = (!facts.instances.is_empty()).then(|| facts.instances.values().sum::<InstanceCounts>());
        Status {
            version: env!("CARGO_PKG_VERSION"),
            started_at: self.started_at,
            at: now,
            ready: obstacles.is_empty(),
            problems: obstacles
                .into_iter()
                .chain(old(read_at, now))
                .chain(problems(&facts, &config))
                .collect(),
            ledger_read_at: read_at,
            config: ConfigStatus {
                path: config.path.clone(),
                sha256: config.sha256.clone(),
                loaded_at: facts.loaded_at.unwrap_or(self.started_at),
                last_reload_ok: facts.config_problems.is_empty(),
                problems: facts.config_problems.clone(),
                waiting: facts.config_waiting.clone(),
            },
            policies: config.policies.iter().map(|entry| policy(&facts, entry)).collect(),
            holds: holds.filter(|hold| hold.is_active(now)).collect(),
            freeze: Freeze::longest(freezes.iter().map(|of| of.freeze.clone())),
            freezes,
            unmanaged: instances.map(|counts| counts.unmanaged),
            instances,
            unconfirmed: facts.unconfirmed.clone(),
            skipped: skipped(&facts),
            storage,
            notices: facts.notices.clone(),
            reports: facts.reports.clone(),
        }
    }
}

/// The freezes in force: the configuration's and those placed by command.
fn freezes(config: &Config, placed: Vec<PlacedFreeze>, now: DateTime<Utc>) -> Vec<FreezeStatus> {
    let configured = config.configured_freeze().into_iter();
    let configured = configured.map(|(freeze, place)| FreezeStatus {
        id: None,
        place: Some(place),
        freeze,
    });
    let placed = placed.into_iter().map(|placed| FreezeStatus {
        id: Some(placed.id),
        place: None,
        freeze: placed.freeze,
    });
    let all = configured.chain(placed);
    all.filter(|of| of.freeze.is_active(now)).collect()
}

fn policy(facts: &DaemonState, entry: &PolicyEntry) -> PolicyStatus {
    let name = &entry.policy.name;
    let mut last_run = facts.last.get(name).cloned();
    // An approval or two days may have passed since the run.
    if let Some(refusal) = last_run.as_mut().and_then(|last| last.refusal.as_mut()) {
        let waits = refusal.limit.starts_with("max_");
        refusal.digest = facts.guard_open.get(name).cloned().flatten().filter(|_| waits);
    }
    PolicyStatus {
        policy: name.clone(),
        mode: entry.policy.mode.as_str(),
        schedule: entry.schedule.as_ref().map(|schedule| schedule.text().to_owned()),
        timezone: entry.policy.zone.name(),
        next_run: facts.next.get(name).copied().flatten(),
        waiting: facts.waiting.contains(name),
        running_since: facts.running.get(name).copied(),
        last_run,
        last_success: facts.last_success.get(name).copied(),
    }
}

fn skipped(facts: &DaemonState) -> Vec<Skip> {
    let all = facts.reports.values().flat_map(|report| &report.skipped);
    let mut seen = HashSet::new();
    all.filter(|skip| seen.insert(*skip)).cloned().collect()
}

/// What keeps the daemon from doing its work.
fn obstacles(facts: &DaemonState) -> Vec<Problem> {
    let problem = |about, message: &str| Problem {
        about,
        policy: None,
        message: message.to_owned(),
    };
    let state = facts.store_problem.iter().map(|why| problem("state", why));
    let stopping = facts.stopping.then(|| problem("stopping", "told to stop"));
    state.chain(stopping).collect()
}

/// That the ledger was not read for a while, although it was just asked to be.
fn old(read_at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Option<Problem> {
    let at = read_at.filter(|at| now - *at > OLD)?;
    let at = at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    Some(Problem {
        about: "state",
        policy: None,
        message: format!("the ledger does not answer: holds, freeze and past runs are shown as of {at}"),
    })
}

/// What else somebody should look at.
fn problems(facts: &DaemonState, config: &Config) -> Vec<Problem> {
    let mut found: Vec<Problem> = facts
        .config_problems
        .iter()
        .chain(&facts.config_waiting)
        .map(|message| Problem {
            about: "configuration",
            policy: None,
            message: message.clone(),
        })
        .collect();
    for entry in &config.policies {
        let name = &entry.policy.name;
        let Some(last) = facts.last.get(name) else { continue };
        let mut add = |about, message| {
            found.push(Problem {
                about,
                policy: Some(name.clone()),
                message,
            });
        };
        if let Some(digest) = facts.guard_open.get(name) {
            let why = last.refusal.as_ref().map_or("", |refusal| refusal.message.as_str());
            let colon = if why.is_empty() { "" } else { ": " };
            let waits = match digest {
                Some(digest) => format!("waits for `approve {name} --plan {digest}`"),
                None => "was not approved within 48 hours; the next run decides again".to_owned(),
            };
            add("guard", format!("its plan was refused and {waits}{colon}{why}"));
        } else if let Some(refusal) = &last.refusal {
            // Of a run from before this process only the limit is known.
            let why = if refusal.message.is_empty() {
                "its last run was refused"
            } else {
                &refusal.message
            };
            add("guard", format!("{}: {why}", refusal.limit));
        }
        match last.result.as_str() {
            "failed" => add("run", "its last run failed".to_owned()),
            "partial" => add("run", "its last run left something undone".to_owned()),
            _ => {}
        }
    }
    let mut seen: BTreeSet<String> = BTreeSet::new();
    for report in facts.reports.values() {
        for skip in &report.skipped {
            let of = skip.instance.as_ref().map_or("", |instance| instance.as_str());
            seen.insert(format!(
                "{} {of}: {}: {}",
                skip.project,
                skip.reason.key(),
                skip.message
            ));
        }
    }
    let more = seen.len().saturating_sub(MOST_SKIPS);
    let skips = seen.into_iter().take(MOST_SKIPS);
    let rest = (more > 0).then(|| format!("and {more} more left alone"));
    found.extend(skips.chain(rest).map(|message| Problem {
        about: "instance",
        policy: None,
        message,
    }));
    found
}
