//! The guard: the only way from what is due to what may be sent.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::batch::{Batches, PlannedDeletion};
use super::candidate::Candidate;
use super::refusal::{ClockCheck, Refusal};
use crate::retention::{BackupId, Freezes, Instance, Limits, OverLimit, Policy, ProjectName};

/// What is due on one instance.
#[derive(Clone, Debug)]
pub struct InstanceDue {
    /// The instance.
    pub instance: Arc<Instance>,
    /// How many of its backups `max_percent` is a percentage of: in scope, COMPLETED, counted ([`Verdict::is_limited`]).
    ///
    /// [`Verdict::is_limited`]: crate::retention::Verdict::is_limited
    pub counted: usize,
    /// The newest finished full backup, manual or automated; asked for only where the policy has `require_backup_within`.
    pub newest_recovery_point: Option<DateTime<Utc>>,
    /// What is due; never empty in a plan.
    pub due: Vec<Candidate>,
}

/// All that one policy would delete in one run.
#[derive(Clone, Debug)]
pub struct Plan {
    policy: Arc<Policy>,
    instances: Vec<InstanceDue>,
}

/// What the guard looks at besides the plan itself.
#[derive(Clone, Debug)]
pub struct Conditions<'a> {
    /// The run's one reading of the clock.
    pub now: DateTime<Utc>,
    /// The freezes in force, from the configuration and the ledger.
    pub freeze: Option<&'a Freezes>,
    /// The clock of every project; a project that is missing here has not been compared.
    pub clocks: &'a BTreeMap<ProjectName, ClockCheck>,
    /// Ids approved by hand for this policy: exempt from `max_deletions` and `max_percent`, from nothing else.
    pub approved: &'a HashSet<BackupId>,
}

/// What the guard answers: what may be sent, and what it held back.
#[derive(Debug)]
pub struct Approval {
    /// The deletions that may be sent; possibly none.
    pub plan: ApprovedPlan,
    /// What was held back, and why.
    pub refusals: Vec<Refusal>,
}

/// Deletions that passed the guard. Only [`Plan::approve`] makes one.
#[derive(Debug)]
pub struct ApprovedPlan {
    policy: Arc<Policy>,
    /// Oldest first.
    due: Vec<Candidate>,
}

impl Plan {
    /// A plan with nothing in it.
    pub fn new(policy: Arc<Policy>) -> Self {
        Self {
            policy,
            instances: Vec::new(),
        }
    }

    /// Adds what is due on one instance.
    pub fn add(&mut self, instance: InstanceDue) {
        if !instance.due.is_empty() {
            self.instances.push(instance);
        }
    }

    /// Drops instances that are left alone.
    pub fn retain(&mut self, keep: impl FnMut(&InstanceDue) -> bool) {
        self.instances.retain(keep);
    }

    /// The policy.
    pub fn policy(&self) -> &Arc<Policy> {
        &self.policy
    }

    /// Everything due, before the guard.
    pub fn instances(&self) -> &[InstanceDue] {
        &self.instances
    }

    /// The guard. Sees the whole plan before anything of it is sent.
    ///
    /// What concerns one instance or project holds that back and lets the others go on; `max_deletions` is then asked
    /// of what remains, so that an instance that is refused for ever cannot block the rest.
    pub fn approve(self, conditions: &Conditions<'_>) -> Approval {
        let Self { policy, instances } = self;
        let nothing = |refusals| Approval {
            plan: ApprovedPlan {
                policy: Arc::clone(&policy),
                due: Vec::new(),
            },
            refusals,
        };
        if instances.is_empty() {
            return nothing(Vec::new());
        }
        if let Some(freezes) = conditions.freeze {
            return nothing(vec![Refusal::of_freezes(freezes.clone())]);
        }
        let mut refusals: Vec<Refusal> = Vec::new();
        let mut due = Vec::with_capacity(instances.iter().map(|instance| instance.due.len()).sum());
        for instance in instances {
            match refusal_of_instance(&policy, &instance, conditions) {
                None => due.extend(instance.due),
                Some(refusal) => {
                    // What is approved is exempt: it goes although the rest of its instance is refused.
                    let is_approved = |candidate: &Candidate| conditions.approved.contains(&candidate.id);
                    if refusal.waits_for_approval() {
                        due.extend(instance.due.into_iter().filter(is_approved));
                    }
                    if !refusals.contains(&refusal) {
                        refusals.push(refusal);
                    }
                }
            }
        }
        sort_oldest_first(&mut due);
        refusals.extend(limit_deletions(policy.limits, &mut due, conditions.approved));
        Approval {
            plan: ApprovedPlan { policy, due },
            refusals,
        }
    }
}

/// Holds back what is over `max_deletions`; what was approved by hand is exempt.
fn limit_deletions(limits: Limits, due: &mut Vec<Candidate>, approved: &HashSet<BackupId>) -> Option<Refusal> {
    let limit = usize::try_from(limits.max_deletions.get()).unwrap_or(usize::MAX);
    let is_approved = |candidate: &Candidate| approved.contains(&candidate.id);
    let planned = due.iter().filter(|candidate| !is_approved(candidate)).count();
    if planned <= limit {
        return None;
    }
    match limits.over_limit {
        OverLimit::Refuse => {
            due.retain(is_approved);
            Some(Refusal::MaxDeletions { planned, limit })
        }
        OverLimit::OldestFirst => {
            let mut left = limit;
            due.retain(|candidate| {
                is_approved(candidate) || {
                    let fits = left > 0;
                    left = left.saturating_sub(1);
                    fits
                }
            });
            None
        }
    }
}

fn refusal_of_instance(policy: &Policy, instance: &InstanceDue, conditions: &Conditions<'_>) -> Option<Refusal> {
    let project = &instance.instance.project;
    let check = conditions.clocks.get(project).copied().unwrap_or(ClockCheck::NoDate);
    if !check.is_good() {
        return Some(Refusal::Clock {
            project: project.clone(),
            check,
        });
    }
    let id = &instance.instance.id;
    if let Some(within) = policy.require_backup_within {
        let newest = instance.newest_recovery_point;
        // A span that reaches before the beginning of time is satisfied by any backup.
        let recent = newest.is_some_and(|newest| {
            within
                .before(conditions.now, policy.zone)
                .is_none_or(|edge| newest >= edge)
        });
        if !recent {
            return Some(Refusal::RequireBackupWithin {
                instance: id.clone(),
                newest,
                within: within.to_string(),
            });
        }
    }
    let faces_limit =
        |candidate: &&Candidate| candidate.reason.is_limited() && !conditions.approved.contains(&candidate.id);
    let planned = instance.due.iter().filter(faces_limit).count();
    let percent = policy.limits.max_percent;
    let over = planned * 100 > usize::from(percent) * instance.counted;
    (over && planned > Limits::PERCENT_FREE).then(|| Refusal::MaxPercent {
        instance: id.clone(),
        planned,
        of: instance.counted,
        percent,
    })
}

fn sort_oldest_first(due: &mut [Candidate]) {
    due.sort_unstable_by(|a, b| a.begin.cmp(&b.begin).then_with(|| a.id.cmp(&b.id)));
}

impl ApprovedPlan {
    /// The policy.
    pub fn policy(&self) -> &Arc<Policy> {
        &self.policy
    }

    /// What may be sent, oldest first.
    pub fn due(&self) -> &[Candidate] {
        &self.due
    }

    /// Approved plans by project, to be cut into batches: every id once (the first plan that names it deletes it), across
    /// instances and policies.
    pub fn batches(plans: Vec<Self>) -> Vec<Batches> {
        let mut seen: HashSet<BackupId> = HashSet::with_capacity(plans.iter().map(|plan| plan.due.len()).sum());
        let mut by_project: BTreeMap<ProjectName, Vec<PlannedDeletion>> = BTreeMap::new();
        for plan in plans {
            for candidate in plan.due {
                if seen.insert(candidate.id.clone()) {
                    let planned = PlannedDeletion {
                        policy: plan.policy.name.clone(),
                        candidate,
                    };
                    let project = planned.candidate.instance.project.clone();
                    by_project.entry(project).or_default().push(planned);
                }
            }
        }
        by_project
            .into_iter()
            .map(|(project, planned)| Batches::new(project, planned))
            .collect()
    }
}
