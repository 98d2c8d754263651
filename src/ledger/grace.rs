//! Since when a backup has been expired, without a break, under a policy.
//!
//! It is lost with the ledger, and then every grace period restarts, which keeps. The chain says what the table is ([`grace_chain`]).
//! What restarts a period is decided in `run::grace`; here is what that decision needs.

use chrono::{DateTime, Utc};

use super::configured::configured;
use super::grace_chain::{self, Started};
use super::sql::Tx;
use super::sql_value::Stamp;
use super::{Error, Ledger};
use crate::retention::{BackupId, Hold, InstanceId, PolicyName, ProjectName};

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
        if update.started.is_empty() && update.cleared.is_empty() && update.seen.is_empty() {
            return Ok(());
        }
        self.write(|tx| grace_chain::change(tx, now, || write_update(tx, policy, update, now)))
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
    pub fn clear_grace_of(
        &self,
        policy: &PolicyName,
        instances: &[(ProjectName, InstanceId)],
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        if instances.is_empty() {
            return Ok(());
        }
        self.write(|tx| {
            let of = instances
                .iter()
                .map(|(project, instance)| (policy.as_str(), project.as_str(), instance.as_str()));
            grace_chain::change_to_keep(tx, now, || {
                tx.execute_each(
                    "DELETE FROM grace WHERE policy = ?1 AND project = ?2 AND instance = ?3",
                    of,
                )
            })
        })
    }
}

/// Writes what a run found; what started.
fn write_update(
    tx: &Tx<'_>,
    of_policy: &PolicyName,
    GraceUpdate { started, cleared, seen }: &GraceUpdate<'_>,
    now: DateTime<Utc>,
) -> Result<Started, Error> {
    let policy = of_policy.as_str();
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
    let started: Vec<&GraceStart<'_>> = started.iter().filter(|of| start(of)).collect();
    let rows = started.iter().map(|GraceStart { key, name }| {
        let (project, instance) = (key.project.as_str(), key.instance.as_str());
        (policy, project, instance, key.backup.as_str(), *name, Stamp(now))
    });
    tx.execute_each(
        "INSERT INTO grace (policy, project, instance, backup, name, since, seen) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6) \
         ON CONFLICT (policy, project, instance, backup) \
         DO UPDATE SET name = excluded.name, since = excluded.since, seen = excluded.seen, restarts = 0",
        rows,
    )?;
    let cleared = cleared
        .iter()
        .map(|key| (policy, key.project.as_str(), key.instance.as_str(), key.backup.as_str()));
    tx.execute_each(
        "DELETE FROM grace WHERE policy = ?1 AND project = ?2 AND instance = ?3 AND backup = ?4",
        cleared,
    )?;
    Ok(started_of(of_policy, started.into_iter()))
}

/// What starts, as a row has it.
fn started_of<'a>(policy: &PolicyName, starts: impl Iterator<Item = &'a GraceStart<'a>>) -> Started {
    let mut started = Started::new();
    for GraceStart { key, .. } in starts {
        let of_policy = started.entry(policy.clone()).or_default();
        let of_project = of_policy.entry(key.project.clone()).or_default();
        of_project
            .entry(key.instance.clone())
            .or_default()
            .push(key.backup.clone());
    }
    started
}
