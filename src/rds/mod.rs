//! Floor 1: the client of the cloud's API.
//!
//! This room is for talking to RDS and IAM: signing, credentials, paging that is believed only when it agrees, retries of
//! reads, the pace, and one attempt at a deletion. It is *not* for deciding what to delete nor for sending a batch again
//! (`run` does both, with the ledger), and it knows no policies.
//!
//! The way through it: [`Client::list_instances`] and [`Client::list_backups`] ask `listing`, which asks `client`'s retrying read, which asks
//! `exchange` for one signed request and answer; `throttle` and [`KeyLockout`] say when that request may start; `wire` reads
//! the JSON. A deletion waits for all of that in [`Client::permit_deletion`], before its intent, and is then sent with the [`DeletionPermit`].

mod client;
mod credential_sources;
pub mod credentials;
mod delete;
mod deletion_permit;
mod error;
mod failure;
mod key_lockout;
mod lenient_json;
mod pagination;
mod proxy;
pub mod rate;
mod request;
mod response;
pub mod sign;
mod transport;
pub mod wire;

#[cfg(any(test, fuzzing))]
pub mod fuzz;

use std::sync::Arc;
use std::time::Duration;

use url::Url;

pub use client::{Client, Tuning};
pub use deletion_permit::{BEGINS_WITHIN, Delay, DeletionPermit, IntendedAt};
pub use error::{Cause, Class, Error, Place, Said};
pub use key_lockout::{KeyLockout, OnRefusal, Refusal};
pub use pagination::LIMIT as PAGE;
// What other requests of this program share with those to the API: TLS, proxy, waits, secret files.
pub(crate) use credential_sources::read_secret;
pub(crate) use proxy::variable as proxy_variable;
pub(crate) use request::back_off;
pub(crate) use response::retry_after;
pub(crate) use transport::client as http_client;

use crate::retention::{BackupId, Engine, Instance, Outcome, ProjectName};

/// One project, as the configuration describes it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its name in policies, metrics and reports.
    pub project: ProjectName,
    /// The region; also the name by which IAM is asked for the project id.
    pub region: String,
    /// The cloud's project id; looked up when `None`.
    pub project_id: Option<String>,
    /// The RDS endpoint.
    pub endpoint: Url,
    /// The IAM endpoint.
    pub iam_endpoint: Url,
    /// Where the credentials come from.
    pub source: credentials::CredentialSource,
    /// Ceiling of the pace.
    pub requests_per_second: u32,
    /// Requests under way at once.
    pub concurrency: usize,
    /// Time-out of one request, answer included (20 s in the contract).
    pub timeout: Duration,
}

impl Settings {
    /// The contract's time-out of one request.
    pub const TIMEOUT: Duration = Duration::from_secs(20);
}

/// What is asked of the API; label of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operation {
    /// IAM: the project id by the region's name.
    ListProjects,
    /// `ListInstances`.
    ListInstances,
    /// `ListBackups`.
    ListBackups,
    /// `ListRetainBackups`.
    ListRetainedBackups,
    /// `BatchDeleteManualBackup`.
    BatchDelete,
}

impl Operation {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::ListProjects,
        Self::ListInstances,
        Self::ListBackups,
        Self::ListRetainedBackups,
        Self::BatchDelete,
    ];

    /// The label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ListProjects => "list_projects",
            Self::ListInstances => "list_instances",
            Self::ListBackups => "list_backups",
            Self::ListRetainedBackups => "list_retained_backups",
            Self::BatchDelete => "batch_delete",
        }
    }

    /// No good answer comes near so many bytes, decoded: a hundred rows of 80 KB, fifty results of 10 KB, a few projects. (Of the API's
    /// own, a row has 300 to 3,000 bytes.)
    pub(crate) fn largest_answer(self) -> usize {
        match self {
            Self::ListInstances | Self::ListBackups | Self::ListRetainedBackups => 8 << 20,
            Self::ListProjects => 1 << 20,
            Self::BatchDelete => 512 << 10,
        }
    }

    /// The IAM action that permits it (API reference, sections 1, 3, 4 and 5).
    pub fn action(self) -> &'static str {
        match self {
            Self::ListProjects => "iam:projects:listProjects",
            Self::ListInstances => "rds:instance:list",
            Self::ListBackups | Self::ListRetainedBackups => "rds:backup:list",
            Self::BatchDelete => "rds:backup:delete",
        }
    }
}

/// One request that was answered or failed.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// The project.
    pub project: &'a ProjectName,
    /// What was asked.
    pub operation: Operation,
    /// The HTTP status; `None` when there was no whole answer.
    pub status: Option<u16>,
    /// How long it took.
    pub took: Duration,
    /// Whether it was answered 429.
    pub throttled: bool,
}

/// Told of every request.
pub type Observer = Arc<dyn Fn(&Event<'_>) + Send + Sync>;

/// Which backups are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Listed {
    /// `backup_type=manual`.
    Manual,
    /// `backup_type=auto`.
    Automated,
}

/// One entry of the list of instances, with what decides whether it is managed at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceEntry {
    /// The instance.
    pub instance: Instance,
    /// A read replica: it has no manual backups.
    pub is_replica: bool,
    /// Its engine.
    pub engine: Engine,
    /// It has tags that cannot be read, or one without its key or value; `instance` has those that can.
    pub has_odd_tags: bool,
}

/// What became of one batch that was sent once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The API answered id by id.
    Results {
        /// Exactly one outcome per id asked, in the order asked.
        outcomes: Vec<(BackupId, Outcome)>,
        /// The API's request id.
        request_id: Option<String>,
    },
    /// 429: nothing happened.
    Throttled {
        /// How long the API wants to be left alone, at most 60 s.
        retry_after: Option<Duration>,
    },
    /// 4xx: the batch was refused as a whole, nothing happened.
    RefusedWhole {
        /// The HTTP status.
        status: u16,
        /// The API's code.
        code: String,
        /// The API's words.
        message: String,
        /// The API's request id.
        request_id: Option<String>,
    },
    /// It may have happened or not: time-out, reset, 5xx, an answer that cannot be read.
    Unanswered {
        /// What happened instead of an answer.
        why: String,
        /// The API's request id, where there was one.
        request_id: Option<String>,
    },
    /// 401 for the first time: nothing happened, and credentials are renewed before a repeat.
    KeyRefused {
        /// The key's, for the repeat's permit.
        fingerprint: credentials::Fingerprint,
    },
    /// The request did not begin within five seconds of its intent, or stop was requested before: nothing was sent.
    Late {
        /// What it waited for.
        by: Delay,
    },
}
