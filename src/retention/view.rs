//! Values as JSON, with the members that the contract names (section 3): what several of those that are shown share.
//!
//! The derived forms of some of these values are the ledger's, which differ.

use std::borrow::Cow;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use serde::ser::{SerializeStruct, Serializer};

use super::report::{Action, Summary};
use super::{
    Backup, BackupId, ExpireReason, Hold, Instance, InstanceId, KeepReason, KeptBy, ProjectName, Series, Verdict,
};

/// An instant to the second, with `Z`.
#[derive(Clone, Copy, Debug)]
pub struct JsonTime(pub DateTime<Utc>);

impl Serialize for JsonTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.to_rfc3339_opts(SecondsFormat::Secs, true))
    }
}

/// For `serialize_with`: a [`JsonTime`].
pub fn stamp<S: Serializer>(at: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    JsonTime(*at).serialize(serializer)
}

/// For `serialize_with`: a [`JsonTime`] or `null`.
pub fn stamp_or_null<S: Serializer>(at: &Option<DateTime<Utc>>, serializer: S) -> Result<S::Ok, S::Error> {
    at.map(JsonTime).serialize(serializer)
}

/// A backup and where it is.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct BackupView<'a> {
    project: &'a ProjectName,
    instance_id: &'a InstanceId,
    instance_name: &'a str,
    backup_id: &'a BackupId,
    backup_name: &'a str,
    begin_time: Option<JsonTime>,
    size_bytes: u64,
    status: &'a str,
}

impl<'a> BackupView<'a> {
    /// Of a backup of an instance.
    pub fn of(instance: &'a Instance, backup: &'a Backup) -> Self {
        Self {
            project: &instance.project,
            instance_id: &instance.id,
            instance_name: &instance.name,
            backup_id: &backup.id,
            backup_name: &backup.name,
            begin_time: backup.begin.map(JsonTime),
            size_bytes: backup.size_bytes,
            status: backup.status.as_str(),
        }
    }
}

/// A policy's decisions in numbers: how many, and how large.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct SummaryView {
    keep: u64,
    wait: u64,
    delete: u64,
    bytes: FateBytes,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct FateBytes {
    keep: u64,
    wait: u64,
    delete: u64,
}

impl From<Summary> for SummaryView {
    fn from(Summary { keep, wait, delete }: Summary) -> Self {
        Self {
            keep: keep.count,
            wait: wait.count,
            delete: delete.count,
            bytes: FateBytes {
                keep: keep.bytes,
                wait: wait.bytes,
                delete: delete.bytes,
            },
        }
    }
}

/// Why a backup is kept, or may go: a list of reasons.
#[derive(Clone, Copy, Debug)]
pub enum Reasons<'a> {
    /// No policy decides on it.
    None,
    /// Kept.
    Keep(&'a [KeepReason]),
    /// Expired.
    Expire(ExpireReason),
}

impl<'a> Reasons<'a> {
    /// Of a decision with grace taken into account.
    pub fn of_action(action: &'a Action) -> Self {
        match action {
            Action::Keep(reasons) => Self::Keep(reasons),
            Action::Wait { reason, .. } | Action::Delete(reason) => Self::Expire(*reason),
        }
    }

    /// Of a policy's decision.
    pub fn of_verdict(verdict: &'a Verdict) -> Self {
        match verdict {
            Verdict::Keep(reasons) => Self::Keep(reasons),
            Verdict::Expire(reason) => Self::Expire(*reason),
        }
    }
}

impl Serialize for Reasons<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::None => serializer.collect_seq([(); 0]),
            Self::Keep(reasons) => serializer.collect_seq(*reasons),
            Self::Expire(reason) => serializer.collect_seq([Reason {
                rule: Cow::Borrowed(reason.key()),
                slot: None,
                series: None,
                oldest: false,
                hold: None,
            }]),
        }
    }
}

#[derive(Serialize)]
struct Reason<'a> {
    rule: Cow<'a, str>,
    slot: Option<u32>,
    series: Option<&'a Series>,
    oldest: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    hold: Option<HoldReason<'a>>,
}

impl Serialize for KeepReason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let hold = match &self.keeper {
            KeptBy::Hold(hold) => Some(HoldReason(hold)),
            _ => None,
        };
        let reason = Reason {
            rule: rule(&self.keeper),
            slot: self.slot,
            series: self.series.as_ref(),
            oldest: self.oldest,
            hold,
        };
        reason.serialize(serializer)
    }
}

/// The names that a reason can have, but `policy:NAME`: of keeping and of letting go.
pub const REASON_NAMES: [&str; 30] = [
    "last",
    "hourly",
    "daily",
    "weekly",
    "monthly",
    "quarterly",
    "yearly",
    "within",
    "within_hourly",
    "within_daily",
    "within_weekly",
    "within_monthly",
    "within_quarterly",
    "within_yearly",
    "names",
    "hold",
    "floor",
    "in_progress",
    "unknown_status",
    "unknown_engine",
    "unknown_time",
    "future_dated",
    "changed",
    "contested",
    "in_use",
    "too_new_failed",
    "not_kept",
    "max_age",
    "failed",
    "instance_deleted",
];

/// The contract's name of what keeps a backup.
pub fn rule(keeper: &KeptBy) -> Cow<'static, str> {
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
        KeptBy::InUse => "in_use",
        KeptBy::TooNewFailed => "too_new_failed",
        KeptBy::Policy(name) => return Cow::Owned(format!("policy:{name}")),
    })
}

impl Serialize for Series {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Full => serializer.serialize_str("full"),
            Self::Database(name) => serializer.collect_str(&format_args!("database:{name}")),
        }
    }
}

/// The hold that keeps a backup. The derived form of [`Hold`] is the ledger's, with its own precision.
struct HoldReason<'a>(&'a Hold);

impl Serialize for HoldReason<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut hold = serializer.serialize_struct("Hold", 4)?;
        hold.serialize_field("id", &self.0.id)?;
        hold.serialize_field("reason", &self.0.reason)?;
        hold.serialize_field("owner", &self.0.owner)?;
        hold.serialize_field("until", &self.0.until.map(JsonTime))?;
        hold.end()
    }
}
