//! The server and its handle.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::agency::Issued;
use super::api;
use super::auth::{Auth, Key, RateLimit};
use super::faults::Faults;
use super::options::{Options, Settings};
use super::state::{Shared, State};
use crate::http;

/// A running simulator. Dropped without [`stop`](Simulator::stop) it ends as well, a little later.
pub struct Simulator {
    pub(super) shared: Arc<Shared>,
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    server: JoinHandle<http::ServerEnded>,
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
            issued: Issued::default(),
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
fn limits() -> http::HttpLimits {
    http::HttpLimits {
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
