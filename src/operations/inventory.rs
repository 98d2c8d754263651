//! The backups that `why`, `forecast` and `diff` look at: from the cloud as a plan reads them, or from a file.
//!
//! Not for deciding: what is gathered here is decided by `retention` under whichever policies are asked about.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::error::Error;
use super::plan::PlanRequest;
use super::source::BackupSource;
use crate::config::{Config, PolicyEntry};
use crate::ledger::Ledger;
use crate::retention::policy::{Count, Knowledge, Limits, Mode, selected_engines};
use crate::retention::report::{BackupRow, Skip, SkipReason};
use crate::retention::{
    Backup, BackupId, DeletedInstances, Engine, Fate, Hold, Instance, InstanceId, KeepRule, KeepRules, Outcome, Policy,
    PolicyName, ProjectName, RunReport, Selector, Span, Zone,
};
use crate::run::{self, ReportDetail};

/// An instance and all its manual backups that some policy has in its scope.
#[derive(Debug)]
pub struct InstanceBackups {
    /// The instance.
    pub instance: Arc<Instance>,
    /// Its backups.
    pub backups: Vec<Backup>,
}

/// What was gathered.
#[derive(Debug)]
pub struct Inventory {
    /// By project, name and id.
    pub instances: Vec<InstanceBackups>,
    /// What could not be read.
    pub skipped: Vec<Skip>,
    /// What is known of the instances.
    knowledge: Knowledge,
    /// The holds in force of the ledger; the configuration's are not among them.
    placed_holds: Vec<Hold>,
    /// The state, where there is one.
    pub(super) ledger: Option<Arc<Ledger>>,
}

impl Inventory {
    /// Everything that any of these policies has in its scope, of one instance or of all. A file is taken whole.
    pub async fn gather(
        config: &Config,
        policies: Vec<PolicyEntry>,
        instance: Option<InstanceId>,
        now: DateTime<Utc>,
        source: BackupSource,
    ) -> Result<Self, Error> {
        if let BackupSource::File(backups) = source {
            let engines = selected_engines(policies.iter().map(|entry| &*entry.policy));
            let (_, instances) = run::instances_of_file(config, &engines, backups);
            let of = |(instance, backups)| InstanceBackups { instance, backups };
            return Ok(Self {
                instances: instances.into_iter().map(of).collect(),
                skipped: Vec::new(),
                knowledge: Knowledge::IdsOnly,
                placed_holds: Vec::new(),
                ledger: None,
            });
        }
        let asked = Arc::new(Config {
            policies,
            ..config.clone()
        });
        let request = PlanRequest {
            policies: None,
            instance,
            at: now,
            rows: ReportDetail::All,
        };
        let request = request.run_request();
        let ledger = source.ledger(config, &request)?;
        let placed_holds = match &ledger {
            Some(ledger) => ledger.active_holds(now)?,
            None => Vec::new(),
        };
        let report = source.decide(&asked, &request, ledger.clone()).await?;
        Ok(Self::of_report(report, placed_holds, ledger))
    }

    fn of_report(report: RunReport, placed_holds: Vec<Hold>, ledger: Option<Arc<Ledger>>) -> Self {
        // What the guard refuses was read and decided all the same: here it is asked what policies mean.
        let mut skipped = report.skipped;
        skipped.retain(|skip| !matches!(skip.reason, SkipReason::Guard(_)));
        let rows = report.policies.into_iter().flat_map(|policy| policy.rows);
        Self {
            instances: by_instance(rows.map(|row| (row.instance, row.backup))),
            skipped,
            knowledge: Knowledge::Full,
            placed_holds,
            ledger,
        }
    }

    /// Of what the last run of each policy listed, without asking anybody: what a run deleted since is left out.
    pub fn of_last_runs(
        reports: &BTreeMap<PolicyName, Arc<RunReport>>,
        placed_holds: Vec<Hold>,
        ledger: Option<Arc<Ledger>>,
    ) -> Self {
        let parts = reports.iter().flat_map(|(name, report)| {
            let own = report.policies.iter().filter(move |part| part.policy == *name);
            own.flat_map(|part| &part.rows)
        });
        let is_gone = |row: &&BackupRow| {
            let fate = row.fate.as_deref();
            matches!(fate, Some(Fate::Confirmed | Fate::Answered(Outcome::Accepted)))
        };
        let gone: HashSet<&BackupId> = parts.clone().filter(is_gone).map(|row| &row.backup.id).collect();
        let rows = parts.filter(|row| !gone.contains(&row.backup.id));
        Self {
            instances: by_instance(rows.map(|row| (Arc::clone(&row.instance), row.backup.clone()))),
            skipped: Vec::new(),
            knowledge: Knowledge::Full,
            placed_holds,
            ledger,
        }
    }

    /// The holds in force under a configuration: its own and those placed by command.
    pub(super) fn holds(&self, config: &Config) -> Vec<Hold> {
        config.holds.iter().chain(&self.placed_holds).cloned().collect()
    }

    /// The policies of a configuration that claim an instance.
    pub(super) fn claiming_policies(&self, config: &Config, instance: &Instance) -> Vec<Arc<Policy>> {
        let places = self.claiming(config, instance).into_iter();
        places.map(|place| Arc::clone(&config.policies[place].policy)).collect()
    }

    /// The policies of a configuration that claim an instance, by place.
    pub(super) fn claiming(&self, config: &Config, instance: &Instance) -> Vec<usize> {
        let claims = |place: &usize| config.policies[*place].policy.select.claims(instance, self.knowledge);
        (0..config.policies.len()).filter(claims).collect()
    }
}

/// By project, name and id. A backup in two scopes has two rows. An id of two instances is two backups.
fn by_instance(rows: impl Iterator<Item = (Arc<Instance>, Backup)>) -> Vec<InstanceBackups> {
    let mut instances: BTreeMap<(ProjectName, Arc<str>, InstanceId), InstanceBackups> = BTreeMap::new();
    let mut seen = HashSet::new();
    for (instance, backup) in rows {
        if !seen.insert((instance.id.clone(), backup.id.clone())) {
            continue;
        }
        let Instance { project, name, id, .. } = &*instance;
        let key = (project.clone(), Arc::clone(name), id.clone());
        let of = instances.entry(key).or_insert_with(|| InstanceBackups {
            instance: Arc::clone(&instance),
            backups: Vec::new(),
        });
        of.backups.push(backup);
    }
    instances.into_values().collect()
}

/// A policy that has everything of these engines in its scope, so that also what no policy manages is listed.
pub(super) fn everything(engines: Vec<Engine>) -> Option<PolicyEntry> {
    let keep = KeepRules::new(vec![KeepRule::Last(Count::All)], Vec::new())?;
    // The name cannot be typed, so it is no other policy's.
    Some(PolicyEntry {
        policy: Arc::new(Policy {
            name: "*".into(),
            mode: Mode::DryRun,
            zone: Zone::UTC,
            select: Selector {
                engines,
                deleted_instances: DeletedInstances::Include,
                ..Selector::default()
            },
            keep,
            max_age: None,
            failed_after: Span::days(7),
            min_backups: std::num::NonZeroU32::MIN,
            grace: Span::hours(24),
            require_backup_within: None,
            limits: Limits::default(),
        }),
        schedule: None,
        jitter: Span::ZERO,
        catch_up: false,
    })
}
