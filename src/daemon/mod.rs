//! Floor 3: when. Ticks, signals, reload, drain; the process that lives for years.
//!
//! ```text
//! due        pure: what is known and what time it is → whom to run
//! planner    the one loop: waits, rings, starts passes, reloads, drains
//! turn       one pass as a task of its own: waits for, or shares, the right to delete, is cut when it hangs
//! store      a ledger that may be missing, and comes back
//! reload     a new configuration beside the old one; difference: what it changes, in words; watch: whether it changed
//! board      what is known, for whoever asks; status: the shape in which they get it
//! gauges     the metrics of a process, also for `apply`
//! systemd    ready, reloading, stopping, and that the planner turns
//! ```
//!
//! The bell is a plain tokio timer. tokio-cron-scheduler is left out on purpose: it freezes a zone's offset when a job is
//! made, does not guard overlap and waits for nothing at shutdown, so the next instant of each policy is computed here
//! anyway, by [`Schedule::next_after`](crate::config::Schedule::next_after) in the policy's own zone; what would be left
//! for the crate is to ring a one-shot timer, which it does by waking twice a second. This one sleeps until the next tick
//! or 30 seconds, whichever is sooner; the 30 seconds are for clocks that are set and hosts that slept.
//!
//! It is *not* for what a pass does (`run`) nor for how it is shown (`web`).

mod board;
mod difference;
mod due;
pub mod gauges;
mod planner;
mod reload;
mod status;
mod store;
mod systemd;
mod turn;
mod watch;

use std::net::SocketAddr;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio::net::TcpListener;
use tokio::sync::watch as channel;

pub use board::Board;
pub use difference::Keeps;
pub use status::{ConfigStatus, Counts, LastRun, PolicyStatus, Problem, RefusalStatus, Sizes, Status, StorageDay};
pub use store::say_when_new;

use crate::config::{Config, Surroundings};
use crate::rds;
use planner::Planner;

/// The time.
pub type Clock = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// How to run.
pub struct Options {
    /// The configuration to begin with.
    pub config: Arc<Config>,
    /// What surrounds the process; for loading the configuration again.
    pub surroundings: Surroundings,
    /// Becomes true when the daemon is to end.
    pub stop: channel::Receiver<bool>,
    /// The time.
    pub clock: Clock,
    /// This host's name: jitter is spread by it.
    pub host: String,
    /// For a look at it: every policy runs at once, and every decision is kept from the first pass on.
    pub show: bool,
}

/// Why the daemon could not begin.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing to talk to.
    #[error("{}: the configuration has no `projects`, so there is nothing to ask", .0.display())]
    NoProjects(std::path::PathBuf),
    /// The address is taken, or not ours.
    #[error("cannot listen on {address}: {source}; `listen` names another address, or `none`")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// A project's client cannot be made.
    #[error(transparent)]
    Client(#[from] rds::Error),
    /// The kernel refuses.
    #[error("cannot listen for signals: {0}")]
    Signals(std::io::Error),
}

/// How the daemon ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// What was under way was finished.
    Drained,
    /// It took too long and was cut; the ledger has its intents, and the next start asks what became of them.
    Cut,
}

/// A daemon that is about to run.
#[derive(Debug)]
pub struct Daemon {
    planner: Planner,
    listener: Option<TcpListener>,
}

impl Daemon {
    /// Takes the address and makes the clients. Nothing is read from the cloud, and nothing is written.
    pub async fn bind(options: Options) -> Result<Self, Error> {
        let config = &options.config;
        if config.projects.is_empty() {
            return Err(Error::NoProjects(config.path.clone()));
        }
        let listener = match config.listen {
            None => None,
            Some(address) => {
                let bound = TcpListener::bind(address).await;
                Some(bound.map_err(|source| Error::Listen { address, source })?)
            }
        };
        Ok(Self {
            planner: Planner::new(options, turn::by_run())?,
            listener,
        })
    }

    /// Where metrics and page are served.
    pub fn address(&self) -> Option<SocketAddr> {
        self.listener.as_ref()?.local_addr().ok()
    }

    /// Runs until it is told to stop, and what is under way is finished.
    pub async fn run(self) -> Result<Ended, Error> {
        let (closing, closed) = channel::channel(false);
        let serving = self.listener.map(|listener| {
            if let Ok(address) = listener.local_addr() {
                tracing::info!(address = %address, "listening on http://{address}/");
            }
            let mut closed = closed;
            let stop = async move {
                // A dropped sender means the same.
                let _ = closed.wait_for(|closed| *closed).await;
            };
            tokio::spawn(crate::web::serve(listener, self.planner.board(), stop))
        });
        let ended = self.planner.run().await;
        // Nobody listening is fine: `listen: none`.
        let _ = closing.send(true);
        if let Some(serving) = serving
            && let Err(error) = serving.await
        {
            tracing::error!(%error, "the HTTP server had ended before");
        }
        ended
    }
}

/// This host's name, from where it can be read under a hardened unit too (which hides `/proc/sys`).
pub fn host_name() -> String {
    ["/etc/hostname", "/proc/sys/kernel/hostname"]
        .into_iter()
        .filter_map(|file| std::fs::read_to_string(file).ok())
        .map(|name| name.trim().to_owned())
        .find(|name| !name.is_empty())
        .unwrap_or_default()
}

/// Runs a call that blocks (the ledger's) or takes long without stalling the other tasks of the runtime.
pub fn off_the_runtime<T>(call: impl FnOnce() -> T) -> T {
    match tokio::runtime::Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(tokio::runtime::RuntimeFlavor::MultiThread) => tokio::task::block_in_place(call),
        _ => call(),
    }
}
