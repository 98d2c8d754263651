//! The guard: from everything that is due to what may be sent.
//!
//! A [`Plan`] holds all that one policy would delete in one run. Only [`Plan::approve`] makes an [`ApprovedPlan`], only
//! an approved plan makes [`Batch`]es, and the client deletes nothing but batches: no other path to deletion exists.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::policy::OverLimit;
use super::{
    BackupId, BackupStatus, Engine, ExpireReason, FreezeSources, Freezes, Instance, InstanceId, Limits, Policy,
    PolicyName, ProjectName,
};

/// A backup that is due: expired under a policy, its grace over, no other policy keeping it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The instance it belongs to.
    pub instance: Arc<Instance>,
    /// Its id.
    pub id: BackupId,
    /// Its name.
    pub name: Arc<str>,
    /// Its `begin_time`.
    pub begin: DateTime<Utc>,
    /// Its size.
    pub size_bytes: u64,
    /// COMPLETED or FAILED.
    pub status: BackupStatus,
    /// Why it expired.
    pub reason: ExpireReason,
}

/// What is due on one instance.
#[derive(Clone, Debug)]
pub struct InstanceDue {
    /// The instance.
    pub instance: Arc<Instance>,
    /// How many of its backups `max_percent` is a percentage of: in scope, COMPLETED, counted ([`Verdict::is_limited`]).
    ///
    /// [`Verdict::is_limited`]: super::Verdict::is_limited
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

/// How the local clock compares with an API's `Date` header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClockCheck {
    /// The API's clock less ours; positive when we are behind.
    Skew(TimeDelta),
    /// No answer carried a `Date` that could be read.
    NoDate,
}

impl ClockCheck {
    /// More than this apart, nothing is sent.
    pub const LIMIT: TimeDelta = TimeDelta::minutes(5);

    /// Whether a deletion may be decided by this clock.
    pub fn is_good(self) -> bool {
        matches!(self, Self::Skew(skew) if skew.abs() <= Self::LIMIT)
    }
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

/// Why the guard let something not pass. A verdict, not an error.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// More deletions than `max_deletions`: the whole plan.
    MaxDeletions {
        /// Deletions that were not approved.
        planned: usize,
        /// The limit.
        limit: usize,
    },
    /// More than `max_percent` of an instance: that instance.
    MaxPercent {
        /// The instance.
        instance: InstanceId,
        /// Deletions there that were not approved.
        planned: usize,
        /// Of so many.
        of: usize,
        /// The limit.
        percent: u8,
    },
    /// No recent recovery point: that instance.
    RequireBackupWithin {
        /// The instance.
        instance: InstanceId,
        /// Its newest recovery point.
        newest: Option<DateTime<Utc>>,
        /// The span asked for, as written.
        within: String,
    },
    /// The clocks differ, or the API gave no time: that project.
    Clock {
        /// The project.
        project: ProjectName,
        /// What was found.
        check: ClockCheck,
    },
    /// Everything is frozen: the whole plan.
    Freeze {
        /// Why.
        reason: String,
        /// Until when.
        until: Option<DateTime<Utc>>,
        /// What ends it.
        sources: FreezeSources,
    },
    /// A listing that fell by more than half: that instance, or the whole project where none is named.
    Shrink {
        /// The project.
        project: ProjectName,
        /// The instance; `None` when the list of instances itself shrank.
        instance: Option<InstanceId>,
        /// The last believed count, less what this program deleted.
        expected: u64,
        /// What was found.
        found: u64,
    },
    /// The state that this process knew is gone, replaced or set back: everything.
    Ledger {
        /// What happened to it, and what to do.
        message: String,
    },
    /// Daemons on one state have different configurations: everything.
    Members {
        /// Which, and what to do.
        message: String,
    },
}

impl Refusal {
    /// By the freezes in force.
    pub fn of_freezes(Freezes { longest, sources }: Freezes) -> Self {
        Self::Freeze {
            reason: longest.reason,
            until: longest.until,
            sources,
        }
    }

    /// The limit's name in reports and metrics.
    pub fn limit(&self) -> &'static str {
        match self {
            Self::MaxDeletions { .. } => "max_deletions",
            Self::MaxPercent { .. } => "max_percent",
            Self::RequireBackupWithin { .. } => "require_backup_within",
            Self::Clock { .. } => "clock",
            Self::Freeze { .. } => "freeze",
            Self::Shrink { .. } => "shrink",
            Self::Ledger { .. } => "ledger",
            Self::Members { .. } => "members",
        }
    }

    /// Every name [`Self::limit`] can give, and `listing`: the closed set of the metric's label.
    pub const LIMITS: [&'static str; 9] = [
        "max_deletions",
        "max_percent",
        "clock",
        "listing",
        "shrink",
        "freeze",
        "require_backup_within",
        "ledger",
        "members",
    ];

    /// Reports name the gravest first (the lowest number): what stops a whole plan before what stops a project, and that
    /// before what stops an instance.
    pub fn gravity(&self) -> u8 {
        match self {
            Self::Freeze { .. } | Self::Ledger { .. } | Self::Members { .. } => 0,
            Self::MaxDeletions { .. } => 1,
            Self::Clock { .. } => 2,
            Self::Shrink { instance: None, .. } => 3,
            Self::Shrink { .. } | Self::MaxPercent { .. } | Self::RequireBackupWithin { .. } => 4,
        }
    }

    /// Whether `approve POLICY` lifts it.
    pub fn waits_for_approval(&self) -> bool {
        matches!(self, Self::MaxDeletions { .. } | Self::MaxPercent { .. })
    }

    /// The instance it is about, when it is about one.
    pub fn instance(&self) -> Option<&InstanceId> {
        match self {
            Self::MaxPercent { instance, .. } | Self::RequireBackupWithin { instance, .. } => Some(instance),
            Self::Shrink { instance, .. } => instance.as_ref(),
            Self::MaxDeletions { .. }
            | Self::Clock { .. }
            | Self::Freeze { .. }
            | Self::Ledger { .. }
            | Self::Members { .. } => None,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MaxDeletions { planned, limit } => write!(
                f,
                "{planned} deletions are more than max_deletions {limit}: nothing of this policy is sent; look at the plan, \
                 then `approve` it or set over_limit: oldest-first"
            ),
            Self::MaxPercent {
                instance,
                planned,
                of,
                percent,
            } => write!(
                f,
                "instance {instance}: {planned} of {of} backups are more than max_percent {percent}: the instance is left \
                 alone; look at the plan, then `approve` it"
            ),
            Self::RequireBackupWithin {
                instance,
                newest,
                within,
            } => write!(
                f,
                "instance {instance}: no finished full backup, manual or automated, within {within} (newest: {}): the \
                 instance is left alone until one is made",
                newest.map_or_else(|| "none".to_owned(), timestamp)
            ),
            Self::Clock {
                project,
                check: ClockCheck::Skew(skew),
            } => write!(
                f,
                "project {project}: the API's clock is {} s away from ours, more than {}: nothing is sent; set the clock",
                skew.num_seconds(),
                ClockCheck::LIMIT.num_seconds()
            ),
            Self::Clock {
                project,
                check: ClockCheck::NoDate,
            } => write!(
                f,
                "project {project}: the API's answers carry no readable Date header, so our clock cannot be checked: \
                 nothing is sent"
            ),
            Self::Freeze { reason, until, .. } => {
                let until = until.map_or_else(|| "it is ended".to_owned(), timestamp);
                write!(f, "frozen ({reason}) until {until}: nothing is sent")
            }
            Self::Ledger { message } | Self::Members { message } => f.write_str(message),
            Self::Shrink {
                project,
                instance,
                expected,
                found,
            } => {
                let (what, whose) = match instance {
                    Some(instance) => (format!("instance {instance}"), "manual backups"),
                    None => (format!("project {project}"), "instances"),
                };
                write!(
                    f,
                    "{what}: the listing fell from {expected} to {found} {whose}: it is left alone for 7 days, or until \
                     `approve --listing`"
                )
            }
        }
    }
}

fn timestamp(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
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
        let limit = usize::try_from(policy.limits.max_deletions.get()).unwrap_or(usize::MAX);
        let facing_limits = due
            .iter()
            .filter(|candidate| !conditions.approved.contains(&candidate.id))
            .count();
        if facing_limits > limit {
            match policy.limits.over_limit {
                OverLimit::Refuse => {
                    refusals.push(Refusal::MaxDeletions {
                        planned: facing_limits,
                        limit,
                    });
                    due.retain(|candidate| conditions.approved.contains(&candidate.id));
                }
                OverLimit::OldestFirst => {
                    let mut left = limit;
                    due.retain(|candidate| {
                        conditions.approved.contains(&candidate.id) || {
                            let fits = left > 0;
                            left = left.saturating_sub(1);
                            fits
                        }
                    });
                }
            }
        }
        Approval {
            plan: ApprovedPlan { policy, due },
            refusals,
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
        let cut = |(project, mut left): (ProjectName, Vec<PlannedDeletion>)| {
            left.sort_unstable_by(|a, b| b.order().cmp(&a.order()));
            let (left, alone) = left.into_iter().partition(PlannedDeletion::goes_in_a_batch);
            Batches { project, left, alone }
        };
        by_project.into_iter().map(cut).collect()
    }
}

/// What is to be deleted in one project, cut into batches of at most [`Batch::LIMIT`] ids, or of one where the engine has no deletion in
/// batches; oldest first.
#[derive(Debug)]
pub struct Batches {
    project: ProjectName,
    /// The youngest first, so that the room of what was cut off can be given back: whoever sends writes down as much elsewhere.
    left: Vec<PlannedDeletion>,
    /// Those that go alone, also the youngest first.
    alone: Vec<PlannedDeletion>,
}

/// So much room may be left unused.
const SPARE: usize = 4_000;

impl Batches {
    /// The project whose API is asked.
    pub fn project(&self) -> &ProjectName {
        &self.project
    }

    /// How many ids are left.
    pub fn ids(&self) -> usize {
        self.left.len() + self.alone.len()
    }
}

impl Iterator for Batches {
    type Item = Batch;

    fn next(&mut self) -> Option<Batch> {
        let is_alone_older = match (self.left.last(), self.alone.last()) {
            (Some(one), Some(alone)) => alone.order() < one.order(),
            (one, _) => one.is_none(),
        };
        let (left, most) = if is_alone_older {
            (&mut self.alone, 1)
        } else {
            (&mut self.left, Batch::LIMIT)
        };
        let mut items = left.split_off(left.len().saturating_sub(most));
        items.reverse();
        if left.capacity() - left.len() > SPARE {
            left.shrink_to_fit();
        }
        let project = self.project.clone();
        (!items.is_empty()).then_some(Batch { project, items })
    }
}

/// One backup that will be deleted, and the policy that answers for it.
#[derive(Clone, Debug)]
pub struct PlannedDeletion {
    /// The deleting policy: its guard passed it, its labels count it.
    pub policy: PolicyName,
    /// The backup.
    pub candidate: Candidate,
}

impl PlannedDeletion {
    /// Whether one request deletes it with others.
    pub fn goes_in_a_batch(&self) -> bool {
        self.candidate.instance.engine.is_deleted_in_batches()
    }

    /// Oldest first.
    fn order(&self) -> (DateTime<Utc>, &BackupId) {
        (self.candidate.begin, &self.candidate.id)
    }
}

/// Ids for one request: approved, of one project, at most [`Batch::LIMIT`], and one of an engine that has no deletion in batches. Can
/// only shrink.
#[derive(Debug)]
pub struct Batch {
    project: ProjectName,
    items: Vec<PlannedDeletion>,
}

impl Batch {
    /// The most ids that one request takes (API page "Deleting Manual Backups in Batches").
    pub const LIMIT: usize = 50;

    /// The project whose API is asked.
    pub fn project(&self) -> &ProjectName {
        &self.project
    }

    /// What is to be deleted, oldest first.
    pub fn items(&self) -> &[PlannedDeletion] {
        &self.items
    }

    /// The ids, oldest first.
    pub fn ids(&self) -> impl Iterator<Item = &BackupId> {
        self.items.iter().map(|item| &item.candidate.id)
    }

    /// How many ids.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// The engine of its backups; `None` of an empty batch, and of several that go alone each.
    pub fn engine(&self) -> Option<&Engine> {
        let mut engines = self.items.iter().map(|item| &item.candidate.instance.engine);
        let engine = engines.next()?;
        engines.all(|other| other == engine).then_some(engine)
    }

    /// Whether nothing is left in it; such a batch is not sent.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// All of it, to be handed over and back; an empty batch stays, which is not sent.
    #[must_use]
    pub fn take(&mut self) -> Self {
        Self {
            project: self.project.clone(),
            items: std::mem::take(&mut self.items),
        }
    }

    /// Drops what must not be sent (held meanwhile, no longer COMPLETED).
    pub fn retain(&mut self, keep: impl FnMut(&PlannedDeletion) -> bool) {
        self.items.retain(keep);
    }

    /// Two halves, to find the id that spoils a batch refused as a whole; `Err` gives back a batch of one.
    pub fn split(mut self) -> Result<(Self, Self), Self> {
        if self.items.len() < 2 {
            return Err(self);
        }
        let second = self.items.split_off(self.items.len() / 2);
        let project = self.project.clone();
        Ok((self, Self { project, items: second }))
    }

    /// The instances it touches, each once.
    pub fn instances(&self) -> Vec<Arc<Instance>> {
        let mut instances: HashMap<&InstanceId, &Arc<Instance>> = HashMap::new();
        for item in &self.items {
            instances.insert(&item.candidate.instance.id, &item.candidate.instance);
        }
        let mut instances: Vec<_> = instances.into_values().cloned().collect();
        instances.sort_by(|a, b| a.id.cmp(&b.id));
        instances
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
