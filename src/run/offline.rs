//! `plan --backups FILE` and `test`: the same decision without a network, credentials or state.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::TimeDelta;

use super::guard::ask_of_all;
use super::instances::count_instances;
use super::policy_run::{Grace, PolicyRun};
use super::policy_runs::PolicyRuns;
use super::scan::newest_recovery_point;
use super::scan_result::{Overlaps, Scan};
use super::{Error, RunRequest, running_policies};
use crate::config::Config;
use crate::retention::plan::ClockCheck;
use crate::retention::policy::{Knowledge, selected_engines};
use crate::retention::report::{RunReport, RunResult};
use crate::retention::{Backup, Engine, Freezes, Instance, InstanceId, InstanceLife, Policy, ProjectName};

/// The backups of a file by instance, each instance once.
pub type BackupsOfFile = Vec<(Option<InstanceId>, Vec<Backup>)>;

/// An instance of a file and its backups.
pub type OfflineInstance = (Arc<Instance>, Vec<Backup>);

/// The engine that an instance has by what its backups say: the one of them that policies select. None, or several, and it is unknown.
fn engine_of_entries(selected: &[Engine], backups: &[Backup]) -> Engine {
    let is_there = |engine: &&Engine| backups.iter().any(|backup| backup.engine == **engine);
    let mut there = selected.iter().filter(is_there);
    match (there.next(), there.next()) {
        (Some(only), None) => only.clone(),
        _ => Engine::parse(""),
    }
}

/// The instances of a file, by id, each with its backups; all are one project's, and only their ids and the engines of their backups
/// are known.
pub fn instances_of_file(
    config: &Config,
    engines: &[Engine],
    backups: BackupsOfFile,
) -> (ProjectName, Vec<OfflineInstance>) {
    let project = config
        .projects
        .first()
        .map_or_else(|| ProjectName::from("offline"), |first| first.name.clone());
    let mut instances: BTreeMap<InstanceId, Vec<Backup>> = BTreeMap::new();
    for (instance, mut backups) in backups {
        // Entries that name no instance belong to one without an id, on its own, like those whose id is empty.
        let id = instance.unwrap_or_else(|| InstanceId::from(""));
        instances.entry(id).or_default().append(&mut backups);
    }
    let instance = |(id, backups): (InstanceId, Vec<Backup>)| {
        let instance = Instance {
            project: project.clone(),
            name: id.as_str().into(),
            engine: engine_of_entries(engines, &backups),
            id,
            tags: Vec::new(),
            enterprise_project: None,
            life: InstanceLife::Listed,
        };
        (Arc::new(instance), backups)
    };
    let instances = instances.into_iter().map(instance).collect();
    (project, instances)
}

/// Decides what a file lists. Grace counts as over, everything is one project, instances are known by id only.
pub fn decide_file(request: &RunRequest, config: &Config, backups: BackupsOfFile) -> Result<RunReport, Error> {
    let engines = selected_engines(config.policies.iter().map(|entry| &*entry.policy));
    let (project, instances) = instances_of_file(config, &engines, backups);
    decide_offline(request, config, &project, instances, Knowledge::IdsOnly)
}

/// Decides what instances of one project are said to have. Grace counts as over.
pub fn decide_offline(
    request: &RunRequest,
    config: &Config,
    project: &ProjectName,
    instances: Vec<OfflineInstance>,
    knowledge: Knowledge,
) -> Result<RunReport, Error> {
    let running = running_policies(request, config)?;
    let all: Vec<Arc<Policy>> = config.policies.iter().map(|entry| Arc::clone(&entry.policy)).collect();
    let open =
        |policy: &Arc<Policy>| PolicyRun::new(Arc::clone(policy), Grace::Over, request.now, request.rows.clone());
    let mut policy_runs = PolicyRuns::new(all, running, config.holds.clone(), request, open);
    let mut claims = Vec::new();
    let mut unmanaged = Vec::new();
    let mut overlaps = Overlaps::default();
    for (instance, backups) in instances {
        if request.instance.as_ref().is_some_and(|wanted| *wanted != instance.id) {
            continue;
        }
        let claiming = policy_runs.claims(&instance, knowledge);
        claims.push(claiming.len());
        overlaps.note(&claiming);
        if claiming.is_empty() {
            unmanaged.push(instance);
            continue;
        }
        for (nth, mut due) in policy_runs.enter(&instance, &backups, &claiming, &BTreeSet::new()) {
            due.newest_recovery_point = newest_recovery_point(&instance, &backups, request.now);
            policy_runs.add(nth, due);
        }
    }
    // There is no API whose clock could differ.
    let clock = (project.clone(), ClockCheck::Skew(TimeDelta::zero()));
    let mut scan = Scan::with_clocks(BTreeMap::from([clock]));
    let overlaps = overlaps.report(policy_runs.all());
    let freezes = Freezes::in_force(config.configured_freeze(), [], request.now);
    let (mut policies, _) = ask_of_all(request, freezes.as_ref(), None, None, &mut scan, policy_runs)?;
    for report in policies.iter_mut().filter(|report| !report.refusals.is_empty()) {
        report.result = RunResult::Refused;
    }
    Ok(RunReport {
        policies,
        unmanaged,
        overlaps,
        skipped: scan.skipped,
        instances: BTreeMap::from([(project.clone(), count_instances(&claims))]),
        ..RunReport::new(request.now)
    })
}
