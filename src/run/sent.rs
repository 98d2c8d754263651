//! What became of the ids that were approved.

use std::sync::Arc;

use crate::retention::Fate;
use crate::retention::plan::PlannedDeletion;
use crate::retention::report::Skip;

/// One approved id and what became of it.
pub(super) struct SentItem {
    pub(super) planned: PlannedDeletion,
    /// `None`: it was not sent. Shared, for most of a run's ids have one of a few fates.
    pub(super) fate: Option<Arc<Fate>>,
}

/// Everything that was approved, after the sending.
pub(super) struct SendResult {
    pub(super) items: Vec<SentItem>,
    pub(super) skipped: Vec<Skip>,
}
