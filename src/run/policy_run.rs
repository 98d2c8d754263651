//! One policy's side of a run: its decisions with grace taken into account, its numbers, and its plan.
//!
//! Pure, although it is in layer 2: it is the seam between the decision (layer 0) and what the ledger remembers.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::grace::{GracePeriods, OfInstance};
use super::request::{ReportDetail, RowSink, RunRequest};
use crate::retention::plan::InstanceDue;
use crate::retention::policy::Knowledge;
use crate::retention::report::{Action, InstanceSummary, PolicyReport, Restart, Row, RunResult, Summary};
use crate::retention::{
    Backup, BackupId, Candidate, Decision, ExpireReason, Hold, Instance, InstanceId, Mode, Plan, Policy, ProjectName,
    Verdict, decide,
};

/// Since when which backups have been expired under a policy.
#[derive(Clone, Debug)]
pub enum Grace {
    /// As the ledger knows it.
    Known(GracePeriods),
    /// Taken as over (`plan --backups FILE`).
    Over,
}

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
        if self.open.iter().map(|policy_run| policy_run.rows.len()).sum::<usize>() > self.most_rows {
            for policy_run in &mut self.open {
                policy_run.wanted = ReportDetail::None;
                policy_run.rows = Vec::new();
            }
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
        let of = self.open[nth].unselected.entry(instance.project.clone()).or_default();
        *of += backups.saturating_sub(selected.len()) as u64;
    }

    /// Adds what is due on one instance to the plan that the guard will see.
    pub(super) fn add(&mut self, nth: usize, due: InstanceDue) {
        self.open[nth].add(due);
    }

    /// Whether something is in the grace period on an instance that would be due if a dry-run policy had been enforced.
    pub(super) fn would_be_due(&self, nth: usize, instance: &InstanceId) -> bool {
        self.open[nth].waiting.contains_key(instance)
    }

    /// Takes these instances out of the plans, and begins no grace there.
    pub(super) fn leave_out(&mut self, left_out: impl Fn(&Instance) -> bool) {
        for policy_run in &mut self.open {
            policy_run.plan.retain(|of| !left_out(&of.instance));
            policy_run.if_enforced.retain(|of| !left_out(&of.instance));
            policy_run.started.retain(|start| !left_out(&start.instance));
            policy_run.seen.retain(|seen| !left_out(&seen.instance));
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &PolicyRun> {
        self.open.iter()
    }

    pub(super) fn into_accounts(self) -> Vec<PolicyRun> {
        self.open
    }
}

/// One policy in one run.
pub(super) struct PolicyRun {
    policy: Arc<Policy>,
    grace: Grace,
    now: DateTime<Utc>,
    /// Which decisions are wanted, beside their numbers.
    wanted: ReportDetail,
    /// Rows of kept backups were too many, and are left out.
    is_large: bool,
    summary: Summary,
    instances: Vec<InstanceSummary>,
    unselected: BTreeMap<ProjectName, u64>,
    rows: Vec<Row>,
    plan: Plan,
    /// Of a dry-run policy: the plan as if it were enforced and every grace period were over.
    if_enforced: Plan,
    /// What that plan has beside what is due, by instance, until it is added.
    waiting: HashMap<InstanceId, Vec<Candidate>>,
    /// Expired for the first time, or after a break: their grace period starts.
    started: Vec<Started>,
    /// Kept again: their grace period is forgotten.
    cleared: Vec<(Arc<Instance>, BackupId)>,
    /// Instances of which something has a grace period.
    seen: Vec<SeenExpired>,
    restarted: BTreeMap<Restart, u64>,
}

/// A backup that was found expired and was not before.
pub(super) struct Started {
    pub(super) instance: Arc<Instance>,
    pub(super) backup: BackupId,
    pub(super) name: Arc<str>,
}

/// An instance that was read, and what has a grace period there and was not listed.
pub(super) struct SeenExpired {
    pub(super) instance: Arc<Instance>,
    pub(super) absent: Vec<(BackupId, DateTime<Utc>)>,
}

impl PolicyRun {
    pub(super) fn new(policy: Arc<Policy>, grace: Grace, now: DateTime<Utc>, wanted: ReportDetail) -> Self {
        let [plan, if_enforced] = [(); 2].map(|()| Plan::new(Arc::clone(&policy)));
        Self {
            policy,
            grace,
            now,
            wanted,
            is_large: false,
            summary: Summary::default(),
            instances: Vec::new(),
            unselected: BTreeMap::new(),
            rows: Vec::new(),
            plan,
            if_enforced,
            waiting: HashMap::new(),
            started: Vec::new(),
            cleared: Vec::new(),
            seen: Vec::new(),
            restarted: BTreeMap::new(),
        }
    }

    pub(super) fn policy(&self) -> &Arc<Policy> {
        &self.policy
    }

    /// What is due, before the guard.
    pub(super) fn plan(&self) -> &Plan {
        &self.plan
    }

    /// What would go if the policy were enforced and every grace period were over; of one that is enforced, what is due.
    pub(super) fn all_due(&self) -> impl Iterator<Item = &InstanceDue> {
        self.plan.instances().iter().chain(self.if_enforced.instances())
    }

    pub(super) fn started(&self) -> &[Started] {
        &self.started
    }

    pub(super) fn cleared(&self) -> &[(Arc<Instance>, BackupId)] {
        &self.cleared
    }

    pub(super) fn seen(&self) -> &[SeenExpired] {
        &self.seen
    }

    /// Enters one instance's decisions; returns what is due there.
    fn enter(
        &mut self,
        instance: &Arc<Instance>,
        backups: &[Backup],
        decisions: Vec<Decision>,
        pending: &BTreeSet<BackupId>,
    ) -> InstanceDue {
        let known = match &mut self.grace {
            Grace::Known(periods) => Some(periods.take(instance)),
            Grace::Over => None,
        };
        if let Some(known) = known.as_ref().filter(|known| !known.is_empty()) {
            self.clear_out_of_scope(instance, known, backups, &decisions);
            let listed = backups.iter().map(|backup| &backup.id).collect();
            self.seen.push(SeenExpired {
                instance: Arc::clone(instance),
                absent: known.absent(&listed),
            });
        }
        let mut counted = 0;
        let mut of_instance = InstanceSummary::new(Arc::clone(instance));
        let (mut due, mut waiting) = (Vec::new(), Vec::new());
        for Decision {
            backup,
            verdict,
            expires_at,
        } in decisions
        {
            let backup = &backups[backup];
            counted += usize::from(verdict.is_limited(backup));
            let action = self.act(instance, known.as_ref(), backup, verdict, pending);
            match &action {
                Action::Wait { reason, .. } if self.policy.mode == Mode::DryRun => {
                    waiting.extend(candidate(instance, backup, *reason));
                }
                Action::Delete(reason) => due.extend(candidate(instance, backup, *reason)),
                Action::Keep(_) | Action::Wait { .. } => {}
            }
            self.summary.of(&action).add(backup.size_bytes);
            of_instance.add(&action, backup);
            let is_wanted = match self.wanted {
                ReportDetail::None => false,
                ReportDetail::Going => !self.is_large || !matches!(action, Action::Keep(_)),
                ReportDetail::All | ReportDetail::UpTo(_) | ReportDetail::Streamed(_) => true,
            };
            if is_wanted {
                self.show(Row {
                    instance: Arc::clone(instance),
                    backup: backup.clone(),
                    action,
                    expires_at,
                    fate: None,
                });
            }
        }
        self.drop_kept_rows_of_large_reports();
        if of_instance.summary.count() > 0 {
            self.instances.push(of_instance);
        }
        if !waiting.is_empty() {
            self.waiting.insert(instance.id.clone(), waiting);
        }
        InstanceDue {
            instance: Arc::clone(instance),
            counted,
            newest_recovery_point: None,
            due,
        }
    }

    fn drop_kept_rows_of_large_reports(&mut self) {
        let is_kept = |row: &Row| matches!(row.action, Action::Keep(_));
        if matches!(self.wanted, ReportDetail::Going)
            && !self.is_large
            && self
                .rows
                .iter()
                .filter(|row| is_kept(row))
                .nth(ReportDetail::FEW)
                .is_some()
        {
            self.is_large = true;
            self.rows.retain(|row| !is_kept(row));
        }
    }

    fn add(&mut self, due: InstanceDue) {
        if self.policy.mode == Mode::DryRun {
            let mut if_enforced = due.clone();
            if_enforced
                .due
                .extend(self.waiting.remove(&due.instance.id).unwrap_or_default());
            self.if_enforced.add(if_enforced);
        }
        self.plan.add(due);
    }

    /// Tells a decision, or holds it for the report.
    fn show(&mut self, row: Row) {
        if let ReportDetail::Streamed(RowSink { add, .. }) = &self.wanted {
            return add(&self.policy.name, &row);
        }
        if self.rows.len() == self.rows.capacity() {
            // By an eighth, not twice: the rows are the most of what a report holds.
            self.rows.reserve_exact(64.max(self.rows.len() / 8));
        }
        self.rows.push(row);
    }

    /// Forgets the grace of what an edit took out of the policy's scope: it is not expired any more.
    fn clear_out_of_scope(
        &mut self,
        instance: &Arc<Instance>,
        known: &OfInstance,
        backups: &[Backup],
        decisions: &[Decision],
    ) {
        // Decisions come in the order of the backups.
        let mut in_scope = decisions.iter().map(|decision| decision.backup).peekable();
        for (place, backup) in backups.iter().enumerate() {
            if in_scope.next_if_eq(&place).is_none() && known.has(&backup.id) {
                self.cleared.push((Arc::clone(instance), backup.id.clone()));
            }
        }
    }

    fn act(
        &mut self,
        instance: &Arc<Instance>,
        known: Option<&OfInstance>,
        backup: &Backup,
        verdict: Verdict,
        pending: &BTreeSet<BackupId>,
    ) -> Action {
        let reason = match verdict {
            Verdict::Keep(reasons) => {
                if known.is_some_and(|known| known.has(&backup.id)) && !pending.contains(&backup.id) {
                    self.cleared.push((Arc::clone(instance), backup.id.clone()));
                }
                return Action::Keep(reasons);
            }
            Verdict::Expire(reason) => reason,
        };
        let Some(known) = known else {
            return Action::Delete(reason);
        };
        let (span, zone) = (self.policy.grace, self.policy.zone);
        let since = known.running.get(&backup.id).copied();
        // Without a grace there is no waiting to remember.
        if since.is_none() && !span.is_zero() {
            if let Some(why) = known.restarting.get(&backup.id) {
                *self.restarted.entry(*why).or_default() += 1;
            }
            self.started.push(Started {
                instance: Arc::clone(instance),
                backup: backup.id.clone(),
                name: Arc::clone(&backup.name),
            });
        }
        let began = since.unwrap_or(self.now);
        if span.before(self.now, zone).is_some_and(|edge| began <= edge) {
            Action::Delete(reason)
        } else {
            Action::Wait {
                reason,
                since,
                due_at: span.boundary_after(began, zone),
            }
        }
    }

    /// The numbers and rows so far, the plan for the guard, and the one to ask about as if a dry-run policy were enforced.
    pub(super) fn close(self) -> (PolicyReport, Plan, Plan) {
        let report = PolicyReport {
            summary: self.summary,
            instances: self.instances,
            unselected: self.unselected,
            rules: self.policy.keep.rules().to_vec(),
            rows: self.rows,
            restarted: self.restarted,
            ..PolicyReport::new(
                self.policy.name.clone(),
                self.policy.mode,
                self.policy.zone,
                RunResult::Success,
            )
        };
        (report, self.plan, self.if_enforced)
    }
}

/// `None` for what cannot be due: only COMPLETED and FAILED backups with a readable time ever expire.
fn candidate(instance: &Arc<Instance>, backup: &Backup, reason: ExpireReason) -> Option<Candidate> {
    Some(Candidate {
        instance: Arc::clone(instance),
        id: backup.id.clone(),
        name: Arc::clone(&backup.name),
        begin: backup.begin?,
        size_bytes: backup.size_bytes,
        status: backup.status.clone(),
        reason,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retention::Span;
    use crate::retention::Zone;

    #[test]
    fn a_zero_grace_is_over_at_once_also_on_a_new_state() {
        let now: DateTime<Utc> = "2026-11-23T03:00:00Z".parse().unwrap();
        assert_eq!(Span::ZERO.before(now, Zone::UTC), Some(now));
    }
}
