//! Whether the ledger works: opened when it can be, asked again from time to time, let go of when it does not.
//!
//! Whatever asks a ledger waits for the disk, and for others who write, so each look is a task of its own, and the daemon's
//! loop learns of its end. A process that has had a ledger never makes another: it waits until the same one is back.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::task::{JoinError, JoinHandle, spawn_blocking};
use tokio::time::{Instant, timeout};

use super::ledger_handle::SharedLedger;
use super::shared_status::SharedStatus;
use crate::config::Config;
use crate::ledger::{Access, Error, KnownHead, LastBegun, Ledger};
use crate::rds::Refusal;
use crate::retention::{Hold, PolicyName};
use crate::run;

/// How often a state that does not work is tried again,
const AGAIN: TimeDelta = TimeDelta::seconds(60);
/// and how often it is looked for when it is lost: it may be mounted again at any time.
const LOST_AGAIN: TimeDelta = TimeDelta::seconds(10);
/// How often it is asked whether it still is what it was: it can be moved away.
const LOOK: TimeDelta = TimeDelta::seconds(30);
/// How often one that works is asked whether it still can be written: a commit each, so not often.
const PROBE: TimeDelta = TimeDelta::minutes(5);
/// The end does not wait longer for a state to be closed.
const CLOSE: Duration = Duration::from_secs(2);

/// What a look at the state found.
#[derive(Debug)]
pub enum Probe {
    /// It is as it was.
    Same,
    /// It is open now, and was not before.
    Opened(Arc<Ledger>, Past),
    /// It does not work, and is let go of.
    Failed(Error),
}

/// What earlier processes left in the ledger.
#[derive(Debug, Default)]
pub struct Past {
    /// The last run of each policy.
    pub begun: Vec<(PolicyName, LastBegun)>,
    /// What the API refused of late.
    pub refusals: Vec<Refusal>,
}

/// What a look is for.
pub struct Wanted {
    /// The configuration in force.
    pub config: Arc<Config>,
    /// Who shows what is read.
    pub shared_status: Arc<SharedStatus>,
    /// The state did something unexpected: look now, and at whether it can be written.
    pub doubt: bool,
    /// What is shown of it is out of date: look now.
    pub refresh: bool,
    /// Runs are under way: whether it works is theirs to find out.
    pub beside_runs: bool,
    /// The holds of each configuration since the last look.
    pub holds: Vec<Vec<Hold>>,
}

/// The state directory's ledger, opened when it can be. Whatever asks the ledger waits for the disk, and for others who
/// write, so each look is a task of its own.
#[derive(Debug)]
pub struct LedgerProbe {
    slot: SharedLedger,
    known: KnownHead,
    next: Option<DateTime<Utc>>,
    next_probe: Option<DateTime<Utc>>,
    looking: Option<(JoinHandle<Probe>, Instant)>,
}

impl LedgerProbe {
    /// A look that takes longer is told of. A state that is only slow answers within the ledger's own wait.
    pub const PATIENCE: Duration = Duration::from_secs(15);

    /// Not opened yet.
    pub fn new(slot: SharedLedger) -> Self {
        Self {
            slot,
            known: KnownHead::default(),
            next: None,
            next_probe: None,
            looking: None,
        }
    }

    /// The ledger, if it is open.
    pub fn ledger(&self) -> Option<Arc<Ledger>> {
        self.slot.ledger()
    }

    /// When to look next; `None` while a look is under way.
    pub fn next_look(&self) -> Option<DateTime<Utc>> {
        self.next.filter(|_| self.looking.is_none())
    }

    /// When a look that is under way is told of.
    pub fn told_at(&self) -> Option<Instant> {
        self.looking.as_ref().map(|(_, since)| *since + Self::PATIENCE)
    }

    /// Begins a look when it is time to, and none is under way; whether it did.
    pub fn begin_look(&mut self, wanted: Wanted, now: DateTime<Utc>) -> bool {
        // A clock that was set back must not put the look off for as long.
        let early = |at: Option<DateTime<Utc>>| at.is_some_and(|at| now < at && at - now <= PROBE);
        let is_time = !wanted.beside_runs && !early(self.next);
        if self.looking.is_some() || !(is_time || wanted.doubt || wanted.refresh) {
            return false;
        }
        let probe = !wanted.beside_runs && (wanted.doubt || !early(self.next_probe));
        self.next_probe = if probe { Some(now + PROBE) } else { self.next_probe };
        let (slot, known) = (self.slot.clone(), self.known.clone());
        let task = spawn_blocking(move || look(&slot, &known, &wanted, probe, now));
        self.looking = Some((task, Instant::now()));
        true
    }

    /// Waits for the end of the look under way; for ever, if none is.
    pub async fn looked(&mut self) -> Probe {
        let Some((task, _)) = &mut self.looking else {
            return std::future::pending().await;
        };
        let ended = task.await;
        self.looking = None;
        ended.unwrap_or_else(|error| Probe::Failed(panicked(&error)))
    }

    /// When to look again after what was found.
    pub fn plan_next(&mut self, found: &Probe, now: DateTime<Utc>) {
        let wait = match found {
            Probe::Failed(error) if error.is_lost() => LOST_AGAIN,
            Probe::Failed(_) => AGAIN,
            Probe::Same | Probe::Opened(..) => LOOK,
        };
        self.next = Some(now + wait);
    }

    /// Closes the ledger, which may have to wait for the disk, but not for long.
    pub async fn close(self) {
        let closing = spawn_blocking(move || self.slot.put(None));
        if timeout(CLOSE, closing).await.is_err() {
            tracing::warn!("the state is slow to close, and is left as it is: nothing in it is lost");
        }
    }
}

/// Looks; in a thread that may wait.
fn look(slot: &SharedLedger, known: &KnownHead, wanted: &Wanted, probe: bool, now: DateTime<Utc>) -> Probe {
    let found = match slot.ledger() {
        Some(ledger) => make_sure(&ledger, wanted, probe, now).map_or_else(Probe::Failed, |()| Probe::Same),
        // With a ledger that was let go of, runs under way have their own; a new one is opened when they are done.
        None if wanted.beside_runs => return Probe::Same,
        None => open(known, wanted, now).unwrap_or_else(Probe::Failed),
    };
    match &found {
        Probe::Failed(_) => slot.put(None),
        Probe::Opened(ledger, _) => {
            slot.put(Some(Arc::clone(ledger)));
            wanted.shared_status.refresh(true);
        }
        Probe::Same if wanted.refresh => wanted.shared_status.refresh(true),
        Probe::Same => {}
    }
    found
}

fn make_sure(ledger: &Ledger, wanted: &Wanted, probe: bool, now: DateTime<Utc>) -> Result<(), Error> {
    if probe {
        ledger.probe()?;
    } else {
        ledger.head()?;
    }
    if wanted.doubt && !wanted.beside_runs {
        close_interrupted(ledger, &wanted.config, now)?;
    }
    note_holds(ledger, wanted)
}

/// The ledger is told of holds that came and went before a run could see them, too.
fn note_holds(ledger: &Ledger, wanted: &Wanted) -> Result<(), Error> {
    wanted
        .holds
        .iter()
        .try_for_each(|holds| ledger.note_configured_holds(holds))
}

/// Where no other process runs on the state, what is open was left by one that was killed, or by a run that was cut.
fn close_interrupted(ledger: &Ledger, config: &Config, now: DateTime<Utc>) -> Result<(), Error> {
    if let Some(lock) = Ledger::lock_deletions(&config.state_dir)? {
        for left in ledger.close_interrupted_runs(&lock, now)? {
            run::log_interrupted(&left);
        }
    }
    Ok(())
}

fn open(known: &KnownHead, wanted: &Wanted, now: DateTime<Utc>) -> Result<Probe, Error> {
    let config = &wanted.config;
    let ledger = Ledger::open_known(&config.state_dir, Access::Create, now, known)?;
    ledger.probe()?;
    note_holds(&ledger, wanted)?;
    ledger.note_configured_holds(&config.holds)?;
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
    wanted.shared_status.recall(config, &ledger)?;
    Ok(Probe::Opened(Arc::new(ledger), past))
}

fn panicked(error: &JoinError) -> Error {
    Error::from(std::io::Error::other(format!("looking at the state panicked: {error}")))
}
