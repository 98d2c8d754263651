//! One run: every policy that ran in it, and what concerned them all.

use std::collections::{BTreeMap, HashMap};
use std::iter::Sum;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::decisions::Action;
use super::outcome::{Fate, RunResult};
use super::policy_report::PolicyReport;
use super::skip::{Skip, SkipRecord};
use crate::retention::orphan::Orphan;
use crate::retention::{BackupId, Instance, InstanceId, KeepReason, Policy, PolicyName, ProjectName, Refusal};

/// Policies that claim the same instances.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Overlap {
    /// Their names, in the configuration's order.
    pub policies: Vec<PolicyName>,
    /// How many instances they share.
    pub instances: u64,
}

/// The instances of a project by how policies see them; the gauge `instances` is the sum over the projects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceCounts {
    /// Claimed by at least one policy.
    pub managed: u64,
    /// Claimed by none.
    pub unmanaged: u64,
    /// Claimed by more than one.
    pub overlapping: u64,
    /// Left alone because their backups could not be read.
    pub failed: u64,
}

impl<'a> Sum<&'a Self> for InstanceCounts {
    fn sum<I: Iterator<Item = &'a Self>>(counts: I) -> Self {
        counts.fold(Self::default(), |sum, one| Self {
            managed: sum.managed + one.managed,
            unmanaged: sum.unmanaged + one.unmanaged,
            overlapping: sum.overlapping + one.overlapping,
            failed: sum.failed + one.failed,
        })
    }
}

/// A deletion of an earlier run that this run's listing settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// The policy that deleted it.
    pub policy: PolicyName,
    /// Its project.
    pub project: ProjectName,
    /// Confirmed or returned.
    pub fate: Fate,
    /// Its size.
    pub size_bytes: u64,
}

/// One run: every policy that ran in it, and what concerned them all.
#[derive(Clone, Debug)]
pub struct RunReport {
    /// Its id (UUID version 7); `None` for `plan`, which is no run.
    pub run_id: Option<String>,
    /// The one reading of the clock that decided.
    pub at: DateTime<Utc>,
    /// When it ended.
    pub finished_at: DateTime<Utc>,
    /// What each policy found and did, in the configuration's order.
    pub policies: Vec<PolicyReport>,
    /// Instances that no policy claims.
    pub unmanaged: Vec<Arc<Instance>>,
    /// Policies that share instances.
    pub overlaps: Vec<Overlap>,
    /// What was left alone, and why.
    pub skipped: Vec<Skip>,
    /// Instances in numbers, by project: those of the projects whose list was believed.
    pub instances: BTreeMap<ProjectName, InstanceCounts>,
    /// Deletions, accepted or unanswered, that no listing has confirmed yet, by project, earlier runs included.
    pub unconfirmed: BTreeMap<ProjectName, u64>,
    /// Requests made to the API.
    pub calls: u64,
    /// The ledger's head hash after the run, for `audit verify --head`.
    pub ledger_head: Option<String>,
    /// Deletions of earlier runs that this run's listings settled.
    pub settled_earlier: Vec<Settled>,
    /// The names of the instances that were left alone, where their list was believed.
    pub names: HashMap<InstanceId, Arc<str>>,
    /// Deleted instances whose backups remain.
    pub orphans: Vec<Orphan>,
    /// Holds and name patterns that cover nothing, by the last believed listings. In words: they are for people alone.
    pub notices: Vec<String>,
    /// What became of the ids that were sent, where single decisions are wanted and the report holds no rows of them.
    pub fates: HashMap<BackupId, Arc<Fate>>,
    /// The same of those that were due and are held since.
    pub held: HashMap<BackupId, KeepReason>,
}

impl RunReport {
    /// At this moment, with nothing found and done.
    pub fn new(at: DateTime<Utc>) -> Self {
        Self {
            run_id: None,
            at,
            finished_at: at,
            policies: Vec::new(),
            unmanaged: Vec::new(),
            overlaps: Vec::new(),
            skipped: Vec::new(),
            instances: BTreeMap::new(),
            unconfirmed: BTreeMap::new(),
            calls: 0,
            ledger_head: None,
            settled_earlier: Vec::new(),
            names: HashMap::new(),
            orphans: Vec::new(),
            notices: Vec::new(),
            fates: HashMap::new(),
            held: HashMap::new(),
        }
    }

    /// The report of a run that has none of its own: every policy ended like this.
    pub fn failed_report<'p>(
        policies: impl Iterator<Item = &'p Policy>,
        (at, finished_at): (DateTime<Utc>, DateTime<Utc>),
        result: RunResult,
        refusal: Option<&Refusal>,
    ) -> Self {
        let of = |policy: &Policy| PolicyReport {
            refusals: refusal.cloned().into_iter().collect(),
            ..PolicyReport::new(policy.name.clone(), policy.mode, policy.zone, result)
        };
        Self {
            // It may have had one, which went down with it; the metrics count what has one.
            run_id: Some(String::new()),
            finished_at,
            policies: policies.map(of).collect(),
            ..Self::new(at)
        }
    }

    /// An instance's name as the run knows it, else its id.
    pub fn name_of(&self, instance: &InstanceId) -> Arc<str> {
        let of_policies = || {
            let mut all = self.policies.iter().flat_map(|policy| &policy.instances);
            let of = all.find(|of| of.instance.id == *instance)?;
            Some(Arc::clone(&of.instance.name))
        };
        let name = self.names.get(instance).map(Arc::clone).or_else(of_policies);
        name.unwrap_or_else(|| instance.as_str().into())
    }

    /// What was left alone, as the ledger keeps it.
    pub fn record_of(&self, skip: &Skip) -> SkipRecord {
        let named = skip.instance.as_ref().map(|id| (id, self.name_of(id)));
        SkipRecord {
            project: skip.project.clone(),
            instance_id: skip.instance.clone(),
            instance_name: named
                .filter(|(id, name)| id.as_str() != &**name)
                .map(|(_, name)| name.to_string()),
            reason: skip.reason.key().to_owned(),
            message: skip.message.clone(),
        }
    }

    /// Ids sent in this run whose final outcome has this name.
    pub fn sent(&self, fate: &str) -> u64 {
        self.policies
            .iter()
            .flat_map(|policy| policy.sent.values())
            .filter_map(|sent| sent.fates.get(fate))
            .sum()
    }

    /// What became of a backup that was sent, for the rows of every policy that shows it.
    pub fn mark(&mut self, fates: &HashMap<BackupId, Arc<Fate>>) {
        for row in self.policies.iter_mut().flat_map(|policy| &mut policy.rows) {
            row.fate = fates.get(&row.backup.id).cloned();
        }
    }

    /// The same of one that was due and is held since: it is kept.
    pub fn mark_held(&mut self, held: &HashMap<BackupId, KeepReason>) {
        for row in self.policies.iter_mut().flat_map(|policy| &mut policy.rows) {
            if let Some(reason) = held.get(&row.backup.id) {
                row.action = Action::Keep(vec![reason.clone()]);
            }
        }
    }
}
