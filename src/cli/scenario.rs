//! `--scenario FILE`: instances, backups and faults of a simulator as a file describes them.
//!
//! Backups are written as in policy tests, listed or made: one shape to learn.

use std::collections::BTreeMap;
use std::path::Path;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use serde_json::Value;

use super::exit;
use super::failure::Failure;
use crate::config::policy_test::TestEntry;
use crate::operations::policy_test::backups_of;
use crate::rds::wire::parse_time;
use crate::retention::Zone;
use crate::simulator::{Backup, BackupKind, Engine, Fault, Fleet, Instance, InstanceKind, Status};

/// A scenario as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Scenario {
    instances: Vec<ScenarioInstance>,
    /// As `--fault` takes them.
    #[serde(default)]
    faults: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ScenarioInstance {
    name: String,
    /// So many of them, numbered where it is more than one.
    #[serde(default = "one")]
    count: u32,
    #[serde(default)]
    engine: Option<String>,
    /// `Single`, `Ha` or `Replica`.
    #[serde(default)]
    kind: Option<String>,
    #[serde(default)]
    tags: BTreeMap<String, String>,
    #[serde(default)]
    enterprise_project: Option<String>,
    /// Names of backups that a restore reads: they cannot be deleted.
    #[serde(default)]
    in_use: Vec<String>,
    /// Its backups remain.
    #[serde(default)]
    deleted: bool,
    /// As in a policy test. Where time is lapsed, the first series with `every` goes on.
    #[serde(default)]
    backups: Vec<TestEntry>,
}

fn one() -> u32 {
    1
}

/// More are a slip.
const MOST: u32 = 10_000;

/// What a file describes.
#[derive(Default)]
pub(super) struct Described {
    /// Where a file describes it.
    pub(super) fleet: Option<Fleet>,
    pub(super) faults: Vec<Fault>,
    /// Ids of backups that a restore reads.
    pub(super) in_use: Vec<String>,
}

/// Reads a file.
pub(super) fn read(path: &Path, now: DateTime<Utc>) -> Result<Described, Failure> {
    let failure = |why: &dyn std::fmt::Display| Failure::new(exit::USAGE, format!("{}: {why}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| failure(&error))?;
    let scenario: Scenario = serde_yaml::from_str(&text).map_err(|error| failure(&error))?;
    let faults: Result<Vec<Fault>, Failure> = (scenario.faults.iter())
        .map(|fault| Fault::parse(fault).map_err(|error| failure(&format!("{fault}: {error}\n{}", Fault::GRAMMAR))))
        .collect();
    let (mut instances, mut backups, mut in_use) = (Vec::new(), Vec::new(), Vec::new());
    for described in &scenario.instances {
        let from = backups.len();
        let add = described.add(now, &mut instances, &mut backups);
        let used = add.and_then(|()| described.used(&backups[from..]));
        in_use.extend(used.map_err(|why| failure(&format!("instance {}: {why}", described.name)))?);
    }
    Ok(Described {
        fleet: Some(Fleet::Given { instances, backups }),
        faults: faults?,
        in_use,
    })
}

impl ScenarioInstance {
    fn add(&self, now: DateTime<Utc>, instances: &mut Vec<Instance>, backups: &mut Vec<Backup>) -> Result<(), String> {
        let engine = self.engine()?;
        let entries = backups_of(&self.backups, now, Zone::UTC, engine.name())?;
        if !(1..=MOST).contains(&self.count) {
            return Err(format!("`count` is 1 to {MOST}"));
        }
        for nth in 1..=self.count {
            let number = instances.len() + 1;
            let id = format!("{number:032x}in{}", engine.digits());
            let name = match self.count {
                1 => self.name.clone(),
                _ => format!("{}-{nth}", self.name),
            };
            for (nth, entry) in entries.iter().enumerate() {
                let id_of_backup = format!("{number:016x}{nth:016x}br{}", engine.digits());
                backups.push(backup(&id_of_backup, &id, entry)?);
            }
            instances.push(Instance {
                engine,
                kind: self.kind()?,
                tags: self.tags.clone().into_iter().collect(),
                enterprise_project: self.enterprise_project.clone().unwrap_or_else(|| "0".to_owned()),
                deleted: self.deleted,
                every: self.every(),
                ..Instance::sql_server(&id, &name, now - TimeDelta::days(2000))
            });
        }
        Ok(())
    }

    /// The ids of those that a restore reads.
    fn used(&self, backups: &[Backup]) -> Result<Vec<String>, String> {
        let is_there = |name: &&String| backups.iter().any(|backup| backup.name == **name);
        if let Some(name) = self.in_use.iter().find(|name| !is_there(name)) {
            return Err(format!("`in_use` names `{name}`, and no backup has that name"));
        }
        let used = backups.iter().filter(|backup| self.in_use.contains(&backup.name));
        Ok(used.map(|backup| backup.id.clone()).collect())
    }

    fn engine(&self) -> Result<Engine, String> {
        let Some(wanted) = &self.engine else {
            return Ok(Engine::SqlServer);
        };
        let mut known = Engine::ALL.into_iter();
        let found = known.find(|engine| engine.name().eq_ignore_ascii_case(wanted));
        found.ok_or_else(|| {
            format!("engine `{wanted}` is not known; it is one of sqlserver, mysql, postgresql, mariadb")
        })
    }

    fn kind(&self) -> Result<InstanceKind, String> {
        let Some(wanted) = &self.kind else {
            return Ok(InstanceKind::Single);
        };
        let mut known = [InstanceKind::Single, InstanceKind::Ha, InstanceKind::Replica].into_iter();
        let found = known.find(|kind| kind.name() == wanted);
        found.ok_or_else(|| format!("kind `{wanted}` is not known; it is one of Single, Ha, Replica"))
    }

    fn every(&self) -> Option<TimeDelta> {
        let every = self.backups.iter().find_map(|entry| entry.every)?;
        TimeDelta::try_seconds(i64::try_from(every.approximate_seconds()).ok()?)
    }
}

/// A backup from the API's shape.
fn backup(id: &str, instance: &str, entry: &Value) -> Result<Backup, String> {
    let text = |key: &str| entry[key].as_str().unwrap_or_default();
    let time = |key: &str| parse_time(text(key)).ok_or_else(|| format!("`{}` cannot be read as a time", text(key)));
    let statuses = [Status::Building, Status::Completed, Status::Failed, Status::Deleting];
    let kinds = [
        BackupKind::Manual,
        BackupKind::Auto,
        BackupKind::Fragment,
        BackupKind::Incremental,
    ];
    let status = statuses.into_iter().find(|status| status.name() == text("status"));
    let status = status.ok_or_else(|| format!("status `{}` is not known", text("status")))?;
    let kind = kinds.into_iter().find(|kind| kind.name() == text("type"));
    let name_of = |entry: &Value| entry["name"].as_str().or(entry.as_str()).map(str::to_owned);
    let databases = entry["databases"].as_array().into_iter().flatten();
    Ok(Backup {
        kind: kind.ok_or_else(|| format!("type `{}` is not known", text("type")))?,
        status,
        end: (status != Status::Building).then(|| time("end_time")).transpose()?,
        size_kb: entry["size"].as_u64().unwrap_or_default(),
        databases: databases.filter_map(name_of).collect(),
        ..Backup::manual(id, instance, text("name"), time("begin_time")?)
    })
}
