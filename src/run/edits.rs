//! Edits of the configuration that reach a run under way: what they may keep is taken out of each batch before its intent.
//!
//! Not for holds and freeze: the ledger asks for those in the transaction of the intent.

use std::sync::Arc;

use crate::config::Config;
use crate::config::keeping::kept_by_edit;
use crate::retention::Batch;
use crate::retention::kept::KeptByEdit;

/// What the newest configuration may keep of a run's plans; worked out once for each edit.
pub(super) struct Edits {
    began: Arc<Config>,
    newest: Arc<Config>,
    kept: KeptByEdit,
    is_said: bool,
}

impl Edits {
    /// Of a run that began under this configuration.
    pub(super) fn of_run(began: &Arc<Config>) -> Self {
        Self {
            began: Arc::clone(began),
            newest: Arc::clone(began),
            kept: KeptByEdit::default(),
            is_said: false,
        }
    }

    /// Takes note of the newest configuration.
    pub(super) fn look(&mut self, newest: &Arc<Config>) {
        if !Arc::ptr_eq(&self.newest, newest) {
            self.newest = Arc::clone(newest);
            self.kept = kept_by_edit(&self.began, newest);
            self.is_said = false;
        }
    }

    /// Leaves to the next run what it may keep of a batch.
    pub(super) fn drop_kept(&mut self, batch: &mut Batch) {
        let planned = batch.len();
        batch.retain(|planned| !self.kept.keeps(planned));
        if batch.len() < planned && !self.is_said {
            self.is_said = true;
            tracing::warn!(
                sha256 = self.newest.sha256,
                "the configuration was edited: what the edit may keep is left to the next run, and this run goes on with the rest"
            );
        }
    }
}
