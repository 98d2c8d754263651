//! Since when a backup has been expired, without a break, under a policy.
//!
//! Plain state, not in the chain: it is lost with the ledger, and then every grace period restarts, which keeps. What
//! restarts one is decided in `run::grace`; here is what that decision needs.

use chrono::{DateTime, Utc};

use super::sql::{Stamp, Tx};
use super::{Error, Ledger};
use crate::retention::{BackupId, Hold, HoldTarget, InstanceId, PolicyName, ProjectName};

/// Names the backup of a grace period: another instance may list the same id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GraceKey<'a> {
    /// Its project.
    pub project: &'a ProjectName,
    /// Its instance.
    pub instance: &'a InstanceId,
    /// Its id.
    pub backup: &'a BackupId,
}

/// A backup whose grace period starts, or restarts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GraceStart<'a> {
    /// Which backup.
    pub key: GraceKey<'a>,
    /// Its name.
    pub name: &'a str,
}

/// A grace period as it was written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GracePeriod {
    /// The backup's project.
    pub project: ProjectName,
    /// Its instance.
    pub instance: InstanceId,
    /// Its id.
    pub backup: BackupId,
    /// Its name when the period started.
    pub name: String,
    /// When it started.
    pub since: DateTime<Utc>,
    /// When an enforcing run last found the backup expired.
    pub seen: DateTime<Utc>,
    /// A hold has covered it since: the next run that finds it expired restarts it.
    pub restarts: bool,
}

/// An instance that an enforcing run has read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GraceSeen<'a> {
    /// Its project.
    pub project: &'a ProjectName,
    /// Its id.
    pub instance: &'a InstanceId,
    /// Those of its backups that were not listed, and when they last were: they were not seen.
    pub absent: &'a [(BackupId, DateTime<Utc>)],
}

/// What a run of a policy changes. A dry run only clears.
#[derive(Clone, Debug, Default)]
pub struct GraceUpdate<'a> {
    /// Expired, and their period starts or restarts.
    pub started: Vec<GraceStart<'a>>,
    /// Kept: the next time they expire it is a new period.
    pub cleared: Vec<GraceKey<'a>>,
    /// Instances whose other periods go on.
    pub seen: Vec<GraceSeen<'a>>,
}

impl Ledger {
    /// The grace periods of a policy.
    pub fn grace(&self, policy: &PolicyName) -> Result<Vec<GracePeriod>, Error> {
        self.read(|tx| {
            let sql = "SELECT project, instance, backup, name, since, seen, restarts FROM grace WHERE policy = ?1";
            tx.all(sql, [policy.as_str()], |row| {
                Ok(GracePeriod {
                    project: ProjectName::from(row.get::<String>(0)?),
                    instance: InstanceId::from(row.get::<String>(1)?),
                    backup: BackupId::from(row.get::<String>(2)?),
                    name: row.get(3)?,
                    since: row.get::<Stamp>(4)?.0,
                    seen: row.get::<Stamp>(5)?.0,
                    restarts: row.get(6)?,
                })
            })
        })
    }

    /// Writes down what a run found. What is held at `now` starts no period: the hold may have been placed after the run
    /// decided.
    pub fn update_grace(&self, policy: &PolicyName, update: &GraceUpdate<'_>, now: DateTime<Utc>) -> Result<(), Error> {
        let GraceUpdate { started, cleared, seen } = update;
        if started.is_empty() && cleared.is_empty() && seen.is_empty() {
            return Ok(());
        }
        self.write(|tx| {
            let policy = policy.as_str();
            let of = seen
                .iter()
                .map(|of| (policy, of.project.as_str(), of.instance.as_str(), Stamp(now)));
            tx.execute_each(
                "UPDATE grace SET seen = ?4 WHERE policy = ?1 AND project = ?2 AND instance = ?3",
                of,
            )?;
            let not_seen = seen.iter().flat_map(|of| {
                let (project, instance) = (of.project.as_str(), of.instance.as_str());
                let absent = of.absent.iter();
                absent.map(move |(backup, at)| (policy, project, instance, backup.as_str(), Stamp(*at)))
            });
            tx.execute_each(
                "UPDATE grace SET seen = ?5 WHERE policy = ?1 AND project = ?2 AND instance = ?3 AND backup = ?4",
                not_seen,
            )?;
            let mut holds = super::holds::active(tx, now)?;
            holds.extend(configured(tx)?.into_iter().filter(|hold| hold.is_active(now)));
            let start = |GraceStart { key, name }: &GraceStart<'_>| {
                let held = |hold: &Hold| hold.covers_names(key.instance.as_str(), key.backup, name);
                !holds.iter().any(held)
            };
            let started = started.iter().filter(|of| start(of)).map(|GraceStart { key, name }| {
                let (project, instance) = (key.project.as_str(), key.instance.as_str());
                (policy, project, instance, key.backup.as_str(), *name, Stamp(now))
            });
            tx.execute_each(
                "INSERT INTO grace (policy, project, instance, backup, name, since, seen) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6) \
                 ON CONFLICT (policy, project, instance, backup) \
                 DO UPDATE SET name = excluded.name, since = excluded.since, seen = excluded.seen, restarts = 0",
                started,
            )?;
            let cleared = cleared
                .iter()
                .map(|key| (policy, key.project.as_str(), key.instance.as_str(), key.backup.as_str()));
            tx.execute_each(
                "DELETE FROM grace WHERE policy = ?1 AND project = ?2 AND instance = ?3 AND backup = ?4",
                cleared,
            )
        })
    }

    /// The instances of what has a grace period under this policy.
    pub fn graced_instances(&self, policy: &PolicyName) -> Result<Vec<(ProjectName, InstanceId)>, Error> {
        self.read(|tx| {
            let sql = "SELECT DISTINCT project, instance FROM grace WHERE policy = ?1 ORDER BY 1, 2";
            tx.all(sql, [policy.as_str()], |row| {
                let project = ProjectName::from(row.get::<String>(0)?);
                Ok((project, InstanceId::from(row.get::<String>(1)?)))
            })
        })
    }

    /// Forgets the grace periods of these instances under a policy that no longer selects them.
    pub fn clear_grace_of(&self, policy: &PolicyName, instances: &[(ProjectName, InstanceId)]) -> Result<(), Error> {
        if instances.is_empty() {
            return Ok(());
        }
        self.write(|tx| {
            let of = instances
                .iter()
                .map(|(project, instance)| (policy.as_str(), project.as_str(), instance.as_str()));
            tx.execute_each(
                "DELETE FROM grace WHERE policy = ?1 AND project = ?2 AND instance = ?3",
                of,
            )
        })
    }

    /// The holds of the configuration that was read last.
    pub fn configured_holds(&self) -> Result<Vec<Hold>, Error> {
        self.read(configured)
    }

    /// Takes in the holds of the configuration, whenever one is read to act by it. Every grace period that they or the
    /// ones before them have covered restarts: a hold may come and go between two runs.
    pub fn note_configured_holds(&self, holds: &[Hold]) -> Result<(), Error> {
        let before = self.configured_holds()?;
        if before.is_empty() && holds.is_empty() {
            return Ok(());
        }
        self.write(|tx| {
            for period in periods(tx)? {
                if before.iter().chain(holds).any(|hold| period.restarts_by(hold)) {
                    period.restart(tx)?;
                }
            }
            tx.execute("DELETE FROM configured_hold", ())?;
            let targets = holds.iter().map(|hold| serde_json::to_string(&hold.target));
            let targets = targets.collect::<Result<Vec<_>, _>>()?;
            tx.execute_each(
                "INSERT INTO configured_hold (target, until) VALUES (?1, ?2)",
                targets
                    .iter()
                    .zip(holds)
                    .map(|(target, hold)| (target, hold.until.map(Stamp))),
            )
        })
    }
}

fn configured(tx: &Tx<'_>) -> Result<Vec<Hold>, Error> {
    tx.all("SELECT target, until FROM configured_hold", (), |row| {
        Ok(Hold {
            id: None,
            target: serde_json::from_str(&row.get::<String>(0)?)?,
            reason: String::new(),
            owner: None,
            until: row.get::<Option<Stamp>>(1)?.map(|at| at.0),
        })
    })
}

/// A period that goes on, whosever it is.
struct GoingOn {
    instance: String,
    backup: BackupId,
    name: String,
    since: DateTime<Utc>,
}

fn periods(tx: &Tx<'_>) -> Result<Vec<GoingOn>, Error> {
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
    fn restarts_by(&self, hold: &Hold) -> bool {
        hold.has_held_after(self.since) && hold.covers_names(&self.instance, &self.backup, &self.name)
    }

    fn restart(&self, tx: &Tx<'_>) -> Result<(), Error> {
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
            [backup.as_str().to_ascii_lowercase()],
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
