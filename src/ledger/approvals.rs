//! What the guard refused, and what people approved of it.

use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, Utc};
use rusqlite::{OptionalExtension, Transaction};
use serde::{Deserialize, Serialize};

use super::chain::{self, Kind};
use super::{Error, Ledger, Stamp};
use crate::retention::{BackupId, PolicyName};

/// A plan that waits for `approve`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedPlan {
    /// The run that made it.
    pub run: String,
    /// The limits that refused it (`max_deletions`, `max_percent`).
    pub limits: Vec<String>,
    /// The ids that were held back.
    pub backups: Vec<BackupId>,
    /// When.
    pub at: DateTime<Utc>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct ApproveBody {
    pub(super) policy: PolicyName,
    pub(super) backups: Vec<BackupId>,
    pub(super) until: DateTime<Utc>,
    by: String,
}

#[derive(Serialize, Deserialize)]
pub(super) struct ApproveListingBody {
    pub(super) target: String,
    pub(super) until: DateTime<Utc>,
    by: String,
}

/// Every approved id with the end of its approval, in microseconds as the table keeps it.
pub(super) fn all(tx: &Transaction<'_>) -> Result<BTreeMap<(PolicyName, BackupId), i64>, Error> {
    let mut statement = tx.prepare("SELECT policy, backup, until FROM approval")?;
    let rows = statement.query_map([], |row| {
        let policy = PolicyName::from(row.get::<_, String>(0)?);
        let backup = BackupId::from(row.get::<_, String>(1)?);
        Ok(((policy, backup), row.get(2)?))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The same of approved listings.
pub(super) fn all_of_listings(tx: &Transaction<'_>) -> Result<BTreeMap<String, i64>, Error> {
    let mut statement = tx.prepare("SELECT target, until FROM listing_approval")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

impl Ledger {
    /// Remembers what `approve` would approve; replaces what an earlier run of the policy left.
    pub fn record_refused(&self, policy: &PolicyName, refused: &RefusedPlan) -> Result<(), Error> {
        self.write(|tx| {
            tx.prepare_cached(
                "INSERT OR REPLACE INTO refused (policy, run, limits, backups, at) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute((
                policy.as_str(),
                &refused.run,
                serde_json::to_string(&refused.limits)?,
                serde_json::to_string(&refused.backups)?,
                Stamp(refused.at),
            ))?;
            Ok(())
        })
    }

    /// Nothing of the policy waits any more.
    pub fn clear_refused(&self, policy: &PolicyName) -> Result<(), Error> {
        self.write(|tx| {
            tx.prepare_cached("DELETE FROM refused WHERE policy = ?1")?
                .execute([policy.as_str()])?;
            Ok(())
        })
    }

    /// The policy's plan that waits for approval.
    pub fn refused(&self, policy: &PolicyName) -> Result<Option<RefusedPlan>, Error> {
        self.read(|tx| {
            let found: Option<(String, String, String, Stamp)> = tx
                .prepare_cached("SELECT run, limits, backups, at FROM refused WHERE policy = ?1")?
                .query_row([policy.as_str()], |row| {
                    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
                })
                .optional()?;
            let Some((run, limits, backups, Stamp(at))) = found else {
                return Ok(None);
            };
            Ok(Some(RefusedPlan {
                run,
                limits: serde_json::from_str(&limits)?,
                backups: serde_json::from_str(&backups)?,
                at,
            }))
        })
    }

    /// Approves ids of a policy until then.
    pub fn approve_ids(
        &self,
        policy: &PolicyName,
        backups: &[BackupId],
        until: DateTime<Utc>,
        by: &str,
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        self.write(|tx| {
            // Those that ran out say nothing any more; the chain keeps them.
            tx.prepare_cached("DELETE FROM approval WHERE until <= ?1")?
                .execute([Stamp(now)])?;
            let mut insert =
                tx.prepare_cached("INSERT OR REPLACE INTO approval (policy, backup, until) VALUES (?1, ?2, ?3)")?;
            for backup in backups {
                insert.execute((policy.as_str(), backup.as_str(), Stamp(until)))?;
            }
            let body = ApproveBody {
                policy: policy.clone(),
                backups: backups.to_vec(),
                until,
                by: by.to_owned(),
            };
            chain::append(tx, now, Kind::Approve, &body)?;
            Ok(())
        })
    }

    /// The ids of a policy that are approved at `now`.
    pub fn approvals(&self, policy: &PolicyName, now: DateTime<Utc>) -> Result<HashSet<BackupId>, Error> {
        self.read(|tx| {
            let mut statement = tx.prepare_cached("SELECT backup FROM approval WHERE policy = ?1 AND until > ?2")?;
            let rows = statement.query_map((policy.as_str(), Stamp(now)), |row| {
                Ok(BackupId::from(row.get::<_, String>(0)?))
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// Approves the next listing of an instance (by its id) or a project (by its name), however much it shrank.
    /// [`Ledger::believe`] uses the approval up.
    pub fn approve_listing(
        &self,
        target: &str,
        until: DateTime<Utc>,
        by: &str,
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        self.write(|tx| {
            tx.prepare_cached("INSERT OR REPLACE INTO listing_approval (target, until) VALUES (?1, ?2)")?
                .execute((target, Stamp(until)))?;
            let body = ApproveListingBody {
                target: target.to_owned(),
                until,
                by: by.to_owned(),
            };
            chain::append(tx, now, Kind::ApproveListing, &body)?;
            Ok(())
        })
    }

    /// The instance ids and project names whose next listing is approved at `now`.
    pub fn listing_approvals(&self, now: DateTime<Utc>) -> Result<HashSet<String>, Error> {
        self.read(|tx| {
            let mut statement = tx.prepare_cached("SELECT target FROM listing_approval WHERE until > ?1")?;
            let rows = statement.query_map([Stamp(now)], |row| row.get(0))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }
}
