//! What a run decided on: of each instance where something is due, the instance and its backups as the decision saw them.
//!
//! A year of runs sees nearly the same every day, so a row of the chain has what differs from the row before about the instance. The
//! table has the last state of each, to compare with; a row has a digest of the whole, so that a table that was changed is found.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::chain::{self, Kind};
use super::sql::Tx;
use super::{Error, Ledger};
use crate::retention::{
    Backup, BackupId, BackupKind, BackupStatus, Databases, Doubt, Engine, Instance, InstanceId, InstanceLife,
    ProjectName,
};

/// So many backups a row of the chain, so that no row grows with the fleet.
const BACKUPS_A_ROW: usize = 1_000;

/// An instance and its backups, as a decision saw them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecidedOn {
    #[serde(flatten)]
    instance: InstanceFacts,
    backups: BTreeMap<BackupId, BackupFacts>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct InstanceFacts {
    project: ProjectName,
    id: InstanceId,
    name: String,
    engine: String,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    tags: Vec<(String, String)>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    enterprise_project: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    missed_since: Option<DateTime<Utc>>,
}

/// What is usual is left out. Times are in microseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct BackupFacts {
    #[serde(rename = "n")]
    name: String,
    #[serde(rename = "b", skip_serializing_if = "Option::is_none", default)]
    begin: Option<i64>,
    #[serde(rename = "e", skip_serializing_if = "Option::is_none", default)]
    end: Option<i64>,
    #[serde(rename = "z")]
    size_bytes: u64,
    /// But `COMPLETED`.
    #[serde(rename = "s", skip_serializing_if = "Option::is_none", default)]
    status: Option<String>,
    /// But `manual`.
    #[serde(rename = "k", skip_serializing_if = "Option::is_none", default)]
    kind: Option<String>,
    /// But the instance's.
    #[serde(rename = "g", skip_serializing_if = "Option::is_none", default)]
    engine: Option<String>,
    #[serde(rename = "d", skip_serializing_if = "Option::is_none", default)]
    databases: Option<DatabaseFacts>,
    #[serde(rename = "x", skip_serializing_if = "Option::is_none", default)]
    doubt: Option<Doubt>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum DatabaseFacts {
    Absent,
    Named(Vec<String>),
    Unreadable,
    Unknown,
}

/// The row of the chain.
#[derive(Serialize, Deserialize)]
pub(super) struct DecidedBody {
    pub(super) run: String,
    pub(super) instances: Vec<DecidedEntry>,
}

/// One instance in a row: whole, or what differs from an earlier row.
#[derive(Serialize, Deserialize)]
pub(super) struct DecidedEntry {
    #[serde(flatten)]
    instance: InstanceFacts,
    /// The row that has what this one has not.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    since: Option<i64>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    gone: Vec<BackupId>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    new: BTreeMap<BackupId, BackupFacts>,
    /// The first half of the SHA-256 of the whole, as JSON.
    sum: String,
}

fn micros(at: Option<DateTime<Utc>>) -> Option<i64> {
    at.map(|at| at.timestamp_micros())
}

fn time(micros: Option<i64>) -> Option<DateTime<Utc>> {
    micros.and_then(DateTime::from_timestamp_micros)
}

impl DecidedOn {
    /// What a decision sees.
    pub fn new(instance: &Instance, backups: &[Backup]) -> Self {
        let facts = |backup: &Backup| BackupFacts {
            name: backup.name.to_string(),
            begin: micros(backup.begin),
            end: micros(backup.end),
            size_bytes: backup.size_bytes,
            status: (backup.status != BackupStatus::Completed).then(|| backup.status.as_str().to_owned()),
            kind: (backup.kind != BackupKind::Manual).then(|| backup.kind.as_str().to_owned()),
            engine: (backup.engine != instance.engine).then(|| backup.engine.as_str().to_owned()),
            databases: match &backup.databases {
                Databases::All => None,
                Databases::Absent => Some(DatabaseFacts::Absent),
                Databases::Named(names) => Some(DatabaseFacts::Named(names.iter().map(ToString::to_string).collect())),
                Databases::Unreadable => Some(DatabaseFacts::Unreadable),
                Databases::Unknown => Some(DatabaseFacts::Unknown),
            },
            doubt: backup.doubt,
        };
        Self {
            instance: InstanceFacts {
                project: instance.project.clone(),
                id: instance.id.clone(),
                name: instance.name.to_string(),
                engine: instance.engine.as_str().to_owned(),
                tags: instance.tags.clone(),
                enterprise_project: instance.enterprise_project.clone(),
                missed_since: match instance.life {
                    InstanceLife::Listed => None,
                    InstanceLife::Deleted { missed_since } => Some(missed_since),
                },
            },
            backups: backups
                .iter()
                .map(|backup| (backup.id.clone(), facts(backup)))
                .collect(),
        }
    }

    /// The instance.
    pub fn instance(&self) -> Instance {
        let of = &self.instance;
        Instance {
            project: of.project.clone(),
            id: of.id.clone(),
            name: of.name.as_str().into(),
            engine: Engine::parse(&of.engine),
            tags: of.tags.clone(),
            enterprise_project: of.enterprise_project.clone(),
            life: of
                .missed_since
                .map_or(InstanceLife::Listed, |missed_since| InstanceLife::Deleted {
                    missed_since,
                }),
        }
    }

    /// Its backups.
    pub fn backups(&self) -> Vec<Backup> {
        let backup = |(id, facts): (&BackupId, &BackupFacts)| Backup {
            id: id.clone(),
            name: facts.name.as_str().into(),
            kind: BackupKind::parse(facts.kind.as_deref().unwrap_or(BackupKind::Manual.as_str())),
            engine: Engine::parse(facts.engine.as_deref().unwrap_or(&self.instance.engine)),
            status: BackupStatus::parse(facts.status.as_deref().unwrap_or(BackupStatus::Completed.as_str())),
            begin: time(facts.begin),
            end: time(facts.end),
            size_bytes: facts.size_bytes,
            databases: match &facts.databases {
                None => Databases::All,
                Some(DatabaseFacts::Absent) => Databases::Absent,
                Some(DatabaseFacts::Named(names)) => Databases::from_names(names),
                Some(DatabaseFacts::Unreadable) => Databases::Unreadable,
                Some(DatabaseFacts::Unknown) => Databases::Unknown,
            },
            doubt: facts.doubt,
        };
        self.backups.iter().map(backup).collect()
    }

    fn sum(&self) -> Result<String, Error> {
        Ok(hex::encode(&Sha256::digest(serde_json::to_string(self)?)[..16]))
    }

    /// What a row has of it, after another that had it `before`.
    fn entry(&self, before: Option<(i64, Self)>) -> Result<DecidedEntry, Error> {
        let (since, before) = before.unzip();
        let before = before.map(|before| before.backups).unwrap_or_default();
        let new = self
            .backups
            .iter()
            .filter(|(id, facts)| before.get(*id) != Some(*facts));
        let new = new.map(|(id, facts)| (id.clone(), facts.clone())).collect();
        let gone = before
            .keys()
            .filter(|id| !self.backups.contains_key(*id))
            .cloned()
            .collect();
        Ok(DecidedEntry {
            instance: self.instance.clone(),
            since,
            gone,
            new,
            sum: self.sum()?,
        })
    }
}

/// What the rows so far say of each instance.
#[derive(Default)]
pub(super) struct DecidedReplay(BTreeMap<(ProjectName, InstanceId), (i64, DecidedOn)>);

impl DecidedReplay {
    /// The whole that an entry of a row stands for; `None` where it is not what the run saw.
    pub(super) fn take(&mut self, row: i64, entry: DecidedEntry) -> Result<Option<&DecidedOn>, Error> {
        let key = (entry.instance.project.clone(), entry.instance.id.clone());
        let before = self.0.remove(&key);
        let mut backups = match (entry.since, before) {
            (None, _) => BTreeMap::new(),
            (Some(since), Some((row, before))) if row == since => before.backups,
            (Some(_), _) => return Ok(None),
        };
        backups.retain(|id, _| !entry.gone.contains(id));
        backups.extend(entry.new);
        let decided = DecidedOn {
            instance: entry.instance,
            backups,
        };
        if decided.sum()? != entry.sum {
            return Ok(None);
        }
        let (_, decided) = &*self.0.entry(key).or_insert((row, decided));
        Ok(Some(decided))
    }
}

fn last(tx: &Tx<'_>, project: &ProjectName, instance: &InstanceId) -> Result<Option<(i64, DecidedOn)>, Error> {
    let sql = "SELECT seq, facts FROM decided WHERE project = ?1 AND instance = ?2";
    tx.first(sql, (project.as_str(), instance.as_str()), |row| {
        Ok((row.get(0)?, serde_json::from_str(&row.get::<String>(1)?)?))
    })
}

impl Ledger {
    /// Records what a run decided on, before anything is sent.
    pub fn record_decided(&self, run: &str, decided: &[DecidedOn], now: DateTime<Utc>) -> Result<(), Error> {
        let mut left = decided;
        while !left.is_empty() {
            let (mut count, mut backups) = (0, 0);
            while count < left.len() && (count == 0 || backups < BACKUPS_A_ROW) {
                backups += left[count].backups.len();
                count += 1;
            }
            let (row, rest) = left.split_at(count);
            self.write_soon(|tx| record(tx, run, row, now))?;
            left = rest;
        }
        Ok(())
    }
}

fn record(tx: &Tx<'_>, run: &str, decided: &[DecidedOn], now: DateTime<Utc>) -> Result<(), Error> {
    let mut body = DecidedBody {
        run: run.to_owned(),
        instances: Vec::with_capacity(decided.len()),
    };
    for of in decided {
        let before = last(tx, &of.instance.project, &of.instance.id)?;
        body.instances.push(of.entry(before)?);
    }
    let seq = chain::append(tx, now, Kind::Decided, &body)?;
    for of in decided {
        tx.execute(
            "INSERT INTO decided (project, instance, seq, facts) VALUES (?1, ?2, ?3, ?4) \
             ON CONFLICT (project, instance) DO UPDATE SET seq = excluded.seq, facts = excluded.facts",
            (
                of.instance.project.as_str(),
                of.instance.id.as_str(),
                seq,
                serde_json::to_string(of)?,
            ),
        )?;
    }
    Ok(())
}
