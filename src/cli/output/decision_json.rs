//! One decision as JSON, exactly as the contract names its members (section 3), and what reports share with other answers:
//! instants and reasons.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::super::sentences::timestamp;
use crate::retention::report::{Action, Outcome, Row};
use crate::retention::{BackupId, ExpireReason, Fate, Hold, InstanceId, KeepReason, KeptBy, ProjectName, Series};

/// An instant to the second, with `Z`.
pub(in crate::cli) struct Stamp(pub(in crate::cli) DateTime<Utc>);

impl Serialize for Stamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&timestamp(self.0))
    }
}

/// One decision. What became of the backup comes last, so that it can be added to one that was told before ([`FateJson`]).
#[derive(Serialize)]
pub(in crate::cli) struct DecisionJson<'a> {
    project: &'a ProjectName,
    instance_id: &'a InstanceId,
    instance_name: &'a str,
    backup_id: &'a BackupId,
    backup_name: &'a str,
    begin_time: Option<Stamp>,
    size_bytes: u64,
    status: &'a str,
    decision: &'static str,
    reasons: Reasons<'a>,
    expires_at: Option<Stamp>,
    // Beyond the contract: of a waiting one, when its grace began and when it will be over.
    #[serde(skip_serializing_if = "Option::is_none")]
    grace_since: Option<Stamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    due_at: Option<Stamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorJson<'a>>,
}

impl<'a> DecisionJson<'a> {
    pub(in crate::cli) fn of(row: &'a Row) -> Self {
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
            begin_time: row.backup.begin.map(Stamp),
            size_bytes: row.backup.size_bytes,
            status: row.backup.status.as_str(),
            decision: row.action.key(),
            reasons: Reasons::of(&row.action),
            expires_at: row.expires_at.map(Stamp),
            grace_since: grace_since.map(Stamp),
            due_at: due_at.map(Stamp),
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

/// Why a backup is kept, or may go.
pub(in crate::cli) enum Reasons<'a> {
    None,
    Keep(&'a [KeepReason]),
    Expire(ExpireReason),
}

impl<'a> Reasons<'a> {
    pub(in crate::cli) fn of(action: &'a Action) -> Self {
        match action {
            Action::Keep(reasons) => Self::Keep(reasons),
            Action::Wait { reason, .. } | Action::Delete(reason) => Self::Expire(*reason),
        }
    }
}

impl Serialize for Reasons<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::None => serializer.collect_seq(std::iter::empty::<ReasonJson<'_>>()),
            Self::Keep(reasons) => serializer.collect_seq(reasons.iter().map(ReasonJson::of)),
            Self::Expire(reason) => serializer.collect_seq([ReasonJson::plain(Cow::Borrowed(reason.key()))]),
        }
    }
}

#[derive(Serialize)]
struct ReasonJson<'a> {
    rule: Cow<'a, str>,
    slot: Option<u32>,
    series: Option<SeriesJson<'a>>,
    oldest: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    hold: Option<HoldReason<'a>>,
}

impl<'a> ReasonJson<'a> {
    fn of(reason: &'a KeepReason) -> Self {
        let hold = match &reason.keeper {
            KeptBy::Hold(hold) => Some(HoldReason(hold)),
            _ => None,
        };
        Self {
            rule: rule(&reason.keeper),
            slot: reason.slot,
            series: reason.series.as_ref().map(SeriesJson),
            oldest: reason.oldest,
            hold,
        }
    }

    fn plain(rule: Cow<'a, str>) -> Self {
        Self {
            rule,
            slot: None,
            series: None,
            oldest: false,
            hold: None,
        }
    }
}

/// The contract's name of what keeps a backup.
fn rule(keeper: &KeptBy) -> Cow<'static, str> {
    Cow::Borrowed(match keeper {
        KeptBy::Rule(rule) => rule.key(),
        KeptBy::Names => "names",
        KeptBy::Hold(_) => "hold",
        KeptBy::Floor => "floor",
        KeptBy::InProgress => "in_progress",
        KeptBy::UnknownStatus => "unknown_status",
        KeptBy::UnknownEngine => "unknown_engine",
        KeptBy::UnknownTime => "unknown_time",
        KeptBy::FutureDated => "future_dated",
        KeptBy::Changed => "changed",
        KeptBy::Contested => "contested",
        KeptBy::TooNewFailed => "too_new_failed",
        KeptBy::Policy(name) => return Cow::Owned(format!("policy:{name}")),
    })
}

struct SeriesJson<'a>(&'a Series);

impl Serialize for SeriesJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Series::Full => serializer.serialize_str("full"),
            Series::Database(name) => serializer.collect_str(&format_args!("database:{name}")),
        }
    }
}

/// The hold that keeps a backup. Written by hand: the derived form of [`Hold`] is the ledger's, with its own precision.
struct HoldReason<'a>(&'a Hold);

impl Serialize for HoldReason<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(4))?;
        map.serialize_entry("id", &self.0.id)?;
        map.serialize_entry("reason", &self.0.reason)?;
        map.serialize_entry("owner", &self.0.owner)?;
        map.serialize_entry("until", &self.0.until.map(Stamp))?;
        map.end()
    }
}
