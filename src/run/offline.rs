//! `plan --backups FILE`: the same decision without a network, credentials or state.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use chrono::TimeDelta;

use super::account::{Account, Accounts, Grace};
use super::guard::ask_guard;
use super::survey::{Overlaps, newest_recovery_point};
use super::{Error, Order, count_instances, running_policies};
use crate::config::Config;
use crate::retention::plan::{ClockCheck, Conditions};
use crate::retention::policy::Knowledge;
use crate::retention::report::{PolicyReport, RunReport, RunResult, Skip, SkipReason};
use crate::retention::{Backup, Instance, InstanceId, InstanceLife, Policy, ProjectName};

/// The backups of a file by instance, each instance once.
pub type BackupsOfFile = Vec<(Option<InstanceId>, Vec<Backup>)>;

/// Decides what a file lists. Grace counts as over, everything is one project, instances are known by id only.
pub fn decide_file(order: &Order, config: &Config, backups: BackupsOfFile) -> Result<RunReport, Error> {
    let running = running_policies(order, config)?;
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
    let open = |policy: &Arc<Policy>| Account::new(Arc::clone(policy), Grace::Over, order.now, order.rows.clone());
    let mut accounts = Accounts::new(all, running, config.holds.clone(), order, open);
    let mut claims = Vec::new();
    let mut unmanaged = Vec::new();
    let mut overlaps = Overlaps::default();
    for (id, backups) in instances {
        if order.instance.as_ref().is_some_and(|wanted| *wanted != id) {
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
        let claiming = accounts.claims(&instance, Knowledge::IdsOnly);
        claims.push(claiming.len());
        overlaps.note(&claiming);
        if claiming.is_empty() {
            unmanaged.push(instance);
            continue;
        }
        for (nth, mut due) in accounts.enter(&instance, &backups, &claiming, &BTreeSet::new()) {
            due.newest_recovery_point = newest_recovery_point(&backups, order.now);
            accounts.add(nth, due);
        }
    }
    let overlaps = overlaps.report(accounts.all());
    let (policies, skipped) = guard(order, config, &project, accounts);
    Ok(RunReport {
        run_id: None,
        at: order.now,
        finished_at: order.now,
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
fn guard(order: &Order, config: &Config, project: &ProjectName, accounts: Accounts) -> (Vec<PolicyReport>, Vec<Skip>) {
    let clocks = BTreeMap::from([(project.clone(), ClockCheck::Skew(TimeDelta::zero()))]);
    let freeze = config.freeze.as_ref().filter(|freeze| freeze.is_active(order.now));
    let conditions = Conditions {
        now: order.now,
        freeze,
        clocks: &clocks,
        approved: &HashSet::new(),
    };
    let mut skipped = Vec::new();
    let mut policies = Vec::new();
    for account in accounts.into_accounts() {
        let (mut report, _) = ask_guard(account, &conditions, &[]);
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
