//! The metrics of a whole process: which series there are, what the ledger knows of past runs, holds and freezes.
//!
//! Not for names and values ([`crate::telemetry`]), which knows neither configuration nor ledger.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::daemon_state::DaemonState;
use super::snapshot;
use crate::config::{Config, PolicyEntry};
use crate::ledger::{self, LastRuns, Ledger, RunRow, SharedState};
use crate::rds::{Event, Observer, Operation};
use crate::retention::report::InstanceCounts;
use crate::retention::{People, PolicyName, ProjectName};
use crate::run::Projects;
use crate::telemetry::{LastRunSample, Metrics};

/// Metrics with a series for every policy and project of a configuration that was loaded at `now`.
pub fn metrics(config: &Config, now: DateTime<Utc>) -> Metrics {
    let operations = Operation::ALL.map(Operation::as_str);
    let revision = option_env!("RDS_RETENTIOND_REVISION").unwrap_or("unknown");
    let metrics = Metrics::new(env!("CARGO_PKG_VERSION"), revision, now, &operations);
    set_series(&metrics, config);
    metrics.config_loaded(&config.sha256, now);
    metrics
}

/// Makes the series of the policies and projects of a configuration, and removes those of others.
pub fn set_series(metrics: &Metrics, config: &Config) {
    let projects: Vec<ProjectName> = config.projects.iter().map(|project| project.name.clone()).collect();
    let of_policy = |entry: &PolicyEntry| {
        let selected = entry.policy.select.projects.clone().unwrap_or_else(|| projects.clone());
        (entry.policy.name.clone(), selected)
    };
    let policies: Vec<(PolicyName, Vec<ProjectName>)> = config.policies.iter().map(of_policy).collect();
    metrics.set_policies(&policies, &projects);
}

/// Who works on the state; on a file, that is not shown.
pub fn show_members(metrics: &Metrics, shared: Option<&SharedState>) {
    if let Some(shared) = shared {
        let leases = shared.leases.iter().map(|lease| (lease.project.clone(), lease.is_ours));
        metrics.members(shared.members.len(), shared.is_agreed, leases);
    }
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

/// What the ledger knows of past runs, to be shown.
#[derive(Debug)]
pub struct PastRuns {
    /// The last runs of each policy.
    pub runs: BTreeMap<PolicyName, LastRuns>,
    /// Each project's instances: the newest of the last runs that listed them says it.
    pub instances: BTreeMap<ProjectName, InstanceCounts>,
    /// When those of a project were listed.
    listed_at: BTreeMap<ProjectName, DateTime<Utc>>,
    /// Deletions, accepted or unanswered, that no listing has confirmed yet, by project.
    pub unconfirmed: BTreeMap<ProjectName, u64>,
    /// When runs began that are under way.
    pub running: BTreeMap<PolicyName, DateTime<Utc>>,
    /// When runs began that were cut short.
    cut_short: BTreeMap<PolicyName, DateTime<Utc>>,
}

impl PastRuns {
    /// Reads it from the ledger.
    pub fn read(ledger: &Ledger, now: DateTime<Utc>) -> Result<Self, ledger::Error> {
        let runs = ledger.last_runs(now)?;
        let mut read: Vec<RunRow> = runs.values().filter_map(|last| last.read.clone()).collect();
        read.sort_by_key(|run| run.finished_at);
        let (mut instances, mut listed_at) = (BTreeMap::new(), BTreeMap::new());
        for run in &read {
            let counts = run.numbers().into_iter().flat_map(|numbers| &numbers.instances);
            for (project, counts) in counts {
                listed_at.insert(project.clone(), run.started_at);
                instances.insert(project.clone(), *counts);
            }
        }
        let mut unconfirmed = BTreeMap::new();
        for row in ledger.unconfirmed()? {
            *unconfirmed.entry(row.project).or_default() += 1;
        }
        let (mut running, mut cut_short) = (BTreeMap::new(), BTreeMap::new());
        for run in ledger.open_runs()? {
            let of = if run.is_running { &mut running } else { &mut cut_short };
            // One that a later run has outlived says nothing any more.
            let is_last = |name: &PolicyName| {
                runs.get(name)
                    .is_none_or(|last| last.finished.started_at < run.started_at)
            };
            let policies = run.policies.into_iter().filter(is_last);
            of.extend(policies.map(|policy| (policy, run.started_at)));
        }
        Ok(Self {
            runs,
            instances,
            listed_at,
            unconfirmed,
            running,
            cut_short,
        })
    }

    /// Fills in the last runs of these policies, and the rest.
    pub(super) fn fill(self, state: &mut DaemonState, of: impl Fn(&PolicyName) -> bool) {
        state.instances = self.instances;
        // A run of another process has read what a check could not.
        let is_read = |project: &ProjectName, since| self.listed_at.get(project).is_some_and(|at| *at > since);
        state
            .unread_projects
            .retain(|project, unread| !is_read(project, unread.since));
        state.unconfirmed = self.unconfirmed;
        state.cut_short = self.cut_short;
        for (name, last) in self.runs.into_iter().filter(|(name, _)| of(name)) {
            if let Some(at) = last.success.and_then(|run| run.finished_at) {
                state.last_success.insert(name.clone(), at);
            }
            if let Some(mut run) = snapshot::LastRun::remembered(last.finished) {
                let read = last.read.and_then(snapshot::LastRun::remembered);
                run.known = run.known.or_else(|| read?.known);
                state.set_last(name, run);
            }
        }
    }

    /// Shows the last runs of these policies, and the rest.
    pub fn show(&self, metrics: &Metrics, of: impl Fn(&PolicyName) -> bool) {
        let shown = |(policy, last): (&PolicyName, &LastRuns)| {
            let numbers = last.read.as_ref().and_then(RunRow::numbers);
            Some(LastRunSample {
                policy: policy.clone(),
                finished_at: last.finished.finished_at?,
                last_success_at: last.success.as_ref().and_then(|run| run.finished_at),
                summary: numbers.map(|numbers| numbers.summary),
                held_back: numbers.map(|numbers| numbers.held_back).unwrap_or_default(),
                unselected: numbers.map(|numbers| numbers.unselected.clone()).unwrap_or_default(),
            })
        };
        let runs: Vec<LastRunSample> = self
            .runs
            .iter()
            .filter(|(policy, _)| of(policy))
            .filter_map(shown)
            .collect();
        metrics.restore(&runs, self.instances.clone(), &self.unconfirmed);
    }
}

/// Shows what operators decide: holds and freezes, from configuration and ledger, and the policies whose refused plan waits
/// for approval, which are returned.
pub fn show_operator_state(
    metrics: &Metrics,
    config: &Config,
    ledger: &Ledger,
    now: DateTime<Utc>,
) -> Result<BTreeMap<PolicyName, Option<String>>, ledger::Error> {
    let configured = config.holds.iter().filter(|hold| hold.is_active(now)).count();
    metrics.holds(configured + ledger.active_holds(now)?.len());
    let placed = ledger.frozen(now)?.is_some();
    metrics.frozen(placed || config.freeze.as_ref().is_some_and(|freeze| freeze.is_active(now)));
    let policies = config.policies.iter().map(|entry| &entry.policy);
    let policies = policies.map(|policy| (&policy.name, policy.limits.approvals));
    let waiting = waiting_plans(policies.clone(), ledger, now)?;
    for (policy, _) in policies {
        metrics.guard_open(policy, waiting.contains_key(policy));
    }
    Ok(waiting)
}

/// The policies whose refused plan waits for approval, each with the digest by which it can be approved, where it still can. A
/// plan waits again when its approval has expired unused.
pub(super) fn waiting_plans<'p>(
    policies: impl Iterator<Item = (&'p PolicyName, People)>,
    ledger: &Ledger,
    now: DateTime<Utc>,
) -> Result<BTreeMap<PolicyName, Option<String>>, ledger::Error> {
    let mut waiting = BTreeMap::new();
    for (name, people) in policies {
        let Some(plan) = ledger.waiting(name)? else { continue };
        let approved = ledger.approvals(name, people, now)?;
        if plan.backups.iter().any(|backup| !approved.contains(backup)) {
            let digest = plan.is_approvable(now).then_some(plan.digest);
            waiting.insert(name.clone(), digest);
        }
    }
    Ok(waiting)
}

/// Shows how far each project's clock is from ours.
pub fn show_clock_skew(metrics: &Metrics, projects: &Projects) {
    for (project, client) in projects.iter() {
        metrics.clock_skew(project, client.clock());
    }
}
