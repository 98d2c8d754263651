//! One decision as JSON, exactly as the contract names its members (section 3).

use serde::Serialize;

use crate::retention::report::{Action, BackupRow, Outcome};
use crate::retention::view::{JsonTime, Reasons};
use crate::retention::{BackupId, Fate, InstanceId, ProjectName};

/// One decision. What became of the backup comes last, so that it can be added to one that was written before ([`FateJson`]).
#[derive(Serialize)]
pub(in crate::cli) struct DecisionJson<'a> {
    project: &'a ProjectName,
    instance_id: &'a InstanceId,
    instance_name: &'a str,
    backup_id: &'a BackupId,
    backup_name: &'a str,
    begin_time: Option<JsonTime>,
    size_bytes: u64,
    status: &'a str,
    decision: &'static str,
    reasons: Reasons<'a>,
    expires_at: Option<JsonTime>,
    // Beyond the contract: of a waiting one, when its grace began and when it will be over.
    #[serde(skip_serializing_if = "Option::is_none")]
    grace_since: Option<JsonTime>,
    #[serde(skip_serializing_if = "Option::is_none")]
    due_at: Option<JsonTime>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorJson<'a>>,
}

impl<'a> DecisionJson<'a> {
    pub(in crate::cli) fn of(row: &'a BackupRow) -> Self {
        let (grace_since, due_at) = match &row.action {
            Action::Wait { since, due_at, .. } => (*since, *due_at),
            Action::Keep(_) | Action::Delete(_) => (None, None),
        };
        Self {
            project: &row.instance.project,
            instance_id: &row.instance.id,
            instance_name: &row.instance.name,
            backup_id: &row.backup.id,
            backup_name: &row.backup.name,
            begin_time: row.backup.begin.map(JsonTime),
            size_bytes: row.backup.size_bytes,
            status: row.backup.status.as_str(),
            decision: row.action.key(),
            reasons: Reasons::of_action(&row.action),
            expires_at: row.expires_at.map(JsonTime),
            grace_since: grace_since.map(JsonTime),
            due_at: due_at.map(JsonTime),
            outcome: row.fate.as_deref().map(Fate::key),
            error: row.fate.as_deref().and_then(ErrorJson::of),
        }
    }
}

/// What became of a backup that was sent.
#[derive(Serialize)]
pub(in crate::cli) struct FateJson<'a> {
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorJson<'a>>,
}

impl<'a> FateJson<'a> {
    pub(in crate::cli) fn of(fate: &'a Fate) -> Self {
        Self {
            outcome: fate.key(),
            error: ErrorJson::of(fate),
        }
    }
}

#[derive(Serialize)]
struct ErrorJson<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
    message: &'a str,
}

impl<'a> ErrorJson<'a> {
    fn of(fate: &'a Fate) -> Option<Self> {
        match fate {
            Fate::Answered(Outcome::Rejected { code, message }) => Some(Self {
                code: Some(code),
                message,
            }),
            Fate::Answered(Outcome::Unanswered { why }) => Some(Self {
                code: None,
                message: why,
            }),
            Fate::Answered(Outcome::Accepted) | Fate::Confirmed | Fate::Returned => None,
        }
    }
}
