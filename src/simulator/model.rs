//! What the simulated cloud is made of, as tests and the command line see it.
//!
//! These are plain values: the answers' JSON is made from them in `wire`, and how they are stored is `world`'s business.

use chrono::{DateTime, Utc};

/// A database engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Engine {
    /// RDS for SQL Server.
    SqlServer,
    /// RDS for `MySQL`.
    MySql,
    /// RDS for PostgreSQL.
    PostgreSql,
    /// RDS for `MariaDB`.
    MariaDb,
}

impl Engine {
    /// Every engine.
    pub const ALL: [Self; 4] = [Self::SqlServer, Self::MySql, Self::PostgreSql, Self::MariaDb];

    /// As the API spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::SqlServer => "SQLServer",
            Self::MySql => "MySQL",
            Self::PostgreSql => "PostgreSQL",
            Self::MariaDb => "MariaDB",
        }
    }

    /// The last two digits of the engine's ids (`…in04`, `…br04`); those of `MariaDB` are made up.
    pub fn digits(self) -> &'static str {
        match self {
            Self::SqlServer => "04",
            Self::MySql => "01",
            Self::PostgreSql => "03",
            Self::MariaDb => "15",
        }
    }
}

/// What an instance is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InstanceKind {
    /// One node.
    Single,
    /// A primary and a standby.
    Ha,
    /// A read replica; it has no manual backups.
    Replica,
}

impl InstanceKind {
    /// As the API spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Single => "Single",
            Self::Ha => "Ha",
            Self::Replica => "Replica",
        }
    }
}

/// The type of a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackupKind {
    /// A full backup made on request; the only kind that can be deleted.
    Manual,
    /// An automated full backup.
    Auto,
    /// An automated differential backup.
    Fragment,
    /// An automated incremental backup.
    Incremental,
}

impl BackupKind {
    /// As the API spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::Auto => "auto",
            Self::Fragment => "fragment",
            Self::Incremental => "incremental",
        }
    }
}

/// The state of a backup. Anything odder is made with [`patch`](super::Simulator::patch).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Being made.
    Building,
    /// Usable.
    Completed,
    /// Unusable.
    Failed,
    /// Its deletion was accepted and is under way.
    Deleting,
}

impl Status {
    /// As the API spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Building => "BUILDING",
            Self::Completed => "COMPLETED",
            Self::Failed => "FAILED",
            Self::Deleting => "DELETING",
        }
    }
}

/// An instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// `…in04`.
    pub id: String,
    /// Its name; not unique.
    pub name: String,
    /// Its engine.
    pub engine: Engine,
    /// `2019_SE` and the like.
    pub version: String,
    /// Single, Ha or Replica.
    pub kind: InstanceKind,
    /// `ACTIVE` and the like; some values contain spaces.
    pub status: String,
    /// Key and value.
    pub tags: Vec<(String, String)>,
    /// `0` is the default one.
    pub enterprise_project: String,
    /// When it was made.
    pub created: DateTime<Utc>,
    /// No longer listed; its manual backups are.
    pub deleted: bool,
    /// How many days automated backups are kept, in which hour they begin, and on which days of a week (Monday is 1).
    pub backup_policy: (u16, String, String),
    /// How often somebody's schedule makes a manual backup as time passes, see [`make_due_backups`](super::Simulator::make_due_backups).
    pub every: Option<chrono::TimeDelta>,
}

impl Instance {
    /// An ordinary SQL Server instance.
    pub fn sql_server(id: &str, name: &str, created: DateTime<Utc>) -> Self {
        Self {
            id: id.to_owned(),
            name: name.to_owned(),
            engine: Engine::SqlServer,
            version: "2019_SE".to_owned(),
            kind: InstanceKind::Single,
            status: "ACTIVE".to_owned(),
            tags: Vec::new(),
            enterprise_project: "0".to_owned(),
            created,
            deleted: false,
            backup_policy: (7, "19:00-20:00".to_owned(), "1,2,3,4,5,6,7".to_owned()),
            every: None,
        }
    }
}

/// A backup. Times have whole seconds, as in the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// `…br04`.
    pub id: String,
    /// Whose backup it is.
    pub instance_id: String,
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: BackupKind,
    /// Its state.
    pub status: Status,
    /// When it was begun.
    pub begin: DateTime<Utc>,
    /// When it was finished; none while it is being made.
    pub end: Option<DateTime<Utc>>,
    /// Kilobytes.
    pub size_kb: u64,
    /// The databases of a partial backup; empty for a full one.
    pub databases: Vec<String>,
}

impl Backup {
    /// A full manual backup of 1 GB that took ten minutes.
    pub fn manual(id: &str, instance_id: &str, name: &str, begin: DateTime<Utc>) -> Self {
        Self {
            id: id.to_owned(),
            instance_id: instance_id.to_owned(),
            name: name.to_owned(),
            kind: BackupKind::Manual,
            status: Status::Completed,
            begin,
            end: begin.checked_add_signed(chrono::TimeDelta::minutes(10)),
            size_kb: 1024 * 1024,
            databases: Vec::new(),
        }
    }
}
