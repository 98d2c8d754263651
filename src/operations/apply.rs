//! `apply`: one run now, as the daemon would do it: with grace, guard and ledger.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::watch;

use super::context::ProcessContext;
use super::error::Error;
use crate::config::Config;
use crate::ledger::{Access, DeletionLock, Ledger};
use crate::run::RunContext;

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
        wait: bool,
        stop: &mut watch::Receiver<bool>,
        now: DateTime<Utc>,
    ) -> Result<Self, Error> {
        let ledger = Arc::new(Ledger::open(&config.state_dir, Access::Create, now)?);
        let lock = deletion_lock(&config.state_dir, wait, stop).await?;
        Ok(Self { ledger, lock })
    }

    /// What a run on it needs.
    pub fn run_context(self, config: &Arc<Config>, process: ProcessContext) -> Result<RunContext, Error> {
        process.run_context(config, Some(self.ledger), Some(self.lock))
    }
}

async fn deletion_lock(state_dir: &Path, wait: bool, stop: &mut watch::Receiver<bool>) -> Result<DeletionLock, Error> {
    let mut is_said = false;
    loop {
        if let Some(lock) = Ledger::lock_deletions(state_dir)? {
            return Ok(lock);
        }
        if !wait {
            return Err(Error::Busy(state_dir.to_owned()));
        }
        if !std::mem::replace(&mut is_said, true) {
            let dir = state_dir.display();
            tracing::warn!("another process runs on the state in {dir}: waiting for it");
        }
        tokio::select! {
            () = tokio::time::sleep(ASK_AGAIN) => {}
            _ = stop.wait_for(|stop| *stop) => return Err(Error::StoppedWaiting(state_dir.to_owned())),
        }
    }
}
