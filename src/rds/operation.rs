//! The calls of the API that are made, each with its metrics label and the permission it needs.

use reqwest::Method;

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
    /// The retain policies of deleted instances.
    ListRetainPolicies,
    /// The tasks of an instance.
    ListTasks,
    /// `BatchDeleteManualBackup`.
    BatchDelete,
    /// `DeleteManualBackup`.
    Delete,
}

impl Operation {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::ListProjects,
        Self::ListInstances,
        Self::ListBackups,
        Self::ListRetainedBackups,
        Self::ListRetainPolicies,
        Self::ListTasks,
        Self::BatchDelete,
        Self::Delete,
    ];

    /// The label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ListProjects => "list_projects",
            Self::ListInstances => "list_instances",
            Self::ListBackups => "list_backups",
            Self::ListRetainedBackups => "list_retained_backups",
            Self::ListRetainPolicies => "list_retain_policies",
            Self::ListTasks => "list_tasks",
            Self::BatchDelete => "batch_delete",
            Self::Delete => "delete",
        }
    }

    /// No good answer comes near so many bytes, decoded: a hundred rows of 80 KB, fifty results of 10 KB, a few projects. (Of the API's
    /// own, a row has 300 to 3,000 bytes.)
    pub(crate) fn largest_answer(self) -> usize {
        match self {
            Self::ListInstances
            | Self::ListBackups
            | Self::ListRetainedBackups
            | Self::ListRetainPolicies
            | Self::ListTasks => 8 << 20,
            Self::ListProjects => 1 << 20,
            Self::BatchDelete | Self::Delete => 512 << 10,
        }
    }

    /// The IAM action that permits it (API reference, sections 1, 3, 4 and 5).
    pub fn action(self) -> &'static str {
        match self {
            Self::ListProjects => "iam:projects:listProjects",
            Self::ListInstances => "rds:instance:list",
            Self::ListBackups | Self::ListRetainedBackups | Self::ListRetainPolicies => "rds:backup:list",
            Self::ListTasks => "rds:task:list",
            Self::BatchDelete | Self::Delete => "rds:backup:delete",
        }
    }

    /// The HTTP method.
    pub(super) fn method(self) -> Method {
        match self {
            Self::ListProjects
            | Self::ListInstances
            | Self::ListBackups
            | Self::ListRetainedBackups
            | Self::ListTasks => Method::GET,
            Self::ListRetainPolicies | Self::BatchDelete => Method::POST,
            Self::Delete => Method::DELETE,
        }
    }
}
