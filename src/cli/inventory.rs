//! The backups that `why`, `forecast` and `diff` look at: from the cloud as a plan reads them, or from a file.
//!
//! Not for deciding: what is gathered here is decided by floor 0 under whichever policies the command asks about.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::failure::Failure;
use super::output::stdout::note;
use super::sentences::count;
use super::{context, exit, plan};
use crate::config::{Config, PolicyEntry};
use crate::ledger::Ledger;
use crate::retention::policy::{Count, Knowledge, Limits, Mode};
use crate::retention::report::{Skip, SkipReason};
use crate::retention::{
    Backup, DeletedInstances, Hold, Instance, InstanceId, InstanceLife, KeepRule, KeepRules, Policy, ProjectName,
    Selector, Span, Zone,
};
use crate::run::{self, Purpose, RunRequest};

/// As for `plan`: the largest fleet at the slowest pace.
const BUDGET: Duration = Duration::from_secs(6 * 60 * 60);

/// An instance and all its manual backups that some policy has in its scope.
pub(super) struct InstanceBackups {
    pub(super) instance: Arc<Instance>,
    pub(super) backups: Vec<Backup>,
}

/// What was gathered.
pub(super) struct Fleet {
    /// By project, name and id.
    pub(super) residents: Vec<InstanceBackups>,
    /// What is known of the instances.
    pub(super) knowledge: Knowledge,
    /// The holds in force of the ledger; the configuration's are not among them.
    pub(super) placed_holds: Vec<Hold>,
    /// The state, where there is one.
    pub(super) ledger: Option<Arc<Ledger>>,
    /// What could not be read.
    pub(super) skipped: Vec<Skip>,
    /// The exit code that the gathering itself deserves.
    pub(super) code: u8,
}

impl Fleet {
    /// From a file: all backups are one project's, instances are known by id only.
    pub(super) fn of_file(config: &Config, file: &Path) -> Result<Self, Failure> {
        let rows = context::backups_of_file(file)?;
        let project = config
            .projects
            .first()
            .map_or_else(|| ProjectName::from("offline"), |first| first.name.clone());
        let mut instances: BTreeMap<InstanceId, Vec<Backup>> = BTreeMap::new();
        for (instance, mut backups) in rows {
            let id = instance.unwrap_or_else(|| InstanceId::from(""));
            instances.entry(id).or_default().append(&mut backups);
        }
        let resident = |(id, backups): (InstanceId, Vec<Backup>)| InstanceBackups {
            instance: Arc::new(Instance {
                project: project.clone(),
                name: id.as_str().into(),
                id,
                tags: Vec::new(),
                enterprise_project: None,
                life: InstanceLife::Listed,
            }),
            backups,
        };
        Ok(Self {
            residents: instances.into_iter().map(resident).collect(),
            knowledge: Knowledge::IdsOnly,
            placed_holds: Vec::new(),
            ledger: None,
            skipped: Vec::new(),
            code: exit::DONE,
        })
    }

    /// From the cloud: what any of these policies has in its scope, of one instance or of all.
    pub(super) fn of_cloud(
        config: &Config,
        policies: Vec<PolicyEntry>,
        instance: Option<InstanceId>,
        now: DateTime<Utc>,
    ) -> Result<Self, Failure> {
        let ledger = context::ledger_to_read(config, now)?.map(Arc::new);
        let placed_holds = match &ledger {
            Some(ledger) => ledger.active_holds(now)?,
            None => Vec::new(),
        };
        let asked = Arc::new(Config {
            policies,
            ..config.clone()
        });
        let order = RunRequest {
            purpose: Purpose::Plan,
            policies: None,
            instance,
            now,
            rows: run::ReportDetail::All,
            trigger: "plan",
            budget: BUDGET,
        };
        let report = context::block_on(1, async {
            let stop = context::stop_signal()?;
            let (progress, watcher) = plan::progress();
            let observer = context::no_observer();
            let context = context::context(&asked, ledger.clone(), None, stop, &observer, watcher)?;
            let report = run::run(&order, &context).await;
            progress.finish();
            report.map_err(Failure::from)
        })?;
        let code = exit::of_plan(&report);
        // What the guard refuses was read and decided all the same: here it is asked what policies mean.
        let mut skipped = report.skipped;
        skipped.retain(|skip| !matches!(skip.reason, SkipReason::Guard(_)));
        for skip in &skipped {
            let whole = || format!("project {}", skip.project);
            let what = skip.instance.as_ref().map_or_else(whole, |id| format!("instance {id}"));
            note(&format!("left out: {what}: {}", skip.message));
        }
        let mut residents: BTreeMap<(ProjectName, Arc<str>, InstanceId), InstanceBackups> = BTreeMap::new();
        let mut seen = HashSet::new();
        for row in report.policies.into_iter().flat_map(|policy| policy.rows) {
            // A backup in two scopes has two rows. An id of two instances is two backups.
            if !seen.insert((row.instance.id.clone(), row.backup.id.clone())) {
                continue;
            }
            let Instance { project, name, id, .. } = &*row.instance;
            let key = (project.clone(), Arc::clone(name), id.clone());
            let resident = residents.entry(key).or_insert_with(|| InstanceBackups {
                instance: Arc::clone(&row.instance),
                backups: Vec::new(),
            });
            resident.backups.push(row.backup);
        }
        Ok(Self {
            residents: residents.into_values().collect(),
            knowledge: Knowledge::Full,
            placed_holds,
            ledger,
            skipped,
            code,
        })
    }

    /// The exit code of an answer about all of it: something is left undone where something could not be read.
    pub(super) fn code_of_all(&self) -> u8 {
        let undone = if self.skipped.is_empty() {
            exit::DONE
        } else {
            exit::UNDONE
        };
        exit::combine([self.code, undone])
    }

    /// What an answer about all of it must say beside.
    pub(super) fn unread(&self) -> Option<String> {
        let (projects, instances): (Vec<&Skip>, Vec<&Skip>) =
            self.skipped.iter().partition(|skip| skip.instance.is_none());
        let parts = [(projects.len(), "project"), (instances.len(), "instance")];
        let parts: Vec<String> = parts
            .into_iter()
            .filter(|(number, _)| *number > 0)
            .map(|(number, what)| count(number as u64, what))
            .collect();
        (!parts.is_empty()).then(|| format!("Not read, so left out here: {}.", parts.join(" and ")))
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

/// A policy that has everything in its scope, so that also what no policy manages is listed.
pub(super) fn everything() -> Option<PolicyEntry> {
    let keep = KeepRules::new(vec![KeepRule::Last(Count::All)], Vec::new())?;
    // The name cannot be typed, so it is nobody else's.
    Some(PolicyEntry {
        policy: Arc::new(Policy {
            name: "*".into(),
            mode: Mode::DryRun,
            zone: Zone::UTC,
            select: Selector {
                projects: None,
                instance_names: None,
                instance_ids: None,
                tags: Vec::new(),
                enterprise_projects: None,
                exclude_instance_names: Vec::new(),
                exclude_instance_ids: Vec::new(),
                backup_names: None,
                exclude_backup_names: Vec::new(),
                deleted_instances: DeletedInstances::Include,
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
