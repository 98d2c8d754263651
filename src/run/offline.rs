//! `plan --backups FILE`: the same decision without a network, credentials or state.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use chrono::TimeDelta;

use super::guard::ask_guard;
use super::policy_run::{Grace, PolicyRun, PolicyRuns};
use super::scan::{Overlaps, newest_recovery_point};
use super::{Error, RunRequest, count_instances, running_policies};
use crate::config::Config;
use crate::retention::plan::{ClockCheck, Conditions};
use crate::retention::policy::Knowledge;
use crate::retention::report::{PolicyReport, RunReport, RunResult, Skip, SkipReason};
use crate::retention::{Backup, Freezes, Instance, InstanceId, InstanceLife, Policy, ProjectName};

/// The backups of a file by instance, each instance once.
pub type BackupsOfFile = Vec<(Option<InstanceId>, Vec<Backup>)>;

/// Decides what a file lists. Grace counts as over, everything is one project, instances are known by id only.
pub fn decide_file(request: &RunRequest, config: &Config, backups: BackupsOfFile) -> Result<RunReport, Error> {
    let running = running_policies(request, config)?;
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
    let all: Vec<Arc<Policy>> = config.policies.iter().map(|entry| Arc::clone(&entry.policy)).collect();
    let open =
        |policy: &Arc<Policy>| PolicyRun::new(Arc::clone(policy), Grace::Over, request.now, request.rows.clone());
    let mut policy_runs = PolicyRuns::new(all, running, config.holds.clone(), request, open);
    let mut claims = Vec::new();
    let mut unmanaged = Vec::new();
    let mut overlaps = Overlaps::default();
    for (id, backups) in instances {
        if request.instance.as_ref().is_some_and(|wanted| *wanted != id) {
            continue;
        }
        let instance = Arc::new(Instance {
            project: project.clone(),
            name: id.as_str().into(),
            id,
            tags: Vec::new(),
            enterprise_project: None,
            life: InstanceLife::Listed,
        });
        let claiming = policy_runs.claims(&instance, Knowledge::IdsOnly);
        claims.push(claiming.len());
        overlaps.note(&claiming);
        if claiming.is_empty() {
            unmanaged.push(instance);
            continue;
        }
        for (nth, mut due) in policy_runs.enter(&instance, &backups, &claiming, &BTreeSet::new()) {
            due.newest_recovery_point = newest_recovery_point(&backups, request.now);
            policy_runs.add(nth, due);
        }
    }
    let overlaps = overlaps.report(policy_runs.all());
    let (policies, skipped) = guard(request, config, &project, policy_runs);
    Ok(RunReport {
        run_id: None,
        at: request.now,
        finished_at: request.now,
        policies,
        unmanaged,
        overlaps,
        skipped,
        instances: BTreeMap::from([(project, count_instances(&claims))]),
        unconfirmed: BTreeMap::new(),
        calls: 0,
        ledger_head: None,
        settled_earlier: Vec::new(),
        notices: Vec::new(),
        fates: HashMap::new(),
    })
}

/// Asks the guard as a run would; there is no API whose clock could differ, and nothing was approved.
fn guard(
    request: &RunRequest,
    config: &Config,
    project: &ProjectName,
    policy_runs: PolicyRuns,
) -> (Vec<PolicyReport>, Vec<Skip>) {
    let clocks = BTreeMap::from([(project.clone(), ClockCheck::Skew(TimeDelta::zero()))]);
    let freezes = Freezes::in_force(config.configured_freeze(), [], request.now);
    let conditions = Conditions {
        now: request.now,
        freeze: freezes.as_ref(),
        clocks: &clocks,
        approved: &HashSet::new(),
    };
    let mut skipped = Vec::new();
    let mut policies = Vec::new();
    for policy_run in policy_runs.into_accounts() {
        let (mut report, _) = ask_guard(policy_run, &conditions, &[]);
        report.result = if report.refusals.is_empty() {
            RunResult::Success
        } else {
            RunResult::Refused
        };
        skipped.extend(report.refusals.iter().filter_map(|refusal| {
            Some(Skip {
                project: project.clone(),
                instance: Some(refusal.instance()?.clone()),
                reason: SkipReason::Guard(refusal.limit()),
                message: refusal.to_string(),
            })
        }));
        policies.push(report);
    }
    (policies, skipped)
}
