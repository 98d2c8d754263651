//! A loaded configuration, and what surrounds the process that loads it.

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;

use chrono::{DateTime, Datelike as _, TimeDelta, Utc};
use sha2::{Digest as _, Sha256};
use url::Url;

use super::audit::AnchorAt;
use super::diagnostics::Problem;
use super::notify::NotifyTarget;
use super::schedule::Schedule;
use super::state_at::StateAt;
use super::zones::ZoneSource;
use crate::retention::{Freeze, Hold, People, Policy, PolicyName, ProjectName, Span, Zone};
use crate::wording::money::Price;

/// What surrounds the process and has a say in the configuration.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// `$STATE_DIRECTORY`, as systemd sets it.
    pub state_directory: Option<PathBuf>,
    /// `$TZDIR`, where the zoneinfo is if not where hosts have it.
    pub tzdir: Option<PathBuf>,
    /// Files and directories that others own or may write make the configuration invalid. Otherwise they are only reported, for
    /// commands that delete nothing.
    pub enforce_ownership: bool,
    /// A file that names the state, and neither projects nor policies, is enough: for the commands of people.
    pub may_be_state_alone: bool,
}

/// A valid configuration. It holds no secret but the URLs of `notify`, which print as redacted: only where secrets are.
#[derive(Clone, Debug)]
pub struct Config {
    /// The main file, as it was named.
    pub path: PathBuf,
    /// Every file that was read: the main one, then the included ones, sorted.
    pub files: Vec<PathBuf>,
    /// Where a change of the configuration shows: the directory of the main file and of every include pattern.
    pub watch_dirs: Vec<PathBuf>,
    /// SHA-256 over the names and bytes of all files, in hex.
    pub sha256: String,
    /// The files' texts without secrets, for the record: a name relative to the main file's directory; `None` for a text in which
    /// secrets could not be told from the rest.
    pub recorded: Vec<(String, Option<String>)>,
    /// Where the ledger is.
    pub state: StateAt,
    /// Where metrics and status page listen; `None` for nowhere.
    pub listen: Option<SocketAddr>,
    /// The projects. Empty when none is configured: then only offline plans can be made.
    pub projects: Vec<Project>,
    /// The policies, in the order of the files; never empty.
    pub policies: Vec<PolicyEntry>,
    /// Policies of a newer version of the files that waits to be applied: what they keep is kept, and they never run. Always
    /// empty in a configuration as it was read.
    pub protecting: Vec<Arc<Policy>>,
    /// The holds of the configuration.
    pub holds: Vec<Hold>,
    /// Where each of them stands.
    pub hold_places: Vec<FilePosition>,
    /// The freeze of the configuration.
    pub freeze: Option<Freeze>,
    /// Where it stands.
    pub freeze_place: Option<FilePosition>,
    /// Where messages about runs go.
    pub notify: Vec<NotifyTarget>,
    /// Names under which page and API may be asked for, beside addresses, `localhost` and this host's name.
    pub allowed_hosts: Vec<String>,
    /// What storage costs; `None`: only bytes are shown.
    pub price: Option<Price>,
    /// Where the heads of the audit chain are anchored.
    pub anchor: AnchorAt,
    /// How many people it takes to end what another person placed.
    pub protect: People,
    /// Whose rules the time zones follow.
    pub zones: ZoneSource,
    /// What is valid but probably a mistake.
    pub warnings: Vec<Problem>,
    /// Files and directories that others own or may write, where that is not enforced.
    pub foreign: Vec<Problem>,
}

impl Config {
    /// The freeze of the configuration and where it stands, in force or not.
    pub fn configured_freeze(&self) -> Option<(Freeze, String)> {
        let place = self.freeze_place.as_ref();
        let place = place.map_or_else(|| "the configuration".to_owned(), ToString::to_string);
        self.freeze.clone().map(|freeze| (freeze, place))
    }

    /// The policies in force, with those of an edit that waits.
    pub fn all_policies(&self) -> impl Iterator<Item = &Arc<Policy>> {
        let policies = self.policies.iter().map(|entry| &entry.policy);
        policies.chain(&self.protecting)
    }

    /// A warning where policies follow the rules compiled in, and those are old.
    pub fn outdated_zones(&self, now: DateTime<Utc>) -> Option<Problem> {
        let is_outdated = ZoneSource::is_compiled_outdated(now.year(), now.month());
        let needs_rules = self.policies.iter().any(|entry| entry.policy.zone != Zone::UTC);
        (needs_rules && is_outdated && self.zones.is_compiled()).then(|| {
            Problem::with_file(
                &self.path,
                format!("time zones follow rules that are older than a year: {}", self.zones),
                Some("upgrade the host's tzdata, or this program"),
            )
        })
    }
}

/// A line of a configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilePosition {
    /// The file, as it was named.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
}

impl fmt::Display for FilePosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// A project and how it is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    /// How policies, metrics and reports call it.
    pub name: ProjectName,
    /// Its region.
    pub region: String,
    /// The cloud's id of it; `None`: to be looked up through IAM by the name of the region.
    pub project_id: Option<String>,
    /// The RDS service: scheme, host and port.
    pub endpoint: Url,
    /// The IAM service: scheme, host and port.
    pub iam_endpoint: Url,
    /// Where its credentials come from.
    pub credentials: CredentialsSetting,
    /// Ceiling of the request rate.
    pub requests_per_second: NonZeroU32,
    /// Concurrent requests.
    pub concurrency: NonZeroU32,
}

/// Where an access key comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialsSetting {
    /// The first that has one: environment, systemd credentials, profile, ECS agency.
    Chain,
    /// `HUAWEICLOUD_SDK_AK`, `_SK`, `_SECURITY_TOKEN`.
    Environment,
    /// The SDK's INI file.
    Profile {
        /// The file; `None` for the SDK's default.
        path: Option<PathBuf>,
        /// Its section; `None` for the SDK's default.
        profile: Option<String>,
    },
    /// A file for each part. Relative names, as typed, are taken in `$CREDENTIALS_DIRECTORY`.
    Files {
        /// The access key (AK).
        access_key_file: PathBuf,
        /// The secret key (SK).
        secret_key_file: PathBuf,
        /// The token of a temporary key.
        security_token_file: Option<PathBuf>,
    },
    /// The agency of the ECS it runs on.
    EcsAgency {
        /// The metadata service.
        endpoint: Url,
    },
}

/// A policy and when it runs.
#[derive(Clone, Debug)]
pub struct PolicyEntry {
    /// What it says.
    pub policy: Arc<Policy>,
    /// When the daemon runs it; `None`: only `apply` does.
    pub schedule: Option<Schedule>,
    /// Longest delay of its start.
    pub jitter: Span,
    /// Whether a missed tick runs late.
    pub catch_up: bool,
}

impl PolicyEntry {
    /// How long after a tick it fires: its jitter is spread by a hash of both names, so that it stays the same from tick to tick and
    /// from start to start.
    pub fn delay(&self, host: &str) -> TimeDelta {
        delay(host, &self.policy.name, self.jitter.approximate_seconds())
    }
}

/// A delay of 0 to `jitter` seconds.
pub(crate) fn delay(host: &str, policy: &PolicyName, jitter: u64) -> TimeDelta {
    let mut hash = Sha256::new();
    // The length keeps ("ab", "c") from being ("a", "bc").
    hash.update((host.len() as u64).to_be_bytes());
    hash.update(host);
    hash.update(policy.as_str());
    let digest = hash.finalize();
    let number = digest
        .iter()
        .take(8)
        .fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    // More than a year of jitter is never meant; this fits.
    let seconds = number % jitter.saturating_add(1).min(400 * 86_400);
    TimeDelta::seconds(i64::try_from(seconds).unwrap_or(0))
}
