//! A policy's decisions with grace taken into account, one by one and in numbers.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::outcome::Fate;
use crate::retention::{Backup, ExpireReason, Instance, KeepReason};

/// A number of backups and their size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// How many.
    pub count: u64,
    /// Their size.
    pub bytes: u64,
}

impl Tally {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Counts one more.
    pub fn add(&mut self, bytes: u64) {
        self.count += 1;
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Counts one less.
    pub fn take(&mut self, bytes: u64) {
        self.count = self.count.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            count: self.count + other.count,
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }
}

/// A policy's decisions in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Kept.
    pub keep: Tally,
    /// Expired, their grace not over.
    pub wait: Tally,
    /// Due.
    pub delete: Tally,
}

impl Summary {
    /// The number in which such a decision is counted.
    pub fn of(&mut self, action: &Action) -> &mut Tally {
        match action {
            Action::Keep(_) => &mut self.keep,
            Action::Wait { .. } => &mut self.wait,
            Action::Delete(_) => &mut self.delete,
        }
    }

    /// How many backups were decided on.
    pub fn count(&self) -> u64 {
        self.keep.count + self.wait.count + self.delete.count
    }
}

/// A decision with grace taken into account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// It stays.
    Keep(Vec<KeepReason>),
    /// It expired; its grace is not over.
    Wait {
        /// Why it expired.
        reason: ExpireReason,
        /// When its grace began; `None` where no run has begun it (plan, dry-run).
        since: Option<DateTime<Utc>>,
        /// When its grace will be over, counted from now where it has not begun.
        due_at: Option<DateTime<Utc>>,
    },
    /// It is due.
    Delete(ExpireReason),
}

impl Action {
    /// The name in reports and metrics.
    pub fn key(&self) -> &'static str {
        match self {
            Self::Keep(_) => "keep",
            Self::Wait { .. } => "wait",
            Self::Delete(_) => "delete",
        }
    }
}

/// One backup in a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupRow {
    /// Its instance.
    pub instance: Arc<Instance>,
    /// The backup.
    pub backup: Backup,
    /// What happens to it.
    pub action: Action,
    /// When a kept one would expire if nothing else changed.
    pub expires_at: Option<DateTime<Utc>>,
    /// What became of it, if it was sent. Shared, for most of a run's ids have one of a few fates.
    pub fate: Option<Arc<Fate>>,
}

/// One policy's decisions on one instance in numbers.
#[derive(Clone, Debug)]
pub struct InstanceSummary {
    /// The instance.
    pub instance: Arc<Instance>,
    /// The decisions in numbers.
    pub summary: Summary,
    /// When the oldest kept backup was begun; `None` where none is kept that says when.
    pub oldest_kept: Option<DateTime<Utc>>,
}

impl InstanceSummary {
    /// Of an instance of which nothing was decided yet.
    pub fn new(instance: Arc<Instance>) -> Self {
        Self {
            instance,
            summary: Summary::default(),
            oldest_kept: None,
        }
    }

    /// Counts one decision.
    pub fn add(&mut self, action: &Action, backup: &Backup) {
        self.summary.of(action).add(backup.size_bytes);
        if matches!(action, Action::Keep(_)) {
            self.oldest_kept = [self.oldest_kept, backup.begin].into_iter().flatten().min();
        }
    }
}
