//! Backups and instances as the rest of the program knows them, already parsed.
//!
//! Not for the API's spelling of them: that is `rds::wire`. A value that was not understood is a value here
//! (`Other`, `None`, `Unknown`), never an error, because what is not understood is kept.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Datelike, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::engine::Engine;
use super::word::Word;

/// A backup dated further ahead than this is not believed.
pub const FUTURE_TOLERANCE: TimeDelta = TimeDelta::minutes(5);

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The text as the outside writes it.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(Arc::from(text))
            }
        }
        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(Arc::from(text))
            }
        }
        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:?})"), &*self.0)
            }
        }
    };
}

name_type! {
    /// Id of a backup, as the API gives it (32 hex digits + `br04`, by example; the length is not relied on).
    BackupId
}
impl BackupId {
    /// Whether it has only letters, digits, `-` and `_`, as all ids that were ever seen.
    pub fn is_plain(&self) -> bool {
        !self.0.is_empty()
            && self
                .0
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    }

    /// It in small letters, as the API writes ids: two that differ in case only are one.
    pub fn folded(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

name_type! {
    /// Id of an instance (`…in04` for SQL Server, by example).
    InstanceId
}
name_type! {
    /// The configuration's name of a project, not its cloud id.
    ProjectName
}
name_type! {
    /// The configuration's name of a policy.
    PolicyName
}

/// State of a backup (`ListBackups`: `BUILDING`, `COMPLETED`, `FAILED`, `DELETING`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum BackupStatus {
    /// Being made.
    Building,
    /// A recovery point. The only status that counts for keep rules and the floor.
    Completed,
    /// Could not be made; no recovery point.
    Failed,
    /// A deletion was accepted and is under way.
    Deleting,
    /// Anything else, kept and never touched. Empty when the API gave none.
    Other(Word),
}

impl BackupStatus {
    /// Reads the API's spelling; an unknown one is a value.
    pub fn parse(text: &str) -> Self {
        match text {
            "BUILDING" => Self::Building,
            "COMPLETED" => Self::Completed,
            "FAILED" => Self::Failed,
            "DELETING" => Self::Deleting,
            other => Self::Other(Word::from(other)),
        }
    }

    /// The API's spelling.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Building => "BUILDING",
            Self::Completed => "COMPLETED",
            Self::Failed => "FAILED",
            Self::Deleting => "DELETING",
            Self::Other(text) => text,
        }
    }
}

/// Type of a backup (`ListBackups`: `auto`, `manual`, `fragment`, `incremental`). Only manual ones are ever deleted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum BackupKind {
    /// Automated full backup; the service expires it itself.
    Auto,
    /// Manual full backup: what this program is for.
    Manual,
    /// Differential full backup.
    Fragment,
    /// Automated incremental backup.
    Incremental,
    /// Anything else, kept and never touched. Empty when the API gave none.
    Other(Word),
}

impl BackupKind {
    /// Reads the API's spelling; an unknown one is a value.
    pub fn parse(text: &str) -> Self {
        match text {
            "auto" => Self::Auto,
            "manual" => Self::Manual,
            "fragment" => Self::Fragment,
            "incremental" => Self::Incremental,
            other => Self::Other(Word::from(other)),
        }
    }

    /// The API's spelling.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Auto => "auto",
            Self::Manual => "manual",
            Self::Fragment => "fragment",
            Self::Incremental => "incremental",
            Self::Other(text) => text,
        }
    }
}

/// What a backup holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Databases {
    /// It lists none: a full backup.
    All,
    /// It has no list of databases: a full backup, too. One that had a list before is not believed.
    Absent,
    /// A partial backup of these databases: sorted, distinct, never empty.
    Named(Arc<Vec<Arc<str>>>),
    /// It has a list that cannot be read. Kept.
    Unreadable,
    /// Not known (a retained backup of a deleted instance that was never seen in a listing). Kept.
    Unknown,
}

impl Databases {
    /// Whether it is known what the backup holds.
    pub fn is_known(&self) -> bool {
        !matches!(self, Self::Unreadable | Self::Unknown)
    }

    /// Whether it is a full backup.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::All | Self::Absent)
    }

    /// From the names an entry lists; none means a full backup.
    pub fn from_names<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> Self {
        let mut names: Vec<Arc<str>> = names.into_iter().map(|name| Arc::from(name.as_ref())).collect();
        names.sort_unstable();
        names.dedup();
        if names.is_empty() {
            Self::All
        } else {
            Self::Named(Arc::new(names))
        }
    }
}

/// One backup of one instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    /// Its id.
    pub id: BackupId,
    /// Its name; policies select by it.
    pub name: Arc<str>,
    /// Its type.
    pub kind: BackupKind,
    /// Its engine.
    pub engine: Engine,
    /// Its state.
    pub status: BackupStatus,
    /// `begin_time`, by which every decision is made; `None` when it could not be read.
    pub begin: Option<DateTime<Utc>>,
    /// `end_time`; `None` when there is none or it could not be read.
    pub end: Option<DateTime<Utc>>,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// What it holds.
    pub databases: Databases,
    /// Why this entry is not believed; set where listings are compared with earlier ones and with each other.
    pub doubt: Option<Doubt>,
}

/// Why an entry of a believed listing is not believed. Such a backup is kept and not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Doubt {
    /// It says something else than an earlier run saw of it as COMPLETED or FAILED.
    Changed,
    /// A restore reads it.
    InUse,
    /// Another instance lists it, too, or did within the last seven days.
    Contested,
    /// It has no name: a name may be what protects it.
    NoName,
    /// It is COMPLETED without an end that can be read, or FAILED with an end that cannot.
    NoEnd,
}

impl Backup {
    /// No RDS backup is older than the service, so no earlier time is believed.
    const FIRST_YEAR: i32 = 2010;
    /// No backup takes longer.
    const LONGEST: TimeDelta = TimeDelta::days(7);

    /// `begin_time`, where it can be read and agrees with `end_time`. A backup that ended before it began, or that took more than
    /// a week, has one wrong time of two, and nothing tells which.
    pub fn believed_begin(&self) -> Option<DateTime<Utc>> {
        let begin = self.begin.filter(|begin| begin.year() >= Self::FIRST_YEAR)?;
        let took = self
            .end
            .map_or(TimeDelta::zero(), |end| end.signed_duration_since(begin));
        (TimeDelta::zero() <= took && took <= Self::LONGEST).then_some(begin)
    }

    /// Whether the instance can be restored from it at `now`, as far as a listing tells: a finished full backup of its own known engine.
    pub fn is_recovery_point(&self, instance: &Instance, now: DateTime<Utc>) -> bool {
        let is_past = |at: DateTime<Utc>| at.signed_duration_since(now) <= FUTURE_TOLERANCE;
        self.status == BackupStatus::Completed
            && matches!(self.kind, BackupKind::Manual | BackupKind::Auto)
            && self.engine.is_known()
            && self.engine == instance.engine
            && self.databases.is_full()
            && self.size_bytes > 0
            && self.doubt.is_none()
            && self.believed_begin().is_some_and(is_past)
            && self.end.is_some_and(is_past)
    }
}

/// Whether an instance is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstanceLife {
    /// The last listing names it.
    Listed,
    /// It was missed by three listings over at least 24 hours and asking for its id finds nothing.
    Deleted {
        /// When it was first missed.
        missed_since: DateTime<Utc>,
    },
}

/// One database instance and what policies select it by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// The project it lives in.
    pub project: ProjectName,
    /// Its id.
    pub id: InstanceId,
    /// Its name (the last seen, for a deleted one).
    pub name: Arc<str>,
    /// Its engine; policies select by it.
    pub engine: Engine,
    /// Its tags.
    pub tags: Vec<(String, String)>,
    /// Its enterprise project; `0` is the default one, `None` when the API gave none.
    pub enterprise_project: Option<String>,
    /// Whether it is there.
    pub life: InstanceLife,
}

/// What backups take together. The API's word for a size may be any number, so it ends at the greatest.
pub fn total_bytes(sizes: impl IntoIterator<Item = u64>) -> u64 {
    sizes.into_iter().fold(0, u64::saturating_add)
}
