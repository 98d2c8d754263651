//! Across the road: an RDS v3 API on loopback, as the official SDK expects it, with IAM's project list and the metadata
//! service of a virtual machine at the same address.
//!
//! This room is for the cloud's side of the conversation: made-up fleets, documented limits, checked signatures,
//! deletions that take their time, and every fault it is told to make. It is *not* for anything the daemon believes
//! about that API: it has its own JSON types and its own signature, because a misspelt field must not agree with itself.
//! Only `cli` and tests know it.
//!
//! ```no_run
//! # async fn example() -> std::io::Result<()> {
//! use rds_retentiond::simulator::{Fault, FaultKind, Fleet, Op, Options, Simulator};
//!
//! let clock = std::sync::Arc::new(rds_retentiond::clock::now);
//! let fleet = Fleet::Seeded { instances: 3, backups_per_instance: 40 };
//! let simulator = Simulator::start(Options { fleet, ..Options::new(clock) }).await?;
//! simulator.faults().add(Fault::on(Op::ListBackups, FaultKind::status(503)).times(2));
//! println!("{}", simulator.config_yaml());
//! simulator.stop().await;
//! # Ok(()) }
//! ```

mod api;
mod auth;
mod control;
mod fault_effects;
mod fault_parser;
mod faults;
mod fleet;
mod iam;
mod journal;
mod metadata;
mod model;
mod rds;
mod request;
pub mod signature;
mod wire;
mod world;

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub use auth::{Key, RateLimit};
pub use faults::{BodyKind, DateFault, Fault, FaultError, FaultKind, Faults, Op};
pub use fleet::Fleet;
pub use journal::Call;
pub use metadata::{Agency, MetadataToken};
pub use model::{Backup, BackupKind, Engine, Instance, InstanceKind, Status};
pub use world::Deletion;

use crate::http;
use auth::Auth;
use world::World;

/// Where the simulator reads the time: the `Date` it sends, the signatures' dates it checks, the ages of made-up backups.
pub type Clock = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// What the manual listing says about a deleted instance; the API's pages do not tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeletedListing {
    /// 404, `DBS.200002`.
    #[default]
    NotFound,
    /// An empty list.
    Empty,
    /// All of its backups.
    Full,
}

/// What can be changed while the simulator runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Settings {
    /// How long an accepted deletion shows as DELETING; zero: it is gone at once.
    pub deletion_takes: Duration,
    /// Every answer is at least this late.
    pub latency: Duration,
    /// What the listing says about a deleted instance.
    pub deleted_listing: DeletedListing,
    /// What the metadata service grants.
    pub agency: Agency,
}

/// How to start a simulator.
#[derive(Clone)]
pub struct Options {
    /// Ids, names, sizes and shuffles come from it.
    pub seed: u64,
    /// What exists.
    pub fleet: Fleet,
    /// Where to listen: loopback only; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The time.
    pub clock: Clock,
    /// What can be changed later.
    pub settings: Settings,
    /// The throttle.
    pub rate_limit: Option<RateLimit>,
    /// The keys it knows; [`Simulator::access_key`] is the first.
    pub keys: Vec<Key>,
    /// The region, and so the project's name.
    pub region: String,
    /// The project everything is in.
    pub project_id: String,
    /// More projects (name, id) for IAM's list; they are empty.
    pub extra_projects: Vec<(String, String)>,
}

impl Options {
    /// A small seeded fleet, deletions that take two seconds, one permanent key.
    pub fn new(clock: Clock) -> Self {
        Self {
            seed: 1,
            fleet: Fleet::Seeded {
                instances: 12,
                backups_per_instance: 60,
            },
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            clock,
            settings: Settings {
                deletion_takes: Duration::from_secs(2),
                ..Settings::default()
            },
            rate_limit: None,
            keys: vec![Key::permanent(
                "SIMULATORACCESSKEY01",
                "simulator-secret-key-of-no-value-at-all-1",
            )],
            region: "ap-southeast-3".to_owned(),
            project_id: "054e292c9880d4992f02c0196d3ea468".to_owned(),
            extra_projects: Vec::new(),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = formatter.debug_struct("Options");
        text.field("seed", &self.seed)
            .field("listen", &self.listen)
            .field("settings", &self.settings);
        text.finish_non_exhaustive()
    }
}

/// What changes while it runs.
struct State {
    world: World,
    auth: Auth,
    issued: metadata::Issued,
    calls: Vec<Call>,
    settings: Settings,
}

/// What the server and its owner share.
struct Shared {
    seed: u64,
    clock: Clock,
    region: String,
    project_id: String,
    extra_projects: Vec<(String, String)>,
    faults: Faults,
    state: Mutex<State>,
}

impl Shared {
    /// A panic while the lock was held leaves whole values behind: every change is one insertion or removal.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running simulator. Dropped without [`stop`](Simulator::stop) it ends as well, a little later.
pub struct Simulator {
    shared: Arc<Shared>,
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    server: JoinHandle<http::Ended>,
    key: Key,
}

impl fmt::Debug for Simulator {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Simulator")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Simulator {
    /// Makes up the fleet and listens. Refuses an address that is not loopback: the keys are no secret.
    pub async fn start(options: Options) -> io::Result<Self> {
        if !options.listen.ip().is_loopback() {
            let message = format!("the simulator listens on loopback only, not on {}", options.listen);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let Some(key) = options.keys.first().cloned() else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the simulator needs a key"));
        };
        let listener = TcpListener::bind(options.listen).await?;
        let address = listener.local_addr()?;
        let world = options.fleet.build(options.seed, (options.clock)());
        let state = State {
            world,
            auth: Auth::new(options.keys, options.rate_limit),
            issued: metadata::Issued::default(),
            calls: Vec::new(),
            settings: options.settings,
        };
        let shared = Arc::new(Shared {
            seed: options.seed,
            clock: options.clock,
            region: options.region,
            project_id: options.project_id,
            extra_projects: options.extra_projects,
            faults: Faults::default(),
            state: Mutex::new(state),
        });
        let (stop, stopped) = oneshot::channel::<()>();
        let service = {
            let shared = Arc::clone(&shared);
            move |request| api::answer(Arc::clone(&shared), request)
        };
        let server = tokio::spawn(http::serve(listener, limits(), service, async move {
            // A dropped sender means the same.
            let _ = stopped.await;
        }));
        Ok(Self {
            shared,
            address,
            stop,
            server,
            key,
        })
    }

    /// Stops listening, finishes the requests under way and returns.
    pub async fn stop(self) {
        // It may have ended already; and a panic in it has been logged.
        let _ = self.stop.send(());
        let _ = self.server.await;
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The endpoint of RDS, of IAM and of the metadata service.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The endpoint of the metadata service, for `credentials: {source: ecs-agency, endpoint: …}`.
    pub fn metadata_url(&self) -> String {
        self.url()
    }

    /// The region, and so the project's name.
    pub fn region(&self) -> &str {
        &self.shared.region
    }

    /// The project everything is in.
    pub fn project_id(&self) -> &str {
        &self.shared.project_id
    }

    /// The first key's id.
    pub fn access_key(&self) -> &str {
        &self.key.access
    }

    /// The first key's secret.
    pub fn secret_key(&self) -> &str {
        &self.key.secret
    }

    /// What to export for `credentials: {source: environment}`, and for the official SDK.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("HUAWEICLOUD_SDK_AK", self.key.access.clone()),
            ("HUAWEICLOUD_SDK_SK", self.key.secret.clone()),
        ]
    }

    /// The `projects` section of a configuration that talks to this simulator, as YAML.
    pub fn config_yaml(&self) -> String {
        let (url, region, project) = (self.url(), self.region(), self.project_id());
        format!(
            "projects:\n  - name: simulator\n    region: {region}\n    project_id: \"{project}\"\n    endpoint: {url}\n    \
             iam_endpoint: {url}\n    credentials: {{source: environment}}\n"
        )
    }

    /// The faults it makes.
    pub fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    /// Changes settings from the next request on.
    pub fn set(&self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.shared.state().settings);
    }

    /// Sets or lifts the throttle.
    pub fn set_rate_limit(&self, limit: Option<RateLimit>) {
        self.shared.state().auth.rate = limit;
    }

    /// Makes a key known.
    pub fn add_key(&self, key: Key) {
        self.shared.state().auth.keys.push(key);
    }

    /// Forgets a key: from now on it is refused. False when it was not known.
    pub fn remove_key(&self, access: &str) -> bool {
        let keys = &mut self.shared.state().auth.keys;
        let before = keys.len();
        keys.retain(|key| key.access != access);
        keys.len() < before
    }

    /// Ends every temporary key now; the metadata service gives new ones.
    pub fn expire_temporary_keys(&self) {
        let now = (self.shared.clock)();
        let mut state = self.shared.state();
        state.issued.current = None;
        for key in state.auth.keys.iter_mut().filter(|key| key.security_token.is_some()) {
            key.expires_at = Some(now);
        }
    }

    /// How many times an access key has been locked for failing more than five times in a row.
    pub fn lockouts(&self) -> usize {
        self.shared.state().auth.lockouts
    }
}

/// A test's server must not cut what the test's faults draw out.
fn limits() -> http::Limits {
    http::Limits {
        header_timeout: Duration::from_secs(120),
        body_timeout: Duration::from_secs(30),
        answer_timeout: Duration::from_secs(600),
        lifetime: Duration::from_secs(24 * 3600),
        methods: None,
        max_body: 12 * 1024 * 1024,
        max_head: 64 * 1024,
        max_connections: 1024,
        drain: Duration::from_millis(500),
        date_header: false,
    }
}
