//! A backup that is due.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::retention::{BackupId, BackupStatus, ExpireReason, Instance};

/// A backup that is due: expired under a policy, its grace over, no other policy keeping it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The instance it belongs to.
    pub instance: Arc<Instance>,
    /// Its id.
    pub id: BackupId,
    /// Its name.
    pub name: Arc<str>,
    /// Its `begin_time`.
    pub begin: DateTime<Utc>,
    /// Its size.
    pub size_bytes: u64,
    /// COMPLETED or FAILED.
    pub status: BackupStatus,
    /// Why it expired.
    pub reason: ExpireReason,
}
