//! What a test lists or has made, as the instances that are decided on.
//!
//! Everything takes the API's JSON as its way in, so that a test and `plan --backups` read a backup alike.

use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use super::series;
use crate::config::policy_test::{BackupSize, TestBackups, TestCase, TestEntry, TestFile, TestInstance};
use crate::config::{Config, Problem};
use crate::rds::{backups_from_json, wire};
use crate::retention::policy::Knowledge;
use crate::retention::{Engine, Instance, InstanceId, InstanceLife, Policy, ProjectName, Zone};
use crate::run::{OfflineInstance, instances_of_file};

/// The size of a backup of which the test says none, in KB: 1 GiB.
const USUAL_SIZE: u64 = 1 << 20;

/// What a test decides on.
pub(super) struct TestFleet {
    pub(super) project: ProjectName,
    pub(super) instances: Vec<OfflineInstance>,
    pub(super) knowledge: Knowledge,
}

/// Reads or makes the backups of a test.
pub(super) fn fleet(
    file: &TestFile,
    case: &TestCase,
    config: &Config,
    policy: &Policy,
) -> Result<TestFleet, Box<Problem>> {
    let backups = match &case.backups {
        TestBackups::File(name) => {
            let path = file.path().parent().unwrap_or(Path::new("")).join(&name.value);
            let read = std::fs::read(&path).map_err(|error| error.to_string());
            read.and_then(|bytes| backups_from_json(&bytes))
                .map_err(|why| file.problem(name, &format!("{}: {why}", path.display()), ""))?
        }
        TestBackups::Entries(entries) => {
            let engine = policy.select.engines.first().map_or("", Engine::as_str);
            let mut all: Vec<Value> = Vec::new();
            for (nth, entry) in entries.iter().enumerate() {
                let made = match entry.value.every {
                    Some(_) => made(&entry.value, nth + 1, case.at, (policy.zone, engine)),
                    None => listed(&entry.value, nth + 1, engine).map(|backup| vec![backup]),
                };
                all.extend(made.map_err(|why| file.problem(entry, &why, ""))?);
            }
            let bytes = Value::from(all).to_string();
            backups_from_json(bytes.as_bytes())
                .map_err(|why| file.problem(&case.name, &why, "give each backup an `id` of its own"))?
        }
    };
    let (project, instances) = instances_of_file(config, &policy.select.engines, backups);
    let fleet = TestFleet {
        project,
        instances,
        knowledge: Knowledge::IdsOnly,
    };
    match &case.instance {
        None => Ok(fleet),
        Some(described) => of_one(fleet, described, policy).map_err(|why| file.problem(&case.name, &why, "")),
    }
}

/// What entries list or have made, in the API's shape.
pub fn backups_of(entries: &[TestEntry], now: DateTime<Utc>, zone: Zone, engine: &str) -> Result<Vec<Value>, String> {
    let of_entry = |(nth, entry): (usize, &TestEntry)| match entry.every {
        Some(_) => made(entry, nth + 1, now, (zone, engine)),
        None => listed(entry, nth + 1, engine).map(|backup| vec![backup]),
    };
    let all: Result<Vec<_>, String> = entries.iter().enumerate().map(of_entry).collect();
    Ok(all?.into_iter().flatten().collect())
}

/// All backups as those of the instance that the test describes.
fn of_one(fleet: TestFleet, described: &TestInstance, policy: &Policy) -> Result<TestFleet, String> {
    let listed: Vec<&InstanceId> = fleet
        .instances
        .iter()
        .map(|(instance, _)| &instance.id)
        .filter(|id| !id.as_str().is_empty())
        .collect();
    let wanted = described.id.as_deref().map(InstanceId::from);
    let id = match (wanted, listed.as_slice()) {
        (Some(wanted), listed) if listed.iter().all(|id| **id == wanted) => wanted,
        (None, []) => InstanceId::from("test"),
        (None, [only]) => (*only).clone(),
        _ => {
            return Err(
                "`instance` describes one instance, and the backups name others: give each its own test".to_owned(),
            );
        }
    };
    let project = described.project.as_deref().map(ProjectName::from);
    let selected = || {
        policy
            .select
            .projects
            .as_ref()
            .and_then(|projects| projects.first().cloned())
    };
    let project = project.or_else(selected).unwrap_or(fleet.project);
    let instance = Instance {
        project: project.clone(),
        name: described.name.as_deref().unwrap_or(id.as_str()).into(),
        engine: (fleet.instances.first()).map_or_else(|| Engine::parse(""), |(instance, _)| instance.engine.clone()),
        id,
        tags: described.tags.clone().into_iter().collect(),
        enterprise_project: described.enterprise_project.clone(),
        life: InstanceLife::Listed,
    };
    let backups = fleet.instances.into_iter().flat_map(|(_, backups)| backups).collect();
    Ok(TestFleet {
        project,
        instances: vec![(Arc::new(instance), backups)],
        knowledge: Knowledge::Full,
    })
}

/// One backup that the test lists.
fn listed(entry: &TestEntry, number: usize, engine: &str) -> Result<Value, String> {
    if entry.at.is_some() || entry.reach.is_some() || entry.until.is_some() {
        return Err("`at`, `for` and `until` belong to a made series, which needs `every`".to_owned());
    }
    let Some(begin) = &entry.begin_time else {
        return Err("a listed backup needs `begin_time`, and a made series `every`".to_owned());
    };
    let end = entry.end_time.as_ref().unwrap_or(begin);
    for text in [begin, end] {
        if wire::parse_time(text).is_none() {
            return Err(format!(
                "`{}` cannot be read as a time, as 2026-10-01T19:00:00+0800; a test about such a backup takes it from a file",
                text.escape_debug()
            ));
        }
    }
    let made_up = || format!("listed{number}");
    let id = entry.id.clone().unwrap_or_else(made_up);
    let name = entry.name.clone().unwrap_or_else(|| id.clone());
    Ok(api_shape(entry, engine, &id, &name, begin, end))
}

/// The backups of a series, in the API's shape.
fn made(
    entry: &TestEntry,
    number: usize,
    now: DateTime<Utc>,
    (zone, engine): (Zone, &str),
) -> Result<Vec<Value>, String> {
    if entry.id.is_some() || entry.begin_time.is_some() || entry.end_time.is_some() {
        return Err(
            "`id`, `begin_time` and `end_time` belong to a listed backup, and `every` to a made series".to_owned(),
        );
    }
    let template = entry.name.as_deref().unwrap_or("made_{date}_{time}");
    let members = series::members(entry, now, zone)?.into_iter().enumerate();
    members
        .map(|(nth, member)| {
            let id = format!("made{number}-{}", member.wall.format("%Y%m%dT%H%M%S"));
            let name = series::name(template, &member, nth + 1)?;
            let begin = member.begin.to_rfc3339_opts(SecondsFormat::AutoSi, true);
            Ok(api_shape(entry, engine, &id, &name, &begin, &begin))
        })
        .collect()
}

fn api_shape(entry: &TestEntry, engine: &str, id: &str, name: &str, begin: &str, end: &str) -> Value {
    let BackupSize(kilobytes) = entry.size.unwrap_or(BackupSize(USUAL_SIZE));
    json!({
        "id": id,
        "name": name,
        "instance_id": entry.instance_id,
        "type": entry.kind.as_deref().unwrap_or("manual"),
        "status": entry.status.as_deref().unwrap_or("COMPLETED"),
        "begin_time": begin,
        "end_time": end,
        "size": kilobytes,
        "datastore": entry.datastore.clone().unwrap_or_else(|| json!({"type": engine})),
        "databases": entry.databases.clone().unwrap_or_else(|| json!([])),
    })
}
