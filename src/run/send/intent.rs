//! What comes before a request: everything that it has to wait for, then what could forbid it, read again in the transaction that
//! puts its intent on disk.

use std::collections::HashMap;
use std::sync::Arc;

use super::project::ProjectSender;
use crate::ledger::{IntentResult, LedgerWrite, RequestKey, Written};
use crate::rds::credentials::Fingerprint;
use crate::rds::{DeletionPermit, IntendedAt};
use crate::retention::{BackupId, Batch, Hold, Refusal};
use crate::run::Error;
use crate::run::skip::skip_of;

impl ProjectSender {
    /// Waits for all that a request has to wait for; `None` when nothing may be sent any more.
    pub(super) async fn permit(&self, refused: Option<Fingerprint>) -> Option<DeletionPermit> {
        if self.is_stopped() {
            return None;
        }
        let permit = tokio::select! {
            biased;
            () = self.stop_requested() => None,
            () = tokio::time::sleep_until(self.run.deadline) => None,
            permit = self.client.permit_deletion(refused) => Some(permit),
        };
        match permit {
            Some(Ok(permit)) => Some(permit),
            Some(Err(error)) => {
                self.close_with(skip_of(self.client.project(), None, &error));
                None
            }
            None => {
                self.is_stopped();
                None
            }
        }
    }

    /// Reads again what could forbid the batch and puts its intent on disk, in one transaction: what is held meanwhile is dropped.
    /// `None`: nothing is to be sent.
    pub(super) async fn intend(
        self: &Arc<Self>,
        batch: &mut Batch,
        resends: u32,
        held: &mut HashMap<BackupId, Hold>,
    ) -> Result<Option<(RequestKey, IntendedAt)>, Error> {
        // The answer to another batch may have come meanwhile.
        self.drop_refused(batch);
        if batch.is_empty() {
            return Ok(None);
        }
        let project = Arc::clone(self);
        let may_begin = move || !project.is_stopped();
        let intended = tokio::select! {
            biased;
            intended = self.run.writer.intend(batch.take(), resends + 1, may_begin) => intended?,
            // However slow the disk is: what is on disk after that is withdrawn.
            () = self.stop_requested() => {
                self.is_stopped();
                return Ok(None);
            }
        };
        *batch = intended.batch;
        Ok(match intended.clearance {
            Some(IntentResult::Cleared { request, dropped }) => {
                held.extend(dropped);
                Some((request, intended.at))
            }
            Some(IntentResult::Empty { dropped }) => {
                held.extend(dropped);
                None
            }
            Some(IntentResult::Frozen(freezes)) => {
                self.close_with(self.refused(Refusal::of_freezes(freezes)));
                None
            }
            None => None,
        })
    }

    /// Closes an intent whose request did not begin: nothing was sent.
    pub(super) async fn withdraw(&self, request: RequestKey, ids: usize, why: String) -> Result<(), Error> {
        let run_id = &self.run.id;
        tracing::warn!(run_id, project = %self.client.project(), ids, why, "a deletion request did not begin in time and was withdrawn: nothing was sent");
        let at = crate::clock::now();
        let entry = LedgerWrite::Withdrawal { request, at, why };
        match self.run.writer.enter(entry).await? {
            Written::Withdrawal => Ok(()),
            Written::Answer(_) | Written::Intent(..) => Err(Error::LedgerWriterGone),
        }
    }
}
