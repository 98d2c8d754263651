//! Since when a backup has been expired, without a break, under a policy.
//!
//! Plain state, not in the chain: it is lost with the ledger, and then every grace begins again, which keeps.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use rusqlite::Transaction;

use super::{Error, Ledger, Stamp};
use crate::retention::{BackupId, Hold, HoldTarget, InstanceId, PolicyName, ProjectName};

/// A backup that an enforcing run found expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GraceStart<'a> {
    /// Its project.
    pub project: &'a ProjectName,
    /// Its instance.
    pub instance: &'a InstanceId,
    /// Its id.
    pub backup: &'a BackupId,
    /// Its name.
    pub name: &'a str,
}

impl Ledger {
    /// Of each backup that has been expired under this policy: since when.
    pub fn grace(&self, policy: &PolicyName) -> Result<HashMap<BackupId, DateTime<Utc>>, Error> {
        self.read(|tx| {
            let mut statement = tx.prepare_cached("SELECT backup, since FROM grace WHERE policy = ?1")?;
            let rows = statement.query_map([policy.as_str()], |row| {
                Ok((BackupId::from(row.get::<_, String>(0)?), row.get::<_, Stamp>(1)?.0))
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// Begins the grace of what is expired and clears that of what is kept. A grace that has begun goes on; one that begins
    /// after `now` was written by a wrong clock, and begins at `now`. What is held at `now` begins none: the hold may have
    /// been placed after the run decided.
    pub fn update_grace(
        &self,
        policy: &PolicyName,
        started: &[GraceStart<'_>],
        cleared: &[BackupId],
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        if started.is_empty() && cleared.is_empty() {
            return Ok(());
        }
        self.write(|tx| {
            let holds = super::holds::active(tx, now)?;
            let mut insert = tx.prepare_cached(
                "INSERT INTO grace (policy, backup, project, instance, name, since) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
                 ON CONFLICT DO UPDATE SET since = excluded.since WHERE since > excluded.since",
            )?;
            for start in started {
                let held = |hold: &Hold| hold.covers_names(start.instance.as_str(), start.backup, start.name);
                if !holds.iter().any(held) {
                    insert.execute((
                        policy.as_str(),
                        start.backup.as_str(),
                        start.project.as_str(),
                        start.instance.as_str(),
                        start.name,
                        Stamp(now),
                    ))?;
                }
            }
            let mut clear = tx.prepare_cached("DELETE FROM grace WHERE policy = ?1 AND backup = ?2")?;
            for backup in cleared {
                clear.execute((policy.as_str(), backup.as_str()))?;
            }
            Ok(())
        })
    }

    /// The instances of what has a grace under this policy.
    pub fn graced_instances(&self, policy: &PolicyName) -> Result<Vec<(ProjectName, InstanceId)>, Error> {
        self.read(|tx| {
            let mut statement =
                tx.prepare_cached("SELECT DISTINCT project, instance FROM grace WHERE policy = ?1 ORDER BY 1, 2")?;
            let rows = statement.query_map([policy.as_str()], |row| {
                let project = ProjectName::from(row.get::<_, String>(0)?);
                Ok((project, InstanceId::from(row.get::<_, String>(1)?)))
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// Forgets the graces of these instances under a policy that no longer selects them.
    pub fn clear_grace_of(&self, policy: &PolicyName, instances: &[(ProjectName, InstanceId)]) -> Result<(), Error> {
        if instances.is_empty() {
            return Ok(());
        }
        self.write(|tx| {
            let mut clear =
                tx.prepare_cached("DELETE FROM grace WHERE policy = ?1 AND project = ?2 AND instance = ?3")?;
            for (project, instance) in instances {
                clear.execute((policy.as_str(), project.as_str(), instance.as_str()))?;
            }
            Ok(())
        })
    }
}

/// Whether any grace is known: a run without one need not look for that of each of its ids.
pub(super) fn is_any(tx: &Transaction<'_>) -> Result<bool, Error> {
    Ok(tx
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM grace)")?
        .query_row([], |row| row.get(0))?)
}

/// Forgets the grace of a backup under every policy.
pub(super) fn forget(tx: &Transaction<'_>, backup: &BackupId) -> Result<(), Error> {
    tx.prepare_cached("DELETE FROM grace WHERE backup = ?1")?
        .execute([backup.as_str()])?;
    Ok(())
}

/// Forgets the grace of all that a hold covers.
pub(super) fn forget_covered(tx: &Transaction<'_>, hold: &Hold) -> Result<(), Error> {
    if let HoldTarget::Backup(backup) = &hold.target {
        // A hold covers an id in any case. That reads the whole table; holds are rare.
        tx.prepare_cached("DELETE FROM grace WHERE backup = ?1 COLLATE NOCASE")?
            .execute([backup.as_str()])?;
        return Ok(());
    }
    let mut statement = tx.prepare_cached("SELECT DISTINCT backup, instance, name FROM grace")?;
    let rows = statement.query_map([], |row| {
        Ok((
            BackupId::from(row.get::<_, String>(0)?),
            row.get::<_, String>(1)?,
            row.get::<_, String>(2)?,
        ))
    })?;
    let graced: Vec<_> = rows.collect::<Result<_, _>>()?;
    for (backup, instance, name) in graced {
        if hold.covers_names(&instance, &backup, &name) {
            forget(tx, &backup)?;
        }
    }
    Ok(())
}
