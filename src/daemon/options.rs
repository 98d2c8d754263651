//! What the daemon is started with, why it cannot start, and how it ends.

use std::path::PathBuf;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio::sync::{Notify, watch};
use tokio_cron_scheduler::JobSchedulerError;

use crate::config::{Config, Environment};
use crate::rds;

/// The time.
pub type Clock = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// How to run.
pub struct Options {
    /// The first configuration.
    pub config: Arc<Config>,
    /// What surrounds the process, for loading the configuration again.
    pub environment: Environment,
    /// Becomes true when the daemon has to stop.
    pub stop: watch::Receiver<bool>,
    /// Notified to reload the configuration at once: SIGHUP.
    pub hangups: Arc<Notify>,
    /// The time.
    pub clock: Clock,
    /// Notified when `clock` was set forward; for `demo --watch`.
    pub clock_set: Arc<Notify>,
    /// This host's name: jitter depends on it.
    pub host: String,
    /// For `demo`: every policy runs at once, and reports keep every decision from the first run on.
    pub demo: bool,
}

/// Why the daemon cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration has no project.
    #[error("{}: the configuration has no `projects`, so there is nothing to ask", .0.display())]
    NoProjects(PathBuf),
    /// A project's client cannot be made.
    #[error(transparent)]
    Client(#[from] rds::Error),
    /// The crate that fires the ticks does not start.
    #[error("the ticker does not start")]
    Ticker(#[from] JobSchedulerError),
}

/// How the daemon ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoopEnded {
    /// The batches in progress were finished.
    Drained,
    /// A run took too long and was aborted; the ledger has its intents, and the next start asks for their outcome.
    Aborted,
}
