//! What believed listings said of each backup: later listings, and those of other instances, are compared with it.
//!
//! The chain has sums of it (`observed_chain`). What a backup said first as COMPLETED or FAILED stays until a person accepts something else; a
//! backup that is listed no more is remembered for seven days.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::ControlFlow;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

use super::observed_chain::{self, BACKUPS, InstanceChange};
use super::sql::{FoundRow, Tx};
use super::sql_value::{Parameters, SqlValue, Stamp};
use super::table_sum::TableSum;
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
    fn read(row: &FoundRow<'_>) -> Result<Self, Error> {
        let status: Option<String> = row.get(4)?;
        Ok(Self {
            name: row.get(3)?,
            status: status.map(|status| BackupStatus::parse(&status)),
            begin: row.get::<Option<Stamp>>(5)?.map(|at| at.0),
            end: row.get::<Option<Stamp>>(6)?.map(|at| at.0),
            engine: row.get::<Option<String>>(7)?.map(|engine| Engine::parse(&engine)),
            databases: read_databases(row.get::<Option<String>>(8)?.as_deref())?,
            gone_since: row.get::<Option<Stamp>>(9)?.map(|at| at.0),
        })
    }

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
    /// Of each backup's row.
    sums: HashMap<BackupId, TableSum>,
}

/// What listings of some instances changed of what is remembered of their backups, until it is written.
#[derive(Debug, Default)]
pub struct ObservedChanges {
    instances: Vec<ObservedChange>,
    rows: usize,
}

/// The same of one instance.
#[derive(Debug)]
struct ObservedChange {
    project: ProjectName,
    instance: InstanceId,
    changed: BTreeMap<BackupId, ObservedBackup>,
    forgotten: Vec<BackupId>,
    /// Of the rows that change or go.
    gone: TableSum,
    /// By a clock that is not in doubt.
    is_dated: bool,
}

impl ObservedChanges {
    /// So many that they are to be written.
    const MANY: usize = 2_000;

    /// Takes in a believed listing of one instance's backups. `before` is what was remembered of them; `now` is none where the clock is
    /// in doubt: then nothing is dated or forgotten. What did not change is not written.
    pub fn add(
        &mut self,
        project: &ProjectName,
        instance: &InstanceId,
        listed: &[Backup],
        before: Remembered,
        now: Option<DateTime<Utc>>,
    ) {
        let Remembered {
            backups: mut gone,
            last,
            sums,
        } = before;
        // By id: a listing may name one twice.
        let mut changed = BTreeMap::new();
        for backup in listed {
            let before = gone.remove(&backup.id);
            let after = ObservedBackup::after(before.as_ref(), backup);
            if before.as_ref() != Some(&after) {
                changed.insert(backup.id.clone(), after);
            }
        }
        // What is gone is noted once, and forgotten in the end. A time ahead of now is no reason to remember it longer.
        let mut forgotten = Vec::new();
        for (backup, said) in gone {
            let age = said.gone_since.zip(now).map(|(since, now)| now - since);
            let gone_since = match age {
                Some(age) if age >= REMEMBERED => {
                    forgotten.push(backup);
                    continue;
                }
                Some(age) if age < TimeDelta::zero() => now,
                _ if said.gone_since.is_some() => continue,
                _ => last.or(now),
            };
            changed.insert(backup, ObservedBackup { gone_since, ..said });
        }
        if changed.is_empty() && forgotten.is_empty() {
            return;
        }
        self.rows += changed.len() + forgotten.len();
        let touched = changed.keys().chain(&forgotten);
        let gone = touched.filter_map(|backup| sums.get(backup));
        self.instances.push(ObservedChange {
            project: project.clone(),
            instance: instance.clone(),
            gone: gone.fold(TableSum::default(), |all, one| all.plus(*one)),
            changed,
            forgotten,
            is_dated: now.is_some(),
        });
    }

    /// Whether something of this instance is not written yet.
    pub fn are_of(&self, instance: &InstanceId) -> bool {
        self.instances.iter().any(|change| change.instance == *instance)
    }

    /// Whether they are to be written: memory is for the largest instance.
    pub fn are_many(&self) -> bool {
        self.rows >= Self::MANY
    }
}

fn is_finished(status: &BackupStatus) -> bool {
    matches!(status, BackupStatus::Completed | BackupStatus::Failed)
}

impl Ledger {
    /// What an instance's listings said of its backups. Fails where something other than this program changed it.
    pub fn remembered(&self, instance: &InstanceId) -> Result<Remembered, Error> {
        self.read(|tx| {
            let last: Option<Stamp> =
                tx.value("SELECT at FROM last_listing WHERE instance = ?1", [instance.as_str()])?;
            let mut remembered = Remembered {
                last: last.map(|at| at.0),
                ..Remembered::default()
            };
            let mut sum = TableSum::default();
            tx.each(BACKUPS, [instance.as_str()], |row| {
                let of_row = TableSum::of_found(row)?;
                sum = sum.plus(of_row);
                let id = BackupId::from(row.get::<String>(1)?);
                remembered.sums.insert(id.clone(), of_row);
                remembered.backups.insert(id, ObservedBackup::read(row)?);
                Ok(ControlFlow::Continue(()))
            })?;
            observed_chain::check_backups(tx, instance, sum)?;
            Ok(remembered)
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
            let mut last = String::new();
            let read = |row: &FoundRow<'_>| Ok((row.get::<String>(0)?, row.get::<Option<Stamp>>(1)?));
            while let Some((instance, at)) = tx.first(next, [&last], read)? {
                last.clone_from(&instance);
                let instance = InstanceId::from(instance);
                if is_left_out(&instance) {
                    continue;
                }
                let mut sum = TableSum::default();
                tx.each(BACKUPS, [instance.as_str()], |row| {
                    sum.add_found(row)?;
                    let gone_since = row.get::<Option<Stamp>>(9)?;
                    let backup = BackupId::from(row.get::<String>(1)?);
                    each(&instance, &backup, gone_since.or(at).map(|at| at.0));
                    Ok(ControlFlow::Continue(()))
                })?;
                observed_chain::check_backups(tx, &instance, sum)?;
            }
            Ok(())
        })
    }

    /// Writes what listings changed.
    pub fn remember_backups(&self, changes: &ObservedChanges, now: DateTime<Utc>) -> Result<(), Error> {
        if changes.instances.is_empty() {
            return Ok(());
        }
        self.write(|tx| {
            let rows = changes.instances.iter().map(|change| {
                let rows = change.changed.iter().map(|(backup, said)| change.row(backup, said));
                rows.collect::<Result<Vec<_>, Error>>()
            });
            let rows = rows.collect::<Result<Vec<_>, _>>()?;
            let of_instances: Vec<InstanceChange<'_>> = changes
                .instances
                .iter()
                .zip(&rows)
                .map(|(change, rows)| InstanceChange {
                    instance: &change.instance,
                    gone: change.gone,
                    there: rows
                        .iter()
                        .fold(TableSum::default(), |all, row| all.plus(TableSum::of_row(row))),
                    is_dated: change.is_dated,
                })
                .collect();
            observed_chain::change_backups(tx, now, &of_instances, || {
                tx.insert_each(WRITE, rows.into_iter().flatten())?;
                let forgotten = changes.instances.iter().flat_map(|change| {
                    let forgotten = change.forgotten.iter();
                    forgotten.map(|backup| (change.instance.as_str(), backup.as_str()))
                });
                tx.execute_each("DELETE FROM seen_backup WHERE instance = ?1 AND backup = ?2", forgotten)?;
                let dated = changes.instances.iter().filter(|change| change.is_dated);
                note_listings(tx, dated.map(|change| &change.instance), now)
            })
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

const WRITE: &str = "INSERT INTO seen_backup (instance, backup, project, name, status, begin, ended, engine, databases, gone_since) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT (instance, backup) DO UPDATE \
     SET project = excluded.project, name = excluded.name, status = excluded.status, begin = excluded.begin, \
     ended = excluded.ended, engine = excluded.engine, databases = excluded.databases, gone_since = excluded.gone_since";

impl ObservedChange {
    /// A row as [`BACKUPS`] finds it then.
    fn row(&self, backup: &BackupId, said: &ObservedBackup) -> Result<Vec<SqlValue<'static>>, Error> {
        let row = (
            self.instance.as_str(),
            backup.as_str(),
            self.project.as_str(),
            &said.name,
            said.status.as_ref().map(BackupStatus::as_str),
            said.begin.map(Stamp),
            said.end.map(Stamp),
            said.engine.as_ref().map(Engine::as_str),
            databases_column(&said.databases)?,
            said.gone_since.map(Stamp),
        );
        Ok(row.values().into_iter().map(SqlValue::into_owned).collect())
    }
}

pub(super) fn note_listings<'a>(
    tx: &Tx<'_>,
    instances: impl IntoIterator<Item = &'a InstanceId>,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let instances: BTreeSet<_> = instances.into_iter().collect();
    tx.insert_each(
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
