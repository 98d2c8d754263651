//! One policy's side of a run: its decisions with grace taken into account, its numbers, and its plan.
//!
//! Pure: here the decision meets what the ledger remembers.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::grace::{GracePeriods, OfInstance};
use super::request::{ReportDetail, RowSink};
use crate::retention::plan::InstanceDue;
use crate::retention::report::{Action, BackupRow, InstanceSummary, PolicyReport, Restart, RunResult, Summary};
use crate::retention::{
    Backup, BackupId, Candidate, Decision, ExpireReason, Instance, InstanceId, Mode, Plan, Policy, ProjectName, Verdict,
};

/// Since when which backups have been expired under a policy.
#[derive(Clone, Debug)]
pub enum Grace {
    /// As the ledger knows it.
    Known(GracePeriods),
    /// Taken as over (`plan --backups FILE`).
    Over,
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
    rows: Vec<BackupRow>,
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
    pub(super) fn enter(
        &mut self,
        instance: &Arc<Instance>,
        backups: &[Backup],
        decisions: Vec<Decision>,
        pending: &BTreeSet<BackupId>,
    ) -> InstanceDue {
        let known = self.grace_of(instance, backups, &decisions);
        let mut counted = 0;
        let mut of_instance = InstanceSummary::new(Arc::clone(instance));
        let (mut due, mut waiting) = (Vec::new(), Vec::new());
        for decision in decisions {
            let backup = &backups[decision.backup];
            counted += usize::from(decision.verdict.is_limited(backup));
            let action = self.act(instance, known.as_ref(), backup, decision.verdict, pending);
            match &action {
                Action::Wait { reason, .. } if self.policy.mode == Mode::DryRun => {
                    waiting.extend(candidate(instance, backup, *reason));
                }
                Action::Delete(reason) => due.extend(candidate(instance, backup, *reason)),
                Action::Keep(_) | Action::Wait { .. } => {}
            }
            self.summary.of(&action).add(backup.size_bytes);
            of_instance.add(&action, backup);
            if self.is_wanted(&action) {
                self.show(BackupRow {
                    instance: Arc::clone(instance),
                    backup: backup.clone(),
                    action,
                    expires_at: decision.expires_at,
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

    /// What has been expired on an instance since when; `None` where grace is taken as over.
    fn grace_of(&mut self, instance: &Arc<Instance>, backups: &[Backup], decisions: &[Decision]) -> Option<OfInstance> {
        let Grace::Known(periods) = &mut self.grace else {
            return None;
        };
        let known = periods.take(instance);
        if !known.is_empty() {
            self.clear_out_of_scope(instance, &known, backups, decisions);
            let listed = backups.iter().map(|backup| &backup.id).collect();
            self.seen.push(SeenExpired {
                instance: Arc::clone(instance),
                absent: known.absent(&listed),
            });
        }
        Some(known)
    }

    fn is_wanted(&self, action: &Action) -> bool {
        match self.wanted {
            ReportDetail::None => false,
            ReportDetail::Going => !self.is_large || !matches!(action, Action::Keep(_)),
            ReportDetail::All | ReportDetail::UpTo(_) | ReportDetail::Streamed(_) => true,
        }
    }

    /// How many rows are held for the report.
    pub(super) fn rows(&self) -> usize {
        self.rows.len()
    }

    /// Holds no rows, and takes no more.
    pub(super) fn drop_rows(&mut self) {
        self.wanted = ReportDetail::None;
        self.rows = Vec::new();
    }

    /// Counts backups of an instance that no policy has in scope.
    pub(super) fn count_unselected(&mut self, project: &ProjectName, backups: usize) {
        *self.unselected.entry(project.clone()).or_default() += backups as u64;
    }

    /// Whether something is in the grace period on an instance that would be due if a dry-run policy had been enforced.
    pub(super) fn would_be_due(&self, instance: &InstanceId) -> bool {
        self.waiting.contains_key(instance)
    }

    /// Takes these instances out of the plans, and begins no grace there.
    pub(super) fn leave_out(&mut self, left_out: impl Fn(&Instance) -> bool) {
        self.plan.retain(|of| !left_out(&of.instance));
        self.if_enforced.retain(|of| !left_out(&of.instance));
        self.started.retain(|start| !left_out(&start.instance));
        self.seen.retain(|seen| !left_out(&seen.instance));
    }

    fn drop_kept_rows_of_large_reports(&mut self) {
        let is_kept = |row: &BackupRow| matches!(row.action, Action::Keep(_));
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

    /// Adds what is due on one instance to the plan that the guard will see.
    pub(super) fn add(&mut self, due: InstanceDue) {
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
    fn show(&mut self, row: BackupRow) {
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
