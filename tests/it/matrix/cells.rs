//! The cells of the matrix: where a fault strikes, which one, and how often.

use super::super::world::instance_id;

/// What the run does when the fault strikes; also the row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum At {
    ListInstances,
    /// The listing of manual backups that decides.
    ListBackups,
    /// The listing of automated backups, which `require_backup_within` asks for.
    ListAutomated,
    Delete,
    /// The listing after a batch that nobody answered.
    ListAgain,
    /// The question whether an instance that is missed is still there.
    FindInstance,
    /// The backups that a deleted instance left.
    ListRetained,
    /// The same by the deleted instance's id, which says more of them.
    ListByOldId,
    ListProjects,
    MetadataToken,
    SecurityKey,
    /// Every operation.
    Everything,
}

impl At {
    pub(super) const ALL: [Self; 12] = [
        Self::ListInstances,
        Self::ListBackups,
        Self::ListAutomated,
        Self::Delete,
        Self::ListAgain,
        Self::FindInstance,
        Self::ListRetained,
        Self::ListByOldId,
        Self::ListProjects,
        Self::MetadataToken,
        Self::SecurityKey,
        Self::Everything,
    ];

    /// Whether it is about what a deleted instance left.
    pub(super) fn is_of_deleted(self) -> bool {
        matches!(self, Self::FindInstance | Self::ListRetained | Self::ListByOldId)
    }

    /// The rule's operation and conditions.
    pub(super) fn rule(self) -> (&'static str, String) {
        match self {
            Self::ListInstances => ("list_instances", String::new()),
            Self::ListBackups => ("list_backups", String::new()),
            Self::ListAutomated => ("list_backups", format!(":after=1:instance={}", instance_id(1))),
            Self::Delete => ("delete_batch", String::new()),
            Self::ListAgain => ("list_backups", ":after=2".to_owned()),
            Self::FindInstance => ("list_instances", ":after=1".to_owned()),
            Self::ListRetained => ("list_retained", String::new()),
            Self::ListByOldId => ("list_backups", format!(":instance={}", instance_id(3))),
            Self::ListProjects => ("list_projects", String::new()),
            Self::MetadataToken => ("metadata_token", String::new()),
            Self::SecurityKey => ("security_key", String::new()),
            Self::Everything => ("*", String::new()),
        }
    }
}

/// Every fault of the issue, and some more.
pub(super) const FAULTS: [&str; 49] = [
    "status=307",
    "status=400",
    "status=401",
    "status=403",
    "status=404",
    "status=408",
    "status=409",
    "status=413",
    "status=429",
    "status=429:retry_after=1",
    "status=500",
    "status=502",
    "status=503",
    "status=504",
    "status=500:done",
    "status=504:done",
    "status=403:body=html",
    "status=503:body=html",
    "status=400:body=empty",
    "status=500:body=half",
    "body=html",
    "body=empty",
    "body=text",
    "body=half",
    "truncate=0",
    "truncate=20",
    "reset",
    "reset:done",
    "delay=60s",
    "delay=60s:done",
    "delay=50ms",
    "drip=1ms",
    "drip=900ms",
    "huge=1000000",
    "shuffle",
    "missing=1",
    "extra",
    "duplicate",
    "foreign_instance",
    "foreign_type",
    "count=-1",
    "count=1",
    "no_count",
    "shift=1",
    "shift=-1",
    "date=none",
    "date=garbage",
    "date=-20m",
    "date=+20m",
];

/// Faults that only a deletion can have.
pub(super) const OF_DELETION: [&str; 2] = ["ignore", "result=DBS.200054"];

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Often {
    Once,
    Always,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Cell {
    pub(super) at: At,
    pub(super) fault: &'static str,
    pub(super) often: Often,
}
