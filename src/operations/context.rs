//! What an operation takes from the process it runs in, and the state and clients it opens with that.

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio::sync::watch;

use super::error::Error;
use crate::config::{Config, StateAt};
use crate::ledger::{self, Access, DeletionLock, Ledger};
use crate::rds::{self, KeyLockout, Observer, RefusedKey};
use crate::run::{self, OnProgress, Projects, RunContext};

/// What the process gives an operation that asks the API.
#[derive(Clone)]
pub struct ProcessContext {
    /// True once a stop is requested.
    pub stop: watch::Receiver<bool>,
    /// Sees each request, for metrics.
    pub observer: Observer,
    /// Sees how far a run is; must return at once.
    pub on_progress: OnProgress,
}

impl fmt::Debug for ProcessContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProcessContext")
    }
}

impl ProcessContext {
    /// Puts together what a run needs. The clients are made; nothing is sent yet.
    pub fn run_context(
        self,
        config: &Arc<Config>,
        ledger: Option<Arc<Ledger>>,
        lock: Option<DeletionLock>,
    ) -> Result<RunContext, Error> {
        needs_projects(config)?;
        let keys = key_lockout(ledger.as_ref(), config, crate::clock::now())?;
        let (_, live) = watch::channel(Arc::clone(config));
        Ok(RunContext {
            config: Arc::clone(config),
            live,
            projects: Arc::new(Projects::connect(config, &keys, &self.observer)?),
            ledger,
            lock: lock.map(Arc::new),
            stop: self.stop,
            watcher: self.on_progress,
        })
    }
}

/// An observer for operations without metrics.
pub fn no_observer() -> Observer {
    Arc::new(|_: &rds::Event<'_>| {})
}

/// Without projects there is nothing to ask; found out before anything is made on disk.
pub fn needs_projects(config: &Config) -> Result<(), Error> {
    if config.projects.is_empty() {
        return Err(Error::NoProjects(config.path.clone()));
    }
    Ok(())
}

/// The state for an operation that only reads it: `None` where there is none.
pub fn ledger_to_read(config: &Config, now: DateTime<Utc>) -> Result<Option<Ledger>, ledger::Error> {
    match Ledger::open(run::state_of(config), Access::ReadOnly, now) {
        Ok(ledger) => Ok(Some(ledger)),
        Err(ledger::Error::Missing { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The guard of access keys: what earlier processes learned is in the ledger, and what this one learns goes there at once,
/// also from an operation that otherwise only reads it: each process that tries a wrong key again is a step towards its
/// lock.
pub(super) fn key_lockout(
    ledger: Option<&Arc<Ledger>>,
    config: &Config,
    now: DateTime<Utc>,
) -> Result<KeyLockout, ledger::Error> {
    let Some(ledger) = ledger else {
        return Ok(KeyLockout::default());
    };
    let (place, known) = (run::state_of(config), ledger.known_head());
    let on_refusal = Arc::new(move |refusal: &RefusedKey| {
        let now = crate::clock::now();
        let written = Ledger::open_known(place.clone(), Access::Existing, now, &known)
            .and_then(|ledger| ledger.record_key_refusal(&run::refusal_to_keep(refusal), now));
        if let Err(error) = written {
            let error: &(dyn std::error::Error + 'static) = &error;
            tracing::warn!(error, "a refused access key could not be written down");
        }
    });
    let guard = if matches!(config.state, StateAt::Postgres(_)) {
        let ledger = Arc::clone(ledger);
        KeyLockout::shared(on_refusal, run::LedgerKeyTrials::new(move || Some(Arc::clone(&ledger))))
    } else {
        KeyLockout::new(on_refusal)
    };
    guard.restore(run::refusals_kept(ledger, now)?, now);
    Ok(guard)
}
