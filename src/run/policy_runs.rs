//! All policies of a run beside each other: which claim an instance, and its decisions entered with each that runs.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::policy_run::PolicyRun;
use super::request::{ReportDetail, RunRequest};
use crate::retention::plan::InstanceDue;
use crate::retention::policy::Knowledge;
use crate::retention::{Backup, BackupId, Decision, Hold, Instance, InstanceId, Mode, Policy, decide};

/// Every policy that runs, and the others that protect what they keep.
pub(super) struct PolicyRuns {
    /// All policies of the configuration.
    all: Vec<Arc<Policy>>,
    /// Those that run, by place in `all`.
    running: Vec<usize>,
    holds: Vec<Hold>,
    now: DateTime<Utc>,
    /// More rows than this, of all policies together, are not kept.
    most_rows: usize,
    open: Vec<PolicyRun>,
}

impl PolicyRuns {
    pub(super) fn new(
        all: Vec<Arc<Policy>>,
        running: Vec<usize>,
        holds: Vec<Hold>,
        request: &RunRequest,
        open: impl FnMut(&Arc<Policy>) -> PolicyRun,
    ) -> Self {
        let policy_runs = running.iter().map(|place| &all[*place]).map(open).collect();
        Self {
            all,
            running,
            holds,
            now: request.now,
            most_rows: match request.rows {
                ReportDetail::All | ReportDetail::Going | ReportDetail::Streamed(_) => usize::MAX,
                ReportDetail::UpTo(most) => most,
                ReportDetail::None => 0,
            },
            open: policy_runs,
        }
    }

    /// Every policy of the configuration.
    pub(super) fn all(&self) -> &[Arc<Policy>] {
        &self.all
    }

    /// The policies that run, in the order of all numbers called `nth` in this module.
    pub(super) fn running(&self) -> impl Iterator<Item = &Arc<Policy>> {
        self.running.iter().map(|place| &self.all[*place])
    }

    /// Places in [`Self::all`] of the policies that claim an instance.
    pub(super) fn claims(&self, instance: &Instance, knowledge: Knowledge) -> Vec<usize> {
        (0..self.all.len())
            .filter(|place| self.all[*place].select.claims(instance, knowledge))
            .collect()
    }

    /// Which of the claiming policies run, as `nth`.
    pub(super) fn running_among(&self, claiming: &[usize]) -> impl Iterator<Item = usize> {
        (0..self.running.len()).filter(|nth| claiming.contains(&self.running[*nth]))
    }

    /// Decides one instance and enters the decisions of the policies that run; returns what is due, by policy. `pending`
    /// are those that an earlier run had accepted for deletion: they are kept as in progress, and their grace goes on, as
    /// no policy wants them kept.
    pub(super) fn enter(
        &mut self,
        instance: &Arc<Instance>,
        backups: &[Backup],
        claiming: &[usize],
        pending: &BTreeSet<BackupId>,
    ) -> Vec<(usize, InstanceDue)> {
        let policies: Vec<Arc<Policy>> = claiming.iter().map(|place| Arc::clone(&self.all[*place])).collect();
        let decided = decide(instance, backups, &self.holds, &policies, self.now);
        self.count_unselected(instance, backups.len(), claiming, &decided);
        let mut due = Vec::new();
        for (place, decisions) in claiming.iter().zip(decided) {
            if let Some(nth) = self.running.iter().position(|running| running == place) {
                due.push((nth, self.open[nth].enter(instance, backups, decisions, pending)));
            }
        }
        if self.open.iter().map(PolicyRun::rows).sum::<usize>() > self.most_rows {
            self.open.iter_mut().for_each(PolicyRun::drop_rows);
        }
        due
    }

    /// Counts the backups that no policy has in scope, with the first policy that claims their instance: each policy runs at its own
    /// time, and so each instance is counted once.
    fn count_unselected(&mut self, instance: &Instance, backups: usize, claiming: &[usize], decided: &[Vec<Decision>]) {
        let first = claiming.first();
        let Some(nth) = self.running.iter().position(|running| Some(running) == first) else {
            return;
        };
        let selected: HashSet<usize> = decided.iter().flatten().map(|decision| decision.backup).collect();
        self.open[nth].count_unselected(&instance.project, backups.saturating_sub(selected.len()));
    }

    /// Adds what is due on one instance to the plan that the guard will see.
    pub(super) fn add(&mut self, nth: usize, due: InstanceDue) {
        self.open[nth].add(due);
    }

    /// Whether something is in the grace period on an instance that would be due if a dry-run policy had been enforced.
    pub(super) fn would_be_due(&self, nth: usize, instance: &InstanceId) -> bool {
        self.open[nth].would_be_due(instance)
    }

    /// Whether what is due on an instance may be sent.
    pub(super) fn sends(&self, nth: usize, of: &InstanceDue) -> bool {
        self.open[nth].policy().mode == Mode::Enforce && !of.due.is_empty()
    }

    /// Takes these instances out of the plans, and begins no grace there.
    pub(super) fn leave_out(&mut self, left_out: impl Fn(&Instance) -> bool) {
        for policy_run in &mut self.open {
            policy_run.leave_out(&left_out);
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &PolicyRun> {
        self.open.iter()
    }

    pub(super) fn into_inner(self) -> Vec<PolicyRun> {
        self.open
    }
}
