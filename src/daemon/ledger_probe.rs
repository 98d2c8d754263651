//! Whether the ledger works: it is opened when it can be, probed from time to time, and closed when it does not work.
//!
//! A probe waits for the disk and for other writers, so each is a task of its own whose end the main loop waits for. A
//! process that has had a ledger never makes another: it waits until the same one is back.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::task::{JoinError, JoinHandle, spawn_blocking};
use tokio::time::{Instant, timeout};

use crate::clock::protocol_time;
use crate::config::Config;
use crate::ledger::{Access, Error, KnownHead, LastBegun, Ledger, StatePlace};
use crate::rds::RefusedKey;
use crate::retention::{Hold, PolicyName};
use crate::run;
use crate::status::{SharedLedger, SharedStatus};

/// How often a ledger that does not work is tried again,
const RETRY: TimeDelta = TimeDelta::seconds(60);
/// and how often when it is lost: it may be mounted again at any time.
const RETRY_LOST: TimeDelta = TimeDelta::seconds(10);
/// How often a database is tried again that does not answer: a failover takes seconds.
const RETRY_SHARED: Duration = Duration::from_secs(5);
/// How often one that works is checked: it can be moved away.
const CHECK: TimeDelta = TimeDelta::seconds(30);
/// How often one that works is tested by writing: that takes a commit, so not often.
const WRITE_TEST: TimeDelta = TimeDelta::minutes(5);
/// At the end, closing the ledger takes at most this long.
const CLOSE: Duration = Duration::from_secs(2);

/// What a probe found.
#[derive(Debug)]
pub enum Probe {
    /// It is as it was.
    Same,
    /// It is open now, and was not before.
    Opened(Arc<Ledger>, Past),
    /// It does not work, and was closed.
    Failed(Error),
}

/// What earlier processes left in the ledger.
#[derive(Debug, Default)]
pub struct Past {
    /// The last run of each policy.
    pub begun: Vec<(PolicyName, LastBegun)>,
    /// What the API refused of late.
    pub refusals: Vec<RefusedKey>,
}

/// What a probe is for.
pub struct ProbeRequest {
    /// The configuration in force.
    pub config: Arc<Config>,
    /// Where what was read is shown.
    pub status: Arc<SharedStatus>,
    /// The ledger did something unexpected: probe now, also whether it can be written.
    pub is_suspect: bool,
    /// What is shown of it is out of date: read it now.
    pub refresh_status: bool,
    /// Runs are in progress: they find out themselves whether it works.
    pub during_runs: bool,
    /// The holds of each configuration since the last probe.
    pub holds: Vec<Vec<Hold>>,
}

/// The state directory's ledger, and the probe in progress.
#[derive(Debug)]
pub struct LedgerProbe {
    ledger: SharedLedger,
    known: KnownHead,
    next: Option<DateTime<Utc>>,
    next_write_test: Option<DateTime<Utc>>,
    running: Option<(JoinHandle<Probe>, Instant)>,
}

impl LedgerProbe {
    /// A probe that takes longer is reported. A disk that is only slow answers within the ledger's own timeout.
    pub const TIMEOUT: Duration = Duration::from_secs(15);

    /// Not opened yet.
    pub fn new(ledger: SharedLedger) -> Self {
        Self {
            ledger,
            known: KnownHead::default(),
            next: None,
            next_write_test: None,
            running: None,
        }
    }

    /// The ledger, if it is open.
    pub fn ledger(&self) -> Option<Arc<Ledger>> {
        self.ledger.ledger()
    }

    /// When to probe next; `None` while a probe is running.
    pub fn next_at(&self) -> Option<DateTime<Utc>> {
        self.next.filter(|_| self.running.is_none())
    }

    /// When the running probe counts as slow.
    pub fn slow_at(&self) -> Option<Instant> {
        self.running.as_ref().map(|(_, since)| *since + Self::TIMEOUT)
    }

    /// Starts a probe when it is due and none is running; whether it did.
    pub fn start(&mut self, request: ProbeRequest, now: DateTime<Utc>) -> bool {
        // A clock that was set back must not delay the probe by as much.
        let early = |at: Option<DateTime<Utc>>| at.is_some_and(|at| now < at && at - now <= WRITE_TEST);
        let is_time = !request.during_runs && !early(self.next);
        if self.running.is_some() || !(is_time || request.is_suspect || request.refresh_status) {
            return false;
        }
        let write_test = !request.during_runs && (request.is_suspect || !early(self.next_write_test));
        self.next_write_test = if write_test {
            Some(now + WRITE_TEST)
        } else {
            self.next_write_test
        };
        let (shared, known) = (self.ledger.clone(), self.known.clone());
        let task = spawn_blocking(move || probe(&shared, &known, &request, write_test, now));
        self.running = Some((task, Instant::now()));
        true
    }

    /// Waits for the end of the running probe; for ever if there is none.
    pub async fn finished(&mut self) -> Probe {
        let Some((task, _)) = &mut self.running else {
            return std::future::pending().await;
        };
        let ended = task.await;
        self.running = None;
        ended.unwrap_or_else(|error| Probe::Failed(panicked(&error)))
    }

    /// When to probe again after what was found.
    pub fn schedule_next(&mut self, found: &Probe, now: DateTime<Utc>) {
        let wait = match found {
            Probe::Failed(error) if error.is_shared() => {
                TimeDelta::from_std(protocol_time(RETRY_SHARED)).unwrap_or(RETRY)
            }
            Probe::Failed(error) if error.is_lost() => RETRY_LOST,
            Probe::Failed(_) => RETRY,
            Probe::Same | Probe::Opened(..) => CHECK,
        };
        self.next = Some(now + wait);
    }

    /// Closes the ledger, which may have to wait for the disk, but not for long.
    pub async fn close(self) {
        let closing = spawn_blocking(move || {
            // Others may hold the ledger for a moment longer.
            if let Some(ledger) = self.ledger.ledger() {
                ledger.leave();
            }
            self.ledger.set(None);
        });
        if timeout(CLOSE, closing).await.is_err() {
            tracing::warn!("the state is slow to close, and is left as it is: nothing in it is lost");
        }
    }
}

/// Probes; in a thread that may wait.
fn probe(
    shared: &SharedLedger,
    known: &KnownHead,
    request: &ProbeRequest,
    write_test: bool,
    now: DateTime<Utc>,
) -> Probe {
    let found = match shared.ledger() {
        Some(ledger) => check(&ledger, request, write_test, now).map_or_else(Probe::Failed, |()| Probe::Same),
        // When the ledger was closed, runs in progress have their own; a new one is opened when they are done.
        None if request.during_runs => return Probe::Same,
        None => open(known, request, now).unwrap_or_else(Probe::Failed),
    };
    match &found {
        Probe::Failed(_) => shared.set(None),
        Probe::Opened(ledger, _) => {
            shared.set(Some(Arc::clone(ledger)));
            request.status.refresh(true);
        }
        Probe::Same if request.refresh_status => request.status.refresh(true),
        Probe::Same => {}
    }
    found
}

fn check(ledger: &Ledger, request: &ProbeRequest, write_test: bool, now: DateTime<Utc>) -> Result<(), Error> {
    if write_test {
        ledger.probe()?;
    } else {
        ledger.head()?;
    }
    run::join(ledger, &request.config)?;
    ledger.must_contain_noted()?;
    if request.is_suspect && !request.during_runs {
        run::check_anchor(&request.config, ledger)?;
        close_interrupted(ledger, &request.config, now)?;
    }
    record_holds(ledger, request, now)
}

/// Holds that came and went before a run could see them are recorded, too.
fn record_holds(ledger: &Ledger, request: &ProbeRequest, now: DateTime<Utc>) -> Result<(), Error> {
    request
        .holds
        .iter()
        .try_for_each(|holds| ledger.note_configured_holds(holds, now))
}

/// When no other process runs on the state, an open run was left by a killed process or an aborted run.
fn close_interrupted(ledger: &Ledger, config: &Config, now: DateTime<Utc>) -> Result<(), Error> {
    // On a shared state each run closes what no live process has.
    let StatePlace::Directory(dir) = run::state_of(config) else {
        return Ok(());
    };
    if let Some(lock) = Ledger::lock_deletions(&dir, &[])? {
        for left in ledger.close_interrupted_runs(&lock, now)? {
            run::log_interrupted(&left);
        }
    }
    Ok(())
}

fn open(known: &KnownHead, request: &ProbeRequest, now: DateTime<Utc>) -> Result<Probe, Error> {
    let config = &request.config;
    let ledger = Ledger::open_known(run::state_of(config), Access::Create, now, known)?;
    ledger.probe()?;
    run::check_anchor(config, &ledger)?;
    run::join(&ledger, config)?;
    record_holds(&ledger, request, now)?;
    ledger.note_configured_holds(&config.holds, now)?;
    run::note_configuration(&ledger, config, now)?;
    close_interrupted(&ledger, config, now)?;
    let mut past = Past {
        refusals: run::refusals_kept(&ledger, now)?,
        ..Past::default()
    };
    for entry in &config.policies {
        let name = &entry.policy.name;
        past.begun
            .extend(ledger.last_begun(name, now)?.map(|last| (name.clone(), last)));
    }
    request.status.show_past_runs(config, &ledger)?;
    Ok(Probe::Opened(Arc::new(ledger), past))
}

fn panicked(error: &JoinError) -> Error {
    Error::from(std::io::Error::other(format!("probing the ledger panicked: {error}")))
}
