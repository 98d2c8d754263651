//! How a simulator is started, and what can be changed while it runs.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::agency::Agency;
use super::auth::{Key, RateLimit};
use super::fleet::Fleet;

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
    /// How long a backup that was asked for shows as BUILDING.
    pub creation_takes: Duration,
    /// Every answer is at least this late.
    pub latency: Duration,
    /// What the listing says about a deleted instance.
    pub deleted_listing: DeletedListing,
    /// The list of instances has those of every engine, whichever is asked for.
    pub ignores_engine_filter: bool,
    /// Signatures count whenever they are dated, for a simulator whose clock is ahead of its clients'.
    pub any_signature_date: bool,
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
