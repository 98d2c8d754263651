//! Metrics of a whole process: which series there are, what the ledger remembers, what is held.
//!
//! Not for names and values (`telemetry`), which knows neither configuration nor ledger; here the rooms of floor 1 are
//! brought together, for the daemon and for `apply --metrics-file`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;

use crate::config::{Config, PolicyEntry};
use crate::ledger::{self, Ledger};
use crate::rds::{Event, Observer, Operation};
use crate::retention::report::InstanceCounts;
use crate::retention::{PolicyName, ProjectName};
use crate::run::Projects;
use crate::telemetry::{LastRun, Metrics};

/// Metrics with a series for every policy and project of a configuration that was loaded at `now`.
pub fn metrics(config: &Config, now: DateTime<Utc>) -> Metrics {
    let operations = Operation::ALL.map(Operation::as_str);
    let revision = option_env!("RDS_RETENTIOND_REVISION").unwrap_or("unknown");
    let metrics = Metrics::new(env!("CARGO_PKG_VERSION"), revision, now, &operations);
    series(&metrics, config);
    metrics.config_loaded(&config.sha256, now);
    metrics
}

/// Tells the metrics which policies and projects there are.
pub fn series(metrics: &Metrics, config: &Config) {
    let projects: Vec<ProjectName> = config.projects.iter().map(|project| project.name.clone()).collect();
    let of_policy = |entry: &PolicyEntry| {
        let selected = entry.policy.select.projects.clone().unwrap_or_else(|| projects.clone());
        (entry.policy.name.clone(), selected)
    };
    let policies: Vec<(PolicyName, Vec<ProjectName>)> = config.policies.iter().map(of_policy).collect();
    metrics.set_policies(&policies, &projects);
}

/// An observer that counts requests.
pub fn observer(metrics: &Metrics) -> Observer {
    let metrics = metrics.clone();
    Arc::new(move |event: &Event<'_>| {
        metrics.api_event(
            event.project,
            event.operation.as_str(),
            event.status,
            event.took,
            event.throttled,
        );
    })
}

/// Shows what the ledger remembers of the last runs of these policies, and of the instances.
pub fn restore(metrics: &Metrics, ledger: &Ledger, of: impl Fn(&PolicyName) -> bool) -> Result<(), ledger::Error> {
    let mut runs = Vec::new();
    for (policy, last) in ledger.last_runs()? {
        let Some(finished_at) = last.finished.finished_at else {
            continue;
        };
        if of(&policy) {
            runs.push(LastRun {
                policy,
                finished_at,
                last_success_at: last.success.and_then(|run| run.finished_at),
                summary: last.read.and_then(|run| part(run, "summary")),
            });
        }
    }
    metrics.restore(&runs, remembered_instances(ledger)?, &unconfirmed(ledger)?);
    Ok(())
}

/// What the ledger remembers of each project's instances: the newest of the last runs that listed them says it.
pub fn remembered_instances(ledger: &Ledger) -> Result<BTreeMap<ProjectName, InstanceCounts>, ledger::Error> {
    let mut last: Vec<_> = ledger.last_runs()?.into_values().filter_map(|last| last.read).collect();
    last.sort_by_key(|run| run.finished_at);
    Ok(last
        .into_iter()
        .filter_map(|run| part(run, "instances"))
        .flat_map(|counts: BTreeMap<_, _>| counts)
        .collect())
}

/// A part of a run's numbers.
fn part<T: DeserializeOwned>(run: ledger::RunRow, key: &str) -> Option<T> {
    serde_json::from_value(run.summary?.get_mut(key)?.take()).ok()
}

/// Accepted deletions that no listing has confirmed yet, by project.
pub fn unconfirmed(ledger: &Ledger) -> Result<BTreeMap<ProjectName, u64>, ledger::Error> {
    let mut counts: BTreeMap<ProjectName, u64> = BTreeMap::new();
    for row in ledger.unconfirmed()? {
        *counts.entry(row.project).or_default() += 1;
    }
    Ok(counts)
}

/// Shows what people decide: holds and freeze, from configuration and ledger, and the policies whose refused plan waits
/// for approval, which are returned. An approval that ran out unused makes a plan wait again.
pub fn show_decided(
    metrics: &Metrics,
    config: &Config,
    ledger: &Ledger,
    now: DateTime<Utc>,
) -> Result<BTreeSet<PolicyName>, ledger::Error> {
    let configured = config.holds.iter().filter(|hold| hold.is_active(now)).count();
    metrics.holds(configured + ledger.active_holds(now)?.len());
    let placed = ledger.freeze()?.is_some_and(|placed| placed.freeze.is_active(now));
    metrics.frozen(placed || config.freeze.as_ref().is_some_and(|freeze| freeze.is_active(now)));
    let mut waiting = BTreeSet::new();
    for entry in &config.policies {
        let policy = &entry.policy.name;
        let waits = match ledger.refused(policy)? {
            None => false,
            Some(refused) => {
                let approved = ledger.approvals(policy, now)?;
                refused.backups.iter().any(|backup| !approved.contains(backup))
            }
        };
        metrics.guard_open(policy, waits);
        if waits {
            waiting.insert(policy.clone());
        }
    }
    Ok(waiting)
}

/// Shows how far each project's clock is from ours.
pub fn show_clocks(metrics: &Metrics, projects: &Projects) {
    for (project, client) in projects.iter() {
        metrics.clock_skew(project, client.clock());
    }
}
