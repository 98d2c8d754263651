//! What the chain says the tables beside it should hold, so that `audit verify` also finds a change made there.
//!
//! Deletions are compared by a sum that no order changes: each (backup, request, state) adds its hash when it begins and
//! takes it away when it ends. So verifying needs no memory for a year of deletions.

use std::collections::BTreeMap;

use rusqlite::Transaction;
use sha2::{Digest, Sha256};

use super::Error;
use super::chain::Kind;
use super::confirm::SettledBody;
use super::holds::{FreezeBody, HoldBody, ReleaseBody};
use super::past::DeletionState;
use super::requests::{IntentBody, OutcomeBody, state_of};
use super::runs::RunFinishedBody;
use crate::retention::{BackupId, Hold};

#[derive(Default)]
pub(super) struct Replay {
    deletions: u128,
    results: u128,
    /// By number: the hold, and whether it was released.
    holds: BTreeMap<i64, (Hold, bool)>,
    freeze: Option<FreezeBody>,
}

/// A number that stands for these fields.
fn mark(fields: &[&str]) -> u128 {
    let mut digest = Sha256::new();
    for field in fields {
        digest.update((field.len() as u64).to_be_bytes());
        digest.update(field.as_bytes());
    }
    let digest = digest.finalize();
    digest
        .iter()
        .take(16)
        .fold(0, |number, byte| (number << 8) | u128::from(*byte))
}

fn deletion(backup: &BackupId, request: i64, state: DeletionState) -> u128 {
    mark(&[backup.as_str(), &request.to_string(), state.as_str()])
}

impl Replay {
    pub(super) fn take(&mut self, seq: i64, kind: &str, body: &str) -> Result<(), Error> {
        let Some(kind) = Kind::parse(kind) else {
            return Err(Error::corrupt(format!("unknown kind {kind:?}")));
        };
        match kind {
            Kind::Intent => {
                let body: IntentBody = serde_json::from_str(body)?;
                for item in &body.items {
                    self.enter(&item.backup, seq, DeletionState::Intended);
                    for (request, was) in &item.resends {
                        self.change(&item.backup, *request, *was, DeletionState::Resent);
                    }
                }
            }
            Kind::Outcome => {
                let body: OutcomeBody = serde_json::from_str(body)?;
                for item in &body.outcomes {
                    let now = state_of(&item.outcome);
                    self.change(&item.backup, body.request, DeletionState::Intended, now);
                }
            }
            Kind::Confirmed | Kind::Returned => {
                let now = match kind {
                    Kind::Confirmed => DeletionState::Confirmed,
                    _ => DeletionState::Returned,
                };
                let body: SettledBody = serde_json::from_str(body)?;
                for item in &body.backups {
                    self.change(&item.backup, item.request, item.was, now);
                }
            }
            Kind::RunFinished => {
                let body: RunFinishedBody = serde_json::from_str(body)?;
                for policy in &body.policies {
                    let result = mark(&[&body.run, policy.policy.as_str(), &policy.result]);
                    self.results = self.results.wrapping_add(result);
                }
            }
            Kind::Hold => {
                let body: HoldBody = serde_json::from_str(body)?;
                self.holds.insert(body.number, (body.hold, false));
            }
            Kind::Release => {
                let body: ReleaseBody = serde_json::from_str(body)?;
                if let Some(hold) = self.holds.get_mut(&body.number) {
                    hold.1 = true;
                }
            }
            Kind::Freeze => self.freeze = Some(serde_json::from_str(body)?),
            Kind::Thaw => self.freeze = None,
            Kind::Created | Kind::RunBegun | Kind::Approve | Kind::ApproveListing => {}
        }
        Ok(())
    }

    fn enter(&mut self, backup: &BackupId, request: i64, state: DeletionState) {
        self.deletions = self.deletions.wrapping_add(deletion(backup, request, state));
    }

    fn change(&mut self, backup: &BackupId, request: i64, was: DeletionState, now: DeletionState) {
        self.deletions = self.deletions.wrapping_sub(deletion(backup, request, was));
        self.enter(backup, request, now);
    }

    /// The first table that does not hold what the chain says.
    pub(super) fn difference(&self, tx: &Transaction<'_>) -> Result<Option<String>, Error> {
        let mut deletions: u128 = 0;
        let mut statement = tx.prepare("SELECT backup, request, state FROM deletion")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (backup, request, state): (String, i64, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
            deletions = deletions.wrapping_add(mark(&[&backup, &request.to_string(), &state]));
        }
        if deletions != self.deletions {
            return Ok(Some("the table of deletions is not what the chain says".to_owned()));
        }
        let mut results: u128 = 0;
        let mut statement = tx.prepare("SELECT run, policy, result FROM run_policy WHERE result IS NOT NULL")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (run, policy, result): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
            results = results.wrapping_add(mark(&[&run, &policy, &result]));
        }
        if results != self.results {
            return Ok(Some("the table of runs is not what the chain says".to_owned()));
        }
        let holds: BTreeMap<i64, (Hold, bool)> = super::holds::all(tx)?
            .into_iter()
            .map(|(number, placed)| (number, (placed.hold, placed.released_at.is_some())))
            .collect();
        if holds != self.holds {
            return Ok(Some("the table of holds is not what the chain says".to_owned()));
        }
        let freeze = super::holds::frozen(tx)?.map(|placed| placed.freeze);
        let expected = self.freeze.as_ref().map(|body| body.freeze.clone());
        if freeze != expected {
            return Ok(Some("the freeze is not what the chain says".to_owned()));
        }
        Ok(None)
    }
}
