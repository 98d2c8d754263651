//! What ends or restarts grace periods besides a run: a hold that covers them, a backup that is gone.

use chrono::{DateTime, Utc};

use super::Error;
use super::sql::Tx;
use super::sql_value::Stamp;
use crate::retention::{BackupId, Hold, HoldTarget, InstanceId};

/// A period that goes on, whosever it is.
pub(super) struct GoingOn {
    instance: String,
    backup: BackupId,
    name: String,
    since: DateTime<Utc>,
}

pub(super) fn periods(tx: &Tx<'_>) -> Result<Vec<GoingOn>, Error> {
    let sql = "SELECT DISTINCT instance, backup, name, since FROM grace WHERE restarts = 0";
    tx.all(sql, (), |row| {
        Ok(GoingOn {
            instance: row.get(0)?,
            backup: BackupId::from(row.get::<String>(1)?),
            name: row.get(2)?,
            since: row.get::<Stamp>(3)?.0,
        })
    })
}

impl GoingOn {
    pub(super) fn restarts_by(&self, hold: &Hold) -> bool {
        hold.has_held_after(self.since) && hold.covers_names(&self.instance, &self.backup, &self.name)
    }

    pub(super) fn restart(&self, tx: &Tx<'_>) -> Result<(), Error> {
        tx.execute(
            "UPDATE grace SET restarts = 1 WHERE backup = ?1 AND instance = ?2 AND since <= ?3",
            (self.backup.as_str(), &self.instance, Stamp(self.since)),
        )?;
        Ok(())
    }
}

/// Whether any grace period is known: a run without one need not look for that of each of its ids.
pub(super) fn is_any(tx: &Tx<'_>) -> Result<bool, Error> {
    Ok(tx.first("SELECT policy FROM grace LIMIT 1", (), |_| Ok(()))?.is_some())
}

/// Forgets the grace periods of a backup of one instance under every policy.
pub(super) fn forget(tx: &Tx<'_>, instance: &InstanceId, backup: &BackupId) -> Result<(), Error> {
    tx.execute(
        "DELETE FROM grace WHERE backup = ?1 AND instance = ?2",
        (backup.as_str(), instance.as_str()),
    )?;
    Ok(())
}

/// The grace periods of all that a hold covers restart when it has ended.
pub(super) fn restart_covered(tx: &Tx<'_>, hold: &Hold) -> Result<(), Error> {
    if let HoldTarget::Backup(backup) = &hold.target {
        // A hold covers an id in any case. That reads the whole table; holds are rare.
        tx.execute(
            "UPDATE grace SET restarts = 1 WHERE lower(backup) = ?1",
            [backup.folded()],
        )?;
        return Ok(());
    }
    for period in periods(tx)? {
        if hold.covers_names(&period.instance, &period.backup, &period.name) {
            period.restart(tx)?;
        }
    }
    Ok(())
}
