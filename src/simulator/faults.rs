//! The faults that the simulator makes on request.
//!
//! A rule says where (operation, instance, backup), when (after so many matching requests, so many times) and what. All
//! rules that match a request apply together; what they do to an answer is `fault_effects`'s business.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

/// An operation of the simulated services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Op {
    /// `GET /v3/{project_id}/instances`
    ListInstances,
    /// `GET /v3/{project_id}/backups`
    ListBackups,
    /// `GET /v3/{project_id}/instances/{instance_id}/retain-backups`
    ListRetained,
    /// `POST /v3/{project_id}/backups/batch-delete`
    DeleteBatch,
    /// `DELETE /v3/{project_id}/backups/{backup_id}`
    DeleteOne,
    /// `POST /v3/{project_id}/backups`
    CreateBackup,
    /// `DELETE /v3/{project_id}/instances/{instance_id}`
    DeleteInstance,
    /// `POST /v3/{project_id}/backup-retain-policy`
    ListRetainPolicies,
    /// `GET /v3/{project_id}/instances/{instance_id}/tasklist/detail`
    ListTasks,
    /// `GET /v3/{project_id}/quotas`
    ShowQuotas,
    /// `GET /v3/{project_id}/instances/{instance_id}/backups/policy`
    ShowBackupPolicy,
    /// `PUT /v3/{project_id}/instances/{instance_id}/backups/policy`
    SetBackupPolicy,
    /// `GET /v3/projects`
    ListProjects,
    /// `GET /v3/auth/domains`
    ListDomains,
    /// `POST /v3/auth/tokens`
    IssueToken,
    /// `PUT /meta-data/latest/api/token`
    MetadataToken,
    /// `GET /openstack/latest/securitykey`
    SecurityKey,
    /// `GET /openstack/latest/meta_data.json`
    Metadata,
}

impl Op {
    /// Every operation.
    pub const ALL: [Self; 18] = [
        Self::ListInstances,
        Self::ListBackups,
        Self::ListRetained,
        Self::DeleteBatch,
        Self::DeleteOne,
        Self::CreateBackup,
        Self::DeleteInstance,
        Self::ListRetainPolicies,
        Self::ListTasks,
        Self::ShowQuotas,
        Self::ShowBackupPolicy,
        Self::SetBackupPolicy,
        Self::ListProjects,
        Self::ListDomains,
        Self::IssueToken,
        Self::MetadataToken,
        Self::SecurityKey,
        Self::Metadata,
    ];

    /// As a rule's text names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::ListInstances => "list_instances",
            Self::ListBackups => "list_backups",
            Self::ListRetained => "list_retained",
            Self::DeleteBatch => "delete_batch",
            Self::DeleteOne => "delete_one",
            Self::CreateBackup => "create_backup",
            Self::DeleteInstance => "delete_instance",
            Self::ListRetainPolicies => "list_retain_policies",
            Self::ListTasks => "list_tasks",
            Self::ShowQuotas => "show_quotas",
            Self::ShowBackupPolicy => "show_backup_policy",
            Self::SetBackupPolicy => "set_backup_policy",
            Self::ListProjects => "list_projects",
            Self::ListDomains => "list_domains",
            Self::IssueToken => "issue_token",
            Self::MetadataToken => "metadata_token",
            Self::SecurityKey => "security_key",
            Self::Metadata => "metadata",
        }
    }

    /// Whether IAM would answer it; its errors look different.
    pub(super) fn is_iam(self) -> bool {
        matches!(self, Self::ListProjects | Self::ListDomains | Self::IssueToken)
    }

    /// Whether it is the metadata service's, which is served without a signature.
    pub(super) fn is_metadata(self) -> bool {
        matches!(self, Self::MetadataToken | Self::SecurityKey | Self::Metadata)
    }
}

/// What the body of an answer is replaced by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyKind {
    /// The documented JSON.
    Documented,
    /// A page of HTML, as a firewall in front sends.
    Html,
    /// Nothing.
    Empty,
    /// Text that is no JSON.
    Text,
    /// The JSON, its second half missing, in an otherwise complete answer.
    HalfJson,
}

/// What `Date` an answer carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DateFault {
    /// None.
    Missing,
    /// No date at all.
    Garbage,
    /// So many seconds ahead (or behind, when negative).
    Off(i64),
}

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FaultKind {
    /// This status; with `done`, after the work was done.
    Status {
        /// Any status from 100 to 599 that carries an answer.
        status: u16,
        /// The `Retry-After` header, seconds or a date.
        retry_after: Option<String>,
        /// The error code instead of the usual one of this status.
        code: Option<String>,
        /// What the body looks like.
        body: BodyKind,
        /// Whether the service does the work first.
        done: bool,
    },
    /// The answer is late; with `done`, the work is not.
    Delay {
        /// By how much.
        by: Duration,
        /// Whether the work is done before the wait.
        done: bool,
    },
    /// The connection is closed without an answer; with `done`, after the work was done.
    Reset {
        /// Whether the service does the work first.
        done: bool,
    },
    /// Status 200, the work done, and this body.
    Body(BodyKind),
    /// The connection is cut after so many bytes of the body.
    Truncate(usize),
    /// Sixteen bytes of the body, a pause, sixteen bytes more.
    Drip(Duration),
    /// So many blanks in front of the body.
    Huge(usize),
    /// The entries come in another order.
    Shuffle,
    /// The first entries are left out; the count is not corrected.
    Missing(usize),
    /// An unknown entry is added; the count is not corrected.
    Extra,
    /// The first entry comes twice.
    Duplicate,
    /// The first entry of a page of backups claims another instance.
    ForeignInstance,
    /// The first entry of a page of backups is automated (`Db` when retained).
    ForeignType,
    /// The count is off by so many.
    Count(i64),
    /// The count is not sent.
    NoCount,
    /// Every page but the first begins so many entries later (earlier, when negative), as if the list had changed
    /// between two pages; the count changes with it.
    Shift(i64),
    /// The `Date` header.
    Date(DateFault),
    /// A deletion is answered as accepted, and nothing is deleted.
    Ignore,
    /// A batch answers this code and message for its backups (of the rule's backup only, when it names one) and does
    /// not delete them.
    Result {
        /// The `error_code` of the item.
        code: String,
        /// The `error_msg` of the item.
        message: String,
    },
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Of this operation only.
    pub operation: Option<Op>,
    /// Of requests that name this instance only.
    pub instance: Option<String>,
    /// Of requests to delete this backup (perhaps among others) only.
    pub backup: Option<String>,
    /// So many matching requests pass first.
    pub after: usize,
    /// Then it applies so many times; none: for ever.
    pub times: Option<usize>,
    /// What goes wrong.
    pub kind: FaultKind,
}

impl Fault {
    /// A rule for every request of an operation.
    pub fn on(operation: Op, kind: FaultKind) -> Self {
        Self {
            operation: Some(operation),
            instance: None,
            backup: None,
            after: 0,
            times: None,
            kind,
        }
    }

    /// A rule for every request.
    pub fn everywhere(kind: FaultKind) -> Self {
        Self {
            operation: None,
            instance: None,
            backup: None,
            after: 0,
            times: None,
            kind,
        }
    }

    /// Applies so many times.
    #[must_use]
    pub fn times(mut self, times: usize) -> Self {
        self.times = Some(times);
        self
    }

    /// Lets so many matching requests pass first.
    #[must_use]
    pub fn after(mut self, after: usize) -> Self {
        self.after = after;
        self
    }

    /// Only where this instance is named.
    #[must_use]
    pub fn instance(mut self, instance: &str) -> Self {
        self.instance = Some(instance.to_owned());
        self
    }

    /// Only where this backup is to be deleted.
    #[must_use]
    pub fn backup(mut self, backup: &str) -> Self {
        self.backup = Some(backup.to_owned());
        self
    }
}

impl FaultKind {
    /// A status with the documented body, without doing the work.
    pub fn status(status: u16) -> Self {
        Self::Status {
            status,
            retry_after: None,
            code: None,
            body: BodyKind::Documented,
            done: false,
        }
    }

    /// Status 429 with this `Retry-After`.
    pub fn throttled(retry_after: Option<&str>) -> Self {
        let retry_after = retry_after.map(str::to_owned);
        Self::Status {
            status: 429,
            retry_after,
            code: None,
            body: BodyKind::Documented,
            done: false,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operation = self.operation.map_or("*", Op::name);
        write!(formatter, "{operation}: {:?}", self.kind)
    }
}

/// A rule's text cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FaultError {
    /// The part before the first colon is no operation.
    #[error("`{0}` is no operation; write `*` or one of: {names}", names = Op::ALL.map(Op::name).join(", "))]
    Operation(String),
    /// There is nothing after the operation.
    #[error("`{0}` says where but not what goes wrong, as in `list_backups:status=503:times=2`")]
    NoKind(String),
    /// An unknown word.
    #[error("`{0}` is no fault and no condition")]
    Word(String),
    /// A word whose value is missing or wrong.
    #[error("`{word}` needs {expected}")]
    Value {
        /// As typed.
        word: String,
        /// What it should have been.
        expected: &'static str,
    },
}

/// A rule and what is left of it.
#[derive(Debug)]
struct Rule {
    fault: Fault,
    seen: usize,
    applied: usize,
}

/// The rules in force. Shared with the running server: a change counts from the next request on.
#[derive(Debug, Default)]
pub struct Faults {
    rules: Mutex<Vec<Rule>>,
    end_of_delays: Notify,
}

impl Faults {
    /// Adds a rule.
    pub fn add(&self, fault: Fault) {
        self.rules().push(Rule {
            fault,
            seen: 0,
            applied: 0,
        });
    }

    /// Takes all rules away.
    pub fn clear(&self) {
        self.rules().clear();
    }

    /// Lets those requests go on that a delay holds now.
    pub fn end_delays(&self) {
        self.end_of_delays.notify_waiters();
    }

    /// Holds a request for so long, or until [`Self::end_delays`].
    pub(super) async fn delay(&self, by: Duration) {
        tokio::select! {
            () = tokio::time::sleep(by) => {}
            () = self.end_of_delays.notified() => {}
        }
    }

    /// How many times rules have applied since they were added; cleared rules are not counted.
    pub fn applied(&self) -> usize {
        self.rules().iter().map(|rule| rule.applied).sum()
    }

    /// The rules that apply to this request; counts it.
    pub(super) fn matching(&self, operation: Option<Op>, instance: Option<&str>, backups: &[String]) -> Vec<Fault> {
        let mut applying = Vec::new();
        for rule in self.rules().iter_mut() {
            let fault = &rule.fault;
            let here = fault.operation.is_none_or(|wanted| operation == Some(wanted))
                && fault.instance.as_deref().is_none_or(|wanted| instance == Some(wanted))
                && fault.backup.as_ref().is_none_or(|wanted| backups.contains(wanted));
            if !here {
                continue;
            }
            rule.seen += 1;
            if rule.seen > fault.after && fault.times.is_none_or(|times| rule.applied < times) {
                rule.applied += 1;
                applying.push(fault.clone());
            }
        }
        applying
    }

    fn rules(&self) -> std::sync::MutexGuard<'_, Vec<Rule>> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
