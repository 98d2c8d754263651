//! What believed listings said of each backup: later listings, and those of other instances, are compared with it.
//!
//! Plain state, not in the chain. What a backup said first as COMPLETED or FAILED stays until a person accepts something else; a
//! backup that is listed no more is remembered for seven days.

use std::collections::HashMap;
use std::ops::ControlFlow;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

use super::sql::{FoundRow, Tx};
use super::sql_value::Stamp;
use super::{Error, Ledger};
use crate::retention::{Backup, BackupId, BackupStatus, Databases, Doubt, Engine, InstanceId, ProjectName};

/// How long listings are compared with what another instance listed, and with backups that are listed no more.
pub const REMEMBERED: TimeDelta = TimeDelta::days(7);

/// What an instance's listings said of one backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedBackup {
    /// Its name.
    pub name: String,
    /// COMPLETED or FAILED; `None` before either was seen.
    pub status: Option<BackupStatus>,
    /// When it was begun; `None` before a believed time was seen.
    pub begin: Option<DateTime<Utc>>,
    /// When it ended; `None` before an end was seen.
    pub end: Option<DateTime<Utc>>,
    /// Its engine; `None` before it was seen COMPLETED or FAILED.
    pub engine: Option<Engine>,
    /// Which databases it names; unknown before it was seen COMPLETED or FAILED.
    pub databases: Databases,
    /// When it was last listed; `None` while it is.
    pub gone_since: Option<DateTime<Utc>>,
}

impl ObservedBackup {
    /// Whether a backup that is COMPLETED or FAILED says something else now. `names_status` is false for what a deleted instance
    /// left, of which the API gives no status.
    ///
    /// All that decides is compared: another status would make a recovery point of a failed backup or the other way round, another
    /// name may be one that no rule or hold protects.
    pub fn differs(&self, backup: &Backup, names_status: bool) -> bool {
        let micros = |at: Option<DateTime<Utc>>| at.map(|at| at.timestamp_micros());
        let is_known = self.status.is_some();
        let other_name = is_known && !self.name.is_empty() && self.name != *backup.name;
        let other_status = names_status && self.status.as_ref().is_some_and(|status| *status != backup.status);
        let other_begin = self.begin.is_some() && micros(self.begin) != micros(backup.begin);
        let other_end = self.end.is_some() && micros(self.end) != micros(backup.end);
        let other_engine = self.engine.as_ref().is_some_and(|engine| *engine != backup.engine);
        let other_databases = match &self.databases {
            Databases::Unknown => false,
            // An older format did not tell an empty list from none.
            Databases::All if !is_known => !backup.databases.is_full(),
            databases => *databases != backup.databases,
        };
        let is_other = [
            other_name,
            other_status,
            other_begin,
            other_end,
            other_engine,
            other_databases,
        ];
        is_finished(&backup.status) && is_other.contains(&true)
    }

    /// What is remembered after this listing. What a doubtful entry says is not.
    fn after(before: Option<&Self>, backup: &Backup) -> Self {
        let listed = Self {
            name: backup.name.to_string(),
            status: None,
            begin: None,
            end: None,
            engine: None,
            databases: Databases::Unknown,
            gone_since: None,
        };
        let Some(before) = before else {
            // One that changed nothing but how its id is written is not known yet.
            return if is_finished(&backup.status) && backup.doubt != Some(Doubt::Changed) {
                listed.finished(backup)
            } else {
                listed
            };
        };
        let before = Self {
            gone_since: None,
            ..before.clone()
        };
        match (is_finished(&backup.status), backup.doubt.is_some()) {
            (_, true) => before,
            (true, false) => before.finished(backup),
            (false, false) if before.status.is_some() => before,
            (false, false) => Self {
                name: listed.name,
                ..before
            },
        }
    }

    /// What a listing says of a finished backup, as far as it decides, as JSON.
    pub fn said_by(backup: &Backup) -> String {
        let at = |at: Option<DateTime<Utc>>| at.map(|at| at.to_rfc3339_opts(SecondsFormat::AutoSi, true));
        serde_json::json!({
            "name": &*backup.name,
            "status": backup.status.as_str(),
            "begin_time": at(backup.begin),
            "end_time": at(backup.end),
            "engine": backup.engine.as_str(),
            "databases": match &backup.databases {
                Databases::Named(names) => names.iter().map(|name| &**name).collect(),
                Databases::All => serde_json::json!([]),
                Databases::Absent => serde_json::Value::Null,
                Databases::Unreadable => "unreadable".into(),
                Databases::Unknown => "unknown".into(),
            },
        })
        .to_string()
    }

    /// As a finished backup says it; what it does not tell stays as it was.
    fn finished(self, backup: &Backup) -> Self {
        // To the microsecond, as the ledger keeps it.
        let rounded = |at: DateTime<Utc>| DateTime::from_timestamp_micros(at.timestamp_micros());
        Self {
            name: if backup.name.is_empty() {
                self.name
            } else {
                backup.name.to_string()
            },
            status: Some(backup.status.clone()),
            begin: backup.believed_begin().and_then(rounded).or(self.begin),
            end: backup.end.and_then(rounded).or(self.end),
            engine: Some(backup.engine.clone()),
            databases: match &backup.databases {
                Databases::Unknown => self.databases,
                known => known.clone(),
            },
            gone_since: None,
        }
    }
}

/// What is remembered of one instance's backups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remembered {
    /// By backup.
    pub backups: HashMap<BackupId, ObservedBackup>,
    /// When they were last listed.
    pub last: Option<DateTime<Utc>>,
}

fn is_finished(status: &BackupStatus) -> bool {
    matches!(status, BackupStatus::Completed | BackupStatus::Failed)
}

impl Ledger {
    /// What an instance's listings said of its backups.
    pub fn remembered(&self, instance: &InstanceId) -> Result<Remembered, Error> {
        self.read(|tx| {
            let last: Option<Stamp> = tx.value("SELECT at FROM last_listing WHERE instance = ?1", [instance.as_str()])?;
            let sql = "SELECT backup, name, status, begin, databases, gone_since, ended, engine FROM seen_backup WHERE instance = ?1";
            let mut backups = HashMap::new();
            tx.each(sql, [instance.as_str()], |row| {
                let status: Option<String> = row.get(2)?;
                let one = ObservedBackup {
                    name: row.get(1)?,
                    status: status.map(|status| BackupStatus::parse(&status)),
                    begin: row.get::<Option<Stamp>>(3)?.map(|at| at.0),
                    end: row.get::<Option<Stamp>>(6)?.map(|at| at.0),
                    engine: row.get::<Option<String>>(7)?.map(|engine| Engine::parse(&engine)),
                    databases: read_databases(row.get::<Option<String>>(4)?.as_deref())?,
                    gone_since: row.get::<Option<Stamp>>(5)?.map(|at| at.0),
                };
                backups.insert(BackupId::from(row.get::<String>(0)?), one);
                Ok(ControlFlow::Continue(()))
            })?;
            let last = last.map(|at| at.0);
            Ok(Remembered { backups, last })
        })
    }

    /// Every backup that instances list, or listed, but for those of instances that are left out: with the instance, and when that
    /// instance last listed it, as far as runs are over; `None` where that is not known.
    pub fn each_listed(
        &self,
        is_left_out: impl Fn(&InstanceId) -> bool,
        mut each: impl FnMut(&InstanceId, &BackupId, Option<DateTime<Utc>>),
    ) -> Result<(), Error> {
        self.read(|tx| {
            let next = "SELECT s.instance, (SELECT at FROM last_listing l WHERE l.instance = s.instance) FROM seen_backup s \
                 WHERE s.instance > ?1 ORDER BY s.instance LIMIT 1";
            let listed = "SELECT backup, gone_since FROM seen_backup WHERE instance = ?1";
            let mut last = String::new();
            let read = |row: &FoundRow<'_>| Ok((row.get::<String>(0)?, row.get::<Option<Stamp>>(1)?));
            while let Some((instance, at)) = tx.first(next, [&last], read)? {
                last.clone_from(&instance);
                let instance = InstanceId::from(instance);
                if is_left_out(&instance) {
                    continue;
                }
                tx.each(listed, [instance.as_str()], |row| {
                    let (backup, gone_since) = read(row)?;
                    each(&instance, &BackupId::from(backup), gone_since.or(at).map(|at| at.0));
                    Ok(ControlFlow::Continue(()))
                })?;
            }
            Ok(())
        })
    }

    /// Takes in a believed listing of one instance's backups. `before` is what was remembered of them; `now` is none where the clock is
    /// in doubt: then nothing is dated or forgotten. Writes only what changed.
    pub fn remember_backups(
        &self,
        project: &ProjectName,
        instance: &InstanceId,
        listed: &[Backup],
        before: Remembered,
        now: Option<DateTime<Utc>>,
    ) -> Result<(), Error> {
        let Remembered {
            backups: mut gone,
            last,
        } = before;
        let mut changed = Vec::new();
        for backup in listed {
            let before = gone.remove(&backup.id);
            let after = ObservedBackup::after(before.as_ref(), backup);
            if before.as_ref() != Some(&after) {
                changed.push((&backup.id, after));
            }
        }
        // What is gone is noted once, and forgotten in the end. A time ahead of now is no reason to remember it longer.
        let is_due = |said: &ObservedBackup| {
            said.gone_since
                .zip(now)
                .is_some_and(|(since, now)| now - since >= REMEMBERED)
        };
        let is_ahead = |said: &ObservedBackup| said.gone_since.zip(now).is_some_and(|(since, now)| since > now);
        gone.retain(|_, said| said.gone_since.is_none() || is_due(said) || is_ahead(said));
        if changed.is_empty() && gone.is_empty() {
            return Ok(());
        }
        self.write_soon(|tx| {
            note_changed(tx, project, instance, &changed)?;
            let (forgotten, noted): (Vec<_>, Vec<_>) = gone.iter().partition(|(_, said)| is_due(said));
            tx.execute_each(
                "DELETE FROM seen_backup WHERE instance = ?1 AND backup = ?2",
                forgotten.iter().map(|(backup, _)| (instance.as_str(), backup.as_str())),
            )?;
            let since = |said: &ObservedBackup| if is_ahead(said) { now } else { last.or(now) };
            tx.execute_each(
                "UPDATE seen_backup SET gone_since = ?3 WHERE instance = ?1 AND backup = ?2",
                noted
                    .iter()
                    .map(|(backup, said)| (instance.as_str(), backup.as_str(), since(said).map(Stamp))),
            )?;
            match now {
                Some(now) => note_listings(tx, [instance], now),
                None => Ok(()),
            }
        })
    }

    /// Notes when these instances were last listed.
    pub fn remember_listings<'a>(
        &self,
        instances: impl Iterator<Item = &'a InstanceId>,
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        self.write(|tx| {
            // Written by a wrong clock.
            tx.execute("UPDATE last_listing SET at = ?1 WHERE at > ?1", [Stamp(now)])?;
            note_listings(tx, instances, now)
        })
    }

    /// The databases of an instance's backups as seen. One that is missing was never seen: its databases are unknown.
    pub fn seen_databases(&self, instance: &InstanceId) -> Result<HashMap<BackupId, Databases>, Error> {
        let said = self.remembered(instance)?.backups;
        Ok(said
            .into_iter()
            .map(|(backup, said)| (backup, said.databases))
            .collect())
    }
}

fn note_changed(
    tx: &Tx<'_>,
    project: &ProjectName,
    instance: &InstanceId,
    changed: &[(&BackupId, ObservedBackup)],
) -> Result<(), Error> {
    let databases = changed.iter().map(|(_, said)| databases_column(&said.databases));
    let databases = databases.collect::<Result<Vec<_>, _>>()?;
    let rows = changed.iter().zip(&databases).map(|((backup, said), databases)| {
        (
            instance.as_str(),
            backup.as_str(),
            project.as_str(),
            &said.name,
            said.status.as_ref().map(BackupStatus::as_str),
            said.begin.map(Stamp),
            said.end.map(Stamp),
            said.engine.as_ref().map(Engine::as_str),
            databases,
        )
    });
    tx.execute_each(
        "INSERT INTO seen_backup (instance, backup, project, name, status, begin, ended, engine, databases) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (instance, backup) DO UPDATE \
         SET project = excluded.project, name = excluded.name, status = excluded.status, begin = excluded.begin, \
         ended = excluded.ended, engine = excluded.engine, databases = excluded.databases, gone_since = NULL",
        rows,
    )?;
    Ok(())
}

fn note_listings<'a>(
    tx: &Tx<'_>,
    instances: impl IntoIterator<Item = &'a InstanceId>,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    tx.execute_each(
        "INSERT INTO last_listing (instance, at) VALUES (?1, ?2) ON CONFLICT (instance) DO UPDATE SET at = excluded.at",
        instances.into_iter().map(|instance| (instance.as_str(), Stamp(now))),
    )
}

/// A JSON array, empty for a full backup; `null` where there is none, `"?"` where it cannot be read; NULL when they are not known.
fn databases_column(databases: &Databases) -> Result<Option<String>, Error> {
    Ok(match databases {
        Databases::All => Some("[]".to_owned()),
        Databases::Absent => Some("null".to_owned()),
        Databases::Unreadable => Some(UNREADABLE.to_owned()),
        Databases::Named(names) => {
            let names: Vec<&str> = names.iter().map(|name| &**name).collect();
            Some(serde_json::to_string(&names)?)
        }
        Databases::Unknown => None,
    })
}

/// No array, so no list of names.
const UNREADABLE: &str = "\"?\"";

fn read_databases(column: Option<&str>) -> Result<Databases, Error> {
    Ok(match column {
        None => Databases::Unknown,
        // Nearly all of them are one of these.
        Some("null") => Databases::Absent,
        Some(UNREADABLE) => Databases::Unreadable,
        Some("[]") => Databases::All,
        Some(names) => Databases::from_names(serde_json::from_str::<Vec<String>>(names)?),
    })
}
