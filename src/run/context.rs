//! What a run works on and with: configuration, clients, ledger, the request to stop.

use std::sync::Arc;

use tokio::sync::watch;

use super::projects::Projects;
use crate::config::Config;
use crate::ledger::{DeletionLock, Ledger};

/// How far a run has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Instances listed.
    pub instances: usize,
    /// Of so many.
    pub of_instances: usize,
    /// Backups read.
    pub backups: usize,
    /// Instances that were asked for their tasks: of what is due, which a restore reads.
    pub asked_for_tasks: usize,
    /// Of so many with something due; zero until all are listed.
    pub of_asked_for_tasks: usize,
    /// Ids sent.
    pub sent: usize,
    /// Of so many that are approved; zero until the guard has spoken.
    pub of_sent: usize,
    /// Requests made.
    pub calls: u64,
}

/// Called with each step of progress; must return at once.
pub type OnProgress = Arc<dyn Fn(Progress) + Send + Sync>;

/// What a run works on and with.
#[derive(Clone)]
pub struct RunContext {
    /// The configuration it began with.
    pub config: Arc<Config>,
    /// The newest configuration: its holds and freeze, and whatever else it keeps, act at once, even on a run under way.
    pub live: watch::Receiver<Arc<Config>>,
    /// A client per project.
    pub projects: Arc<Projects>,
    /// The ledger; `None` only for a plan where no state exists.
    pub ledger: Option<Arc<Ledger>>,
    /// The right to delete for that ledger; a run needs it, a plan does not.
    pub lock: Option<Arc<DeletionLock>>,
    /// True once stop was requested: no new batch after that.
    pub stop: watch::Receiver<bool>,
    /// Called with each step of progress.
    pub watcher: OnProgress,
}

impl RunContext {
    /// The same with a ledger that takes nothing more of the run once its right to delete is over.
    pub(super) fn fenced(&self) -> Self {
        let fenced = |ledger: &Arc<Ledger>| Arc::new(ledger.fenced_by(self.lock.as_ref()));
        Self {
            ledger: self.ledger.as_ref().map(fenced),
            ..self.clone()
        }
    }
}

/// Ends when stop is requested; pends forever once the sender is dropped.
pub(super) async fn stop_requested(context: &RunContext) {
    let mut stop = context.stop.clone();
    if stop.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await;
    }
}
