//! What became of the ids that were approved.

use std::sync::Arc;

use crate::retention::plan::PlannedDeletion;
use crate::retention::report::Skip;
use crate::retention::{Fate, Hold};

/// One approved id and what became of it.
pub(super) struct SentItem {
    pub(super) planned: PlannedDeletion,
    /// `None`: it was not sent. Shared, for most of a run's ids have one of a few fates.
    pub(super) fate: Option<Arc<Fate>>,
    /// The hold that came meanwhile: it is kept, and has no fate.
    pub(super) held: Option<Box<Hold>>,
}

/// Everything that was approved, after the sending.
pub(super) struct SendResult {
    pub(super) items: Vec<SentItem>,
    pub(super) skipped: Vec<Skip>,
}
