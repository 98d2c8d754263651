//! What a policy decides of a backup, and why.

use chrono::{DateTime, Utc};

use super::series::Series;
use crate::retention::{Backup, BackupStatus, Hold, KeepRule, PolicyName};

/// What keeps a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeptBy {
    /// A keep rule of the policy.
    Rule(KeepRule),
    /// `keep.names`.
    Names,
    /// A hold.
    Hold(Box<Hold>),
    /// `min_backups`. Named only where nothing else keeps the backup.
    Floor,
    /// BUILDING or DELETING.
    InProgress,
    /// An unknown status or type, databases that are not known, or no name.
    UnknownStatus,
    /// An engine that is not known, not the instance's, or not one that the policy selects.
    UnknownEngine,
    /// A `begin_time` that cannot be read or believed, or the missing end of a COMPLETED backup.
    UnknownTime,
    /// Dated more than five minutes ahead.
    FutureDated,
    /// It says something else than an earlier run saw of it.
    Changed,
    /// Two instances list it.
    Contested,
    /// A restore reads it.
    InUse,
    /// FAILED, but not long enough ago, or with no newer COMPLETED one.
    TooNewFailed,
    /// Another policy that selects it and keeps it.
    Policy(PolicyName),
}

/// One reason for keeping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeepReason {
    /// What keeps it.
    pub keeper: KeptBy,
    /// Which of the rule's slots it fills, from 1.
    pub slot: Option<u32>,
    /// In which series.
    pub series: Option<Series>,
    /// Kept as the oldest of its series while the rule has slots left.
    pub oldest: bool,
}

impl KeepReason {
    /// By this hold.
    pub fn hold(hold: Hold) -> Self {
        Self::of(KeptBy::Hold(Box::new(hold)))
    }

    pub(super) fn of(keeper: KeptBy) -> Self {
        Self {
            keeper,
            slot: None,
            series: None,
            oldest: false,
        }
    }
}

/// Why a backup may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExpireReason {
    /// No rule keeps it.
    NotKept,
    /// Older than `max_age`, whatever the rules say.
    MaxAge,
    /// FAILED long enough ago.
    Failed,
    /// Its instance is deleted and `expire_after` is over.
    InstanceDeleted,
}

impl ExpireReason {
    /// The reason's name in reports.
    pub fn key(self) -> &'static str {
        match self {
            Self::NotKept => "not_kept",
            Self::MaxAge => "max_age",
            Self::Failed => "failed",
            Self::InstanceDeleted => "instance_deleted",
        }
    }

    /// Whether `max_percent` limits what goes for this reason.
    pub fn is_limited(self) -> bool {
        match self {
            Self::NotKept | Self::MaxAge => true,
            Self::Failed | Self::InstanceDeleted => false,
        }
    }

    /// Reads [`Self::key`].
    pub fn from_key(key: &str) -> Option<Self> {
        [Self::NotKept, Self::MaxAge, Self::Failed, Self::InstanceDeleted]
            .into_iter()
            .find(|reason| reason.key() == key)
    }
}

impl KeptBy {
    /// Whether a backup that this keeps was counted: it took part in the rules and the floor.
    pub fn counts(&self) -> bool {
        matches!(self, Self::Rule(_) | Self::Floor | Self::Policy(_))
    }
}

/// What the policies say of a backup, before grace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It stays; never without a reason.
    Keep(Vec<KeepReason>),
    /// Policy says it may go.
    Expire(ExpireReason),
}

impl Verdict {
    /// Whether the backup is one of those that `max_percent` is a percentage of: COMPLETED, counted by the rules, and not about to
    /// go with all of a deleted instance.
    pub fn is_limited(&self, backup: &Backup) -> bool {
        backup.status == BackupStatus::Completed
            && match self {
                Self::Keep(reasons) => reasons.iter().all(|reason| reason.keeper.counts()),
                Self::Expire(reason) => reason.is_limited(),
            }
    }
}

/// What one policy decides of one backup in its scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Index into the backups that were given.
    pub backup: usize,
    /// The verdict.
    pub verdict: Verdict,
    /// When a kept one would expire if nothing else changed; `None` is never.
    pub expires_at: Option<DateTime<Utc>>,
}
