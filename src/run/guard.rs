//! The guard's place in a run: it sees each policy's whole plan after everything is decided and before anything is sent.
//!
//! What it decides is `retention::plan`'s; here it gets what it looks at, and what it refused is kept for `approve`.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::context::RunContext;
use super::error::Error;
use super::policy_run::PolicyRun;
use super::policy_runs::PolicyRuns;
use super::request::RunRequest;
use super::scan_result::{Coverage, Scan};
use crate::blocking::blocking;
use crate::ledger::{Ledger, RefusedPlan};
use crate::retention::plan::{Approval, Conditions};
use crate::retention::report::{PolicyReport, Tally};
use crate::retention::{ApprovedPlan, BackupId, Freezes, InstanceId, Mode, ProjectName, Refusal, total_bytes};

/// The freezes in force at `now`, from configuration and ledger.
fn freezes(context: &RunContext, now: DateTime<Utc>) -> Result<Option<Freezes>, Error> {
    let configured = context.live.borrow().configured_freeze();
    let placed = match &context.ledger {
        Some(ledger) => blocking(|| ledger.freezes())?,
        None => Vec::new(),
    };
    let placed = placed.into_iter().map(|placed| (placed.freeze, placed.id));
    Ok(Freezes::in_force(configured, placed, now))
}

/// Asks the guard about each policy's whole plan. In a dry run the answer is reported, and nothing is approved.
pub(super) fn guard(
    request: &RunRequest,
    context: &RunContext,
    run_id: Option<&str>,
    scan: &mut Scan,
    policy_runs: PolicyRuns,
) -> Result<(Vec<PolicyReport>, Vec<ApprovedPlan>), Error> {
    let freezes = freezes(context, request.now)?;
    ask_of_all(
        request,
        freezes.as_ref(),
        context.ledger.as_deref(),
        run_id,
        scan,
        policy_runs,
    )
}

/// The same under these freezes. Without a ledger nothing is approved by hand, and nothing waits for it.
pub(super) fn ask_of_all(
    request: &RunRequest,
    freeze: Option<&Freezes>,
    ledger: Option<&Ledger>,
    run_id: Option<&str>,
    scan: &mut Scan,
    policy_runs: PolicyRuns,
) -> Result<(Vec<PolicyReport>, Vec<ApprovedPlan>), Error> {
    let mut reports = Vec::new();
    let mut approved = Vec::new();
    for (nth, policy_run) in policy_runs.into_inner().into_iter().enumerate() {
        let policy = Arc::clone(policy_run.policy());
        let by_hand: HashSet<BackupId> = match ledger {
            Some(ledger) => blocking(|| ledger.approvals(&policy.name, policy.limits.approvals, request.now))?,
            None => HashSet::new(),
        };
        let planned = planned_by(&policy_run);
        let conditions = Conditions {
            now: request.now,
            freeze,
            clocks: &scan.clocks,
            approved: &by_hand,
        };
        let (mut report, plan) = ask_guard(policy_run, &conditions, &scan.shrunk_for(nth));
        for refusal in &report.refusals {
            scan.note_refusal(refusal, |instance| {
                planned.get(instance).map(|(project, _)| project.clone())
            });
        }
        let run = run_id.unwrap_or_default();
        let waiting = waiting_for_approval(run, &report.refusals, &planned, &by_hand, request.now);
        if let (Some(_), Mode::Enforce, Some(ledger)) = (run_id, policy.mode, ledger) {
            // What waits goes on waiting through a freeze, a wrong clock or a day without listings: the limits were not
            // asked of it then.
            let asked = report.refusals.is_empty() && scan.hit.of(nth) == Coverage::None;
            blocking(|| match &waiting {
                Some(refused) => ledger.record_refused(&policy.name, refused),
                None if asked => ledger.clear_refused(&policy.name),
                None => Ok(()),
            })?;
            approved.push(plan);
        }
        if let (Some(waiting), Some(ledger)) = (&waiting, ledger) {
            report.digest = approvable(ledger, &report, waiting, request.now)?;
        }
        reports.push(report);
    }
    scan.skipped
        .sort_by(|a, b| (&a.project, &a.instance).cmp(&(&b.project, &b.instance)));
    Ok((reports, approved))
}

/// The ids of a policy's plan, by instance.
fn planned_by(policy_run: &PolicyRun) -> HashMap<InstanceId, (ProjectName, Vec<BackupId>)> {
    let instances = policy_run.plan().instances().iter();
    let planned = instances.map(|of| {
        let ids = of.due.iter().map(|due| due.id.clone()).collect();
        (of.instance.id.clone(), (of.instance.project.clone(), ids))
    });
    planned.collect()
}

/// By which digest the plan can be approved. What no run was refused cannot be, so a plan names only what a run was refused before.
fn approvable(
    ledger: &Ledger,
    report: &PolicyReport,
    waiting: &RefusedPlan,
    now: DateTime<Utc>,
) -> Result<Option<String>, Error> {
    let known = blocking(|| ledger.refused_plan(&report.policy, &waiting.digest))?;
    Ok(known.filter(|plan| plan.is_approvable(now)).map(|plan| plan.digest))
}

/// Asks the guard about one policy's whole plan, and of a dry-run policy what it would say if the policy were enforced.
/// `before` was refused already.
fn ask_guard(policy_run: PolicyRun, conditions: &Conditions<'_>, before: &[Refusal]) -> (PolicyReport, ApprovedPlan) {
    let (mut report, plan, if_enforced) = policy_run.close();
    let gravest_first = |refusals: Vec<Refusal>| {
        let mut all = [before, &refusals].concat();
        all.sort_by_key(Refusal::gravity);
        all
    };
    if report.mode == Mode::DryRun {
        report.when_enforced = Some(gravest_first(if_enforced.approve(conditions).refusals));
    }
    let Approval { plan, refusals } = plan.approve(conditions);
    report.approved = plan.due().len() as u64;
    if report.mode == Mode::Enforce {
        let approved = total_bytes(plan.due().iter().map(|due| due.size_bytes));
        report.held_back = Tally {
            count: report.summary.delete.count.saturating_sub(report.approved),
            bytes: report.summary.delete.bytes.saturating_sub(approved),
        };
    }
    report.refusals = gravest_first(refusals);
    (report, plan)
}

/// What `approve POLICY --plan` would approve: the whole plan where `max_deletions` refused it, else the instances that
/// `max_percent` refused; without what is approved already, for that is sent.
fn waiting_for_approval(
    run: &str,
    refusals: &[Refusal],
    planned: &HashMap<InstanceId, (ProjectName, Vec<BackupId>)>,
    approved: &HashSet<BackupId>,
    at: DateTime<Utc>,
) -> Option<RefusedPlan> {
    let waiting: Vec<&Refusal> = refusals.iter().filter(|refusal| refusal.waits_for_approval()).collect();
    let whole = waiting.iter().any(|refusal| refusal.instance().is_none());
    let of_instance = |id: &InstanceId| whole || waiting.iter().any(|refusal| refusal.instance() == Some(id));
    let backups: Vec<BackupId> = planned
        .iter()
        .filter(|(id, _)| of_instance(id))
        .flat_map(|(_, (_, ids))| ids)
        .filter(|id| !approved.contains(*id))
        .cloned()
        .collect();
    let mut limits: Vec<String> = waiting.iter().map(|refusal| refusal.limit().to_owned()).collect();
    limits.dedup();
    (!waiting.is_empty()).then(|| RefusedPlan::new(run, limits, backups, at))
}
