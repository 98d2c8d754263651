//! Floor 3: when. Ticks, signals, reload, drain; the process that lives for years.
//!
//! ```text
//! due        pure: what is known and what time it is → whom to run
//! planner    the one loop: waits, rings, starts runs, reloads, drains
//! turn       one run as a task of its own: waits for, or shares, the right to delete, is cut when it hangs
//! store      a ledger that may be missing, and comes back; ledger_probe: whether it works
//! reload     a new configuration beside the old one; watch: whether it changed; writers: whether somebody still writes it
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
//! It is *not* for what a run does (`run`) nor for how it is shown (`web`).

mod ledger_handle;
mod ledger_probe;
mod main_loop;
pub mod observe;
mod reload;
mod run_task;
mod scheduler;
mod shared_status;
mod status;
mod systemd;
mod watch;
mod writers;

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch as channel};

pub use ledger_handle::say_when_new;
pub use shared_status::SharedStatus;
pub use status::{
    ConfigStatus, Counts, FreezeStatus, LastRun, PolicyStatus, Problem, RefusalStatus, Sizes, Status, StorageDay,
};
pub use watch::fingerprint;

use crate::config::{Config, Environment};
use crate::rds;
use main_loop::MainLoop;

/// An address that is not there yet is tried again after this, then after twice as long each time,
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// but at least this often.
const LONGEST_WAIT: Duration = Duration::from_secs(15);

/// The time.
pub type Clock = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// How to run.
pub struct Options {
    /// The configuration to begin with.
    pub config: Arc<Config>,
    /// What surrounds the process; for loading the configuration again.
    pub environment: Environment,
    /// Becomes true when the daemon is to end.
    pub stop: channel::Receiver<bool>,
    /// Notified to look at the configuration at once: SIGHUP.
    pub hangups: Arc<Notify>,
    /// The time.
    pub clock: Clock,
    /// This host's name: jitter is spread by it.
    pub host: String,
    /// For a look at it: every policy runs at once, and every decision is kept from the first run on.
    pub show: bool,
}

/// Why the daemon could not begin.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing to talk to.
    #[error("{}: the configuration has no `projects`, so there is nothing to ask", .0.display())]
    NoProjects(std::path::PathBuf),
    /// The port is taken, or may not be used.
    #[error("cannot listen on {address}; set `listen` to another address or to `none`")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// A project's client cannot be made.
    #[error(transparent)]
    Client(#[from] rds::Error),
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
    planner: MainLoop,
    listening: Option<Listening>,
}

/// Where metrics and page are served.
#[derive(Debug)]
enum Listening {
    Bound(TcpListener),
    /// The address does not exist on this host yet. Deletions do not wait for it, and neither does the service: at boot an
    /// interface may come up minutes later.
    Awaited(SocketAddr),
}

impl Listening {
    async fn begin(address: SocketAddr) -> Result<Self, Error> {
        match TcpListener::bind(address).await {
            Ok(listener) => Ok(Self::Bound(listener)),
            Err(error) if error.kind() == ErrorKind::AddrNotAvailable => {
                tracing::warn!(
                    %address,
                    "this host has no such address yet: runs go on, metrics and status page follow when it is there"
                );
                Ok(Self::Awaited(address))
            }
            Err(source) => Err(Error::Listen { address, source }),
        }
    }

    /// Waits until there is a listener.
    async fn listener(self) -> TcpListener {
        let address = match self {
            Self::Bound(listener) => return listener,
            Self::Awaited(address) => address,
        };
        let mut wait = FIRST_WAIT;
        loop {
            tokio::time::sleep(wait).await;
            match TcpListener::bind(address).await {
                Ok(listener) => return listener,
                Err(error) => tracing::debug!(%address, %error, "cannot listen yet"),
            }
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }
}

impl Daemon {
    /// Takes the address and makes the clients. Nothing is read from the cloud, and nothing is written.
    pub async fn bind(options: Options) -> Result<Self, Error> {
        let config = &options.config;
        if config.projects.is_empty() {
            return Err(Error::NoProjects(config.path.clone()));
        }
        let listening = match config.listen {
            None => None,
            Some(address) => Some(Listening::begin(address).await?),
        };
        Ok(Self {
            planner: MainLoop::new(options, run_task::by_run())?,
            listening,
        })
    }

    /// Where metrics and page are served; `None` for nowhere, or nowhere yet.
    pub fn address(&self) -> Option<SocketAddr> {
        match self.listening.as_ref()? {
            Listening::Bound(listener) => listener.local_addr().ok(),
            Listening::Awaited(_) => None,
        }
    }

    /// Runs until it is told to stop, and what is under way is finished.
    pub async fn run(self) -> Result<Ended, Error> {
        let (closing, closed) = channel::channel(false);
        let serving = self.listening.map(|listening| {
            let (shared_status, mut closed) = (self.planner.shared_status(), closed);
            tokio::spawn(async move {
                let mut stop = Box::pin(async move {
                    // A dropped sender means the same.
                    let _ = closed.wait_for(|closed| *closed).await;
                });
                let listener = tokio::select! {
                    listener = listening.listener() => listener,
                    () = &mut stop => return,
                };
                if let Ok(address) = listener.local_addr() {
                    tracing::info!(address = %address, "listening on http://{address}/");
                }
                crate::web::serve(listener, shared_status, stop).await;
            })
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
pub fn blocking<T>(call: impl FnOnce() -> T) -> T {
    match tokio::runtime::Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(tokio::runtime::RuntimeFlavor::MultiThread) => tokio::task::block_in_place(call),
        _ => call(),
    }
}
