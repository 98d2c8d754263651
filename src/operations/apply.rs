//! `apply`: one run now, as the daemon would do it: with grace, guard and ledger.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::watch;

use super::context::ProcessContext;
use super::error::Error;
use crate::blocking::blocking;
use crate::config::Config;
use crate::ledger::{Access, DeletionLock, Ledger, LockSeeker};
use crate::retention::PolicyName;
use crate::run::{self, RunContext};

/// How often a waiting process asks whether it is its turn.
const ASK_AGAIN: Duration = Duration::from_millis(200);

/// A state that this process may delete with.
pub struct ApplyState {
    /// The state; made where there was none.
    pub ledger: Arc<Ledger>,
    lock: DeletionLock,
}

impl ApplyState {
    /// Opens the configuration's state and takes the right to delete; waits for it, or not.
    pub async fn open(
        config: &Config,
        policies: Option<&[PolicyName]>,
        wait: bool,
        stop: &mut watch::Receiver<bool>,
        now: DateTime<Utc>,
    ) -> Result<Self, Error> {
        let ledger = Arc::new(Ledger::open(run::state_of(config), Access::Create, now)?);
        // Who deletes says first which configuration it has.
        run::join(&ledger, config)?;
        let lock = deletion_lock(config, policies, wait, stop).await?;
        Ok(Self { ledger, lock })
    }

    /// What a run on it needs.
    pub fn run_context(self, config: &Arc<Config>, process: ProcessContext) -> Result<RunContext, Error> {
        process.run_context(config, Some(self.ledger), Some(self.lock))
    }
}

async fn deletion_lock(
    config: &Config,
    policies: Option<&[PolicyName]>,
    wait: bool,
    stop: &mut watch::Receiver<bool>,
) -> Result<DeletionLock, Error> {
    let (place, projects) = (run::state_of(config), run::projects_asked(config, policies));
    let named = || PathBuf::from(place.to_string());
    let mut is_said = false;
    let mut seeker = LockSeeker::new(place.clone());
    loop {
        if let Some(lock) = blocking(|| seeker.take(&projects))? {
            let drains = lock.drains_for();
            if !drains.is_zero() {
                tracing::info!(
                    "requests of an earlier run may be under way: waiting for {} s",
                    drains.as_secs()
                );
            }
            tokio::select! {
                () = tokio::time::sleep(drains) => {}
                _ = stop.wait_for(|stop| *stop) => return Err(Error::StoppedWaiting(named())),
            }
            return Ok(lock);
        }
        if !wait {
            return Err(Error::Busy(named()));
        }
        if !std::mem::replace(&mut is_said, true) {
            tracing::warn!("another process runs on the state in {place}: waiting for it");
        }
        tokio::select! {
            () = tokio::time::sleep(ASK_AGAIN) => {}
            _ = stop.wait_for(|stop| *stop) => return Err(Error::StoppedWaiting(named())),
        }
    }
}
