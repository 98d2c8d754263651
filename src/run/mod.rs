//! Layer 2: one run, from listing to report.
//!
//! ```text
//! scan     list instances and their backups, decide each as soon as it is listed
//! guard    sees each policy's whole plan
//! send     batches: intent in the ledger → request → one outcome per id
//! confirm  list what was touched until the accepted ones are gone
//! ```
//!
//! `plan` and dry-run walk the same path and stop before `send`. Not for *when* to run (`daemon`) nor for words (`wording`, `cli`).
//! The only caller of the client's delete is [`send`].

mod anchor;
mod cancel;
mod clock_jump;
mod confirm;
mod conflicts;
mod context;
mod decide;
mod edits;
mod ended;
mod error;
mod grace;
mod guard;
mod in_use;
mod instances;
mod key_refusals;
mod ledger_snapshot;
mod ledger_writer;
mod list_backups;
mod notices;
mod offline;
mod orphans;
mod persist;
mod policy_run;
mod policy_runs;
mod projects;
mod request;
mod scan;
mod scan_result;
mod send;
mod sent;
mod single_deletions;
mod skip;
mod state;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use anchor::refusal_by_state;
pub use anchor::{anchor, anchor_log, check_anchor};
pub use context::{OnProgress, Progress, RunContext};
pub use ended::{Ended, ended};
pub use error::Error;
pub use grace::{DueCounts, GracePeriods, OfInstance};
pub use key_refusals::{LedgerKeyTrials, refusal_to_keep, refusals_kept};
pub use notices::{Notices, notice_of_hold, notices};
use notices::{notices_of_coverage, notices_of_plan};
pub use offline::{BackupsOfFile, OfflineInstance, decide_file, decide_offline, instances_of_file};
pub use policy_run::Grace;
pub use projects::Projects;
pub use request::{Purpose, ReportDetail, RowSink, RunRequest};
pub use state::{host_name, join, note_configuration, projects_asked, refusal_of, state_of, state_place};

use crate::blocking::blocking;
use crate::config::Config;
use crate::ledger::{self, DeletionLock, Ledger};
use crate::rds::Client;
use crate::retention::report::{
    Interruption, PolicyReport, RunNumbers, RunReport, RunResult, RunSummary, Skip, SkipReason, Tally,
};
use crate::retention::{Fate, Instance, InstanceId, Mode, PolicyName, ProjectName};
use crate::wording::{self, left_alone, refusals};
use clock_jump::ClockJumpDetector;
use context::stop_requested;
use guard::guard;
use ledger_snapshot::may_select;
use scan_result::{Coverage, CoverageByPolicy};

/// Walks one run.
pub async fn run(request: &RunRequest, context: &RunContext) -> Result<RunReport, Error> {
    let context = &context.fenced();
    let limits = (Instant::now() + request.budget, ClockJumpDetector::now());
    let running = running_policies(request, &context.config)?;
    clients(&running, context).iter().for_each(Client::begin_run);
    let (run_id, of_anchor) = begin(request, context, &running).await?.unzip();
    let done = begun(
        request,
        context,
        &running,
        (run_id.clone(), of_anchor.flatten()),
        limits,
    )
    .await;
    if let (Err(_), Some(run_id)) = (&done, &run_id) {
        end_failed(context, run_id, &running);
    }
    done
}

/// Writes down that a run ended with an error: else it would count as under way as long as its process lives.
fn end_failed(context: &RunContext, run_id: &str, running: &[usize]) {
    let Some(ledger) = &context.ledger else { return };
    let failed = running.iter().map(|place| {
        let policy = &context.config.policies[*place].policy.name;
        ledger::FinishedPolicy::cut_short(policy.clone(), Interruption::Failed)
    });
    let failed: Vec<_> = failed.collect();
    if let Err(error) = blocking(|| ledger.finish_run(run_id, crate::clock::now(), &failed)) {
        // A later run closes it, as it does those of a killed process.
        tracing::debug!(%error, "how the run ended is not written down");
    }
}

/// The rest of a run that has begun.
async fn begun(
    request: &RunRequest,
    context: &RunContext,
    running: &[usize],
    (run_id, of_anchor): (Option<String>, Option<String>),
    (deadline, clock_jump): (Instant, ClockJumpDetector),
) -> Result<RunReport, Error> {
    let asked = clients(running, context);
    let calls = || asked.iter().map(Client::calls).sum::<u64>();
    let calls_before = calls();
    let (mut scan, conflicts, mut policy_runs, of_tasks) =
        decide::decide(request, context, running, deadline, clock_jump).await?;
    conflicts::leave_backups_alone(&mut scan, &conflicts, &mut policy_runs);
    if let Some(run_id) = &run_id {
        persist::persist_scan(request, context, run_id, &scan, &conflicts, &policy_runs)?;
    }
    let of_deletions = single_deletions::notices(&context.config, &policy_runs);
    let of_changed = left_alone::changed(&scan.changed).into_iter();
    let of_changed = of_changed.chain(left_alone::returned(&scan.settled));
    let found = of_anchor.into_iter().chain(of_tasks).chain(of_deletions);
    let found = found.chain(of_changed);
    let notices = noticed(request, context, run_id.is_some(), found)?;
    let (mut reports, approved) = guard(request, context, run_id.as_deref(), &mut scan, policy_runs)?;
    if request.purpose == Purpose::Plan
        && let Some(refusal) = blocking(|| refusal_by_state(&context.config, context.ledger.as_deref()))?
    {
        for report in &mut reports {
            report.refuse_all(&refusal);
        }
    }
    let mut report = RunReport {
        run_id: run_id.clone(),
        policies: reports,
        unmanaged: scan.unmanaged,
        overlaps: scan.overlaps,
        names: names_of_skipped(&scan.listed, &scan.skipped),
        skipped: scan.skipped,
        instances: scan.counts,
        settled_earlier: scan.settled,
        notices,
        ..RunReport::new(request.now)
    };
    if let (Purpose::Apply { confirm_for }, Some(run_id)) = (request.purpose, &run_id) {
        let listings = scan.listings.into_iter().map(|(instance, (_, of))| (instance, of));
        let (listings, limits) = (Arc::new(listings.collect()), (deadline, clock_jump));
        let sent = send::send(approved, context, run_id, limits, Arc::clone(&listings), scan.progress).await?;
        let sent = confirm::confirm(sent, context, run_id, &listings, Instant::now() + confirm_for).await?;
        sent.enter(&mut report, &request.rows);
    }
    // Nothing waits for it: it may be many calls, and no decision depends on it.
    let (orphans, of_orphans) = orphans::read(context, &scan.listed, (deadline, request.now)).await;
    report.orphans = orphans;
    if run_id.is_some() {
        log_notices(&of_orphans);
    }
    report.notices.extend(of_orphans);
    report.calls = calls() - calls_before;
    finish(context, &mut report, &scan.hit)?;
    Ok(report)
}

/// The names of the instances that are left alone, which have no decisions that would name them.
fn names_of_skipped(listed: &[(ProjectName, Vec<Instance>)], skipped: &[Skip]) -> HashMap<InstanceId, Arc<str>> {
    let skipped: HashSet<&InstanceId> = skipped.iter().filter_map(|skip| skip.instance.as_ref()).collect();
    let listed = listed.iter().flat_map(|(_, instances)| instances);
    listed
        .filter(|instance| skipped.contains(&instance.id))
        .map(|instance| (instance.id.clone(), Arc::clone(&instance.name)))
        .collect()
}

/// The clients of the projects that this run asks. Runs of other projects may be under way beside it.
fn clients(running: &[usize], context: &RunContext) -> Vec<Client> {
    let policies = || running.iter().map(|place| &context.config.policies[*place].policy);
    let clients = context.projects.iter();
    let asked = clients.filter(|(name, _)| policies().any(|policy| may_select(policy, name)));
    asked.map(|(_, client)| client.clone()).collect()
}

/// Refuses a policy that the configuration does not have; for those who make something before they begin a run.
pub fn check_policy_names(wanted: Option<&[PolicyName]>, config: &Config) -> Result<(), Error> {
    places_of(wanted, config).map(|_| ())
}

/// Indices of the policies that run, in the configuration's order.
fn running_policies(request: &RunRequest, config: &Config) -> Result<Vec<usize>, Error> {
    places_of(request.policies.as_deref(), config)
}

fn places_of(wanted: Option<&[PolicyName]>, config: &Config) -> Result<Vec<usize>, Error> {
    let Some(wanted) = wanted else {
        return Ok((0..config.policies.len()).collect());
    };
    let names: Vec<&PolicyName> = config.policies.iter().map(|entry| &entry.policy.name).collect();
    if let Some(name) = wanted.iter().find(|name| !names.contains(name)) {
        let known = names.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
        return Err(Error::NoSuchPolicy {
            name: name.clone(),
            known,
        });
    }
    Ok((0..names.len())
        .filter(|index| wanted.contains(names[*index]))
        .collect())
}

/// The notices of a run, which logs them, or of a plan: those about the configuration, and what the run found.
fn noticed(
    request: &RunRequest,
    context: &RunContext,
    is_run: bool,
    of_run: impl Iterator<Item = String>,
) -> Result<Vec<String>, Error> {
    let mut found = match &context.ledger {
        Some(ledger) => {
            let config = context.live.borrow().clone();
            blocking(|| {
                if is_run {
                    notices_of_coverage(&config, ledger, request.now)
                } else {
                    notices_of_plan(&config, ledger, request.now).map(Notices::into_all)
                }
            })?
        }
        None => Vec::new(),
    };
    found.extend(of_run);
    if is_run {
        log_notices(&found);
    }
    Ok(found)
}

fn log_notices(notices: &[String]) {
    for notice in notices {
        tracing::info!("{notice}");
    }
}

/// Records the run's beginning and closes what a killed process left open; nothing of that for a plan. The run's id, and what there is to
/// say of the anchor.
async fn begin(
    request: &RunRequest,
    context: &RunContext,
    running: &[usize],
) -> Result<Option<(String, Option<String>)>, Error> {
    if request.purpose == Purpose::Plan {
        return Ok(None);
    }
    let (ledger, lock) = context
        .ledger
        .as_ref()
        .zip(context.lock.as_ref())
        .ok_or(Error::NoLedger)?;
    let id = uuid::Uuid::now_v7().to_string();
    let policy = |place: &usize| &context.config.policies[*place].policy;
    let policies: Vec<(PolicyName, Mode)> = running.iter().map(policy).map(|p| (p.name.clone(), p.mode)).collect();
    let is_drained = drain(ledger, lock, context).await?;
    let of_anchor = blocking(|| {
        let of_anchor = check_anchor(&context.config, ledger)?;
        ledger.remember_configured(&context.config.holds, context.config.freeze.as_ref(), request.now)?;
        for left in ledger.close_interrupted_runs(lock, request.now)? {
            log_interrupted(&left);
        }
        // With the newest: where that keeps more, the run keeps to it, and the other members are to know of it.
        join(ledger, &context.live.borrow().clone())?;
        if is_drained {
            ledger.close_open_requests(lock, request.now)?;
        }
        ledger.note_configured_holds(&context.config.holds, request.now)?;
        note_configuration(ledger, &context.config, request.now)?;
        ledger.begin_run(&ledger::NewRun {
            id: &id,
            policies: &policies,
            config_sha256: &context.config.sha256,
            started_at: request.now,
            cause: request.trigger,
            person: request.person.as_deref(),
        })?;
        Ok::<_, ledger::Error>(of_anchor)
    })?;
    Ok(Some((id, of_anchor)))
}

/// Waits for requests of a process whose lock file was removed or replaced under it, so that none of its ids is sent beside
/// them; that process records no further intent. False: a stop was requested first.
async fn drain(ledger: &Ledger, lock: &DeletionLock, context: &RunContext) -> Result<bool, Error> {
    let until = Instant::now() + crate::clock::protocol_time(ledger::DRAIN);
    let mut is_logged = false;
    while blocking(|| ledger.awaits_other_holder(lock))? && Instant::now() < until {
        if !std::mem::replace(&mut is_logged, true) {
            tracing::warn!(
                "deletions.lock was removed or replaced while requests were under way: waiting for their answers, at most {} s",
                ledger::DRAIN.as_secs()
            );
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(200)) => {}
            () = stop_requested(context) => return Ok(false),
        }
    }
    Ok(true)
}

/// Names the results, writes the summary down and takes the head of the chain.
fn finish(context: &RunContext, report: &mut RunReport, hit: &CoverageByPolicy) -> Result<(), Error> {
    report.finished_at = crate::clock::now();
    let is_stopped = *context.stop.borrow();
    let mut interrupted = Vec::new();
    for (nth, policy) in report.policies.iter_mut().enumerate() {
        let hit = hit.of(nth);
        let returned = report
            .settled_earlier
            .iter()
            .filter(|settled| settled.fate == Fate::Returned);
        let returned = returned.filter(|settled| settled.policy == policy.policy).count();
        policy.result = result_of(policy, hit, returned > 0);
        // Stopped with work left: that it went well until then is no success.
        let is_interrupted = is_stopped && (policy.left > 0 || hit != Coverage::None);
        if is_interrupted {
            policy.result = RunResult::Failed;
        }
        interrupted.push(is_interrupted);
    }
    let Some(ledger) = &context.ledger else { return Ok(()) };
    for row in blocking(|| ledger.unconfirmed())? {
        *report.unconfirmed.entry(row.project).or_default() += 1;
    }
    if let Some(run_id) = &report.run_id {
        let orphans = wording::orphans::sentences(&report.orphans, context.config.price.as_ref());
        let policies = report.policies.iter().zip(&interrupted);
        let finished: Vec<ledger::FinishedPolicy> = policies
            .map(|(policy, is_interrupted)| ledger::FinishedPolicy {
                policy: policy.policy.clone(),
                result: policy.result,
                summary: summary_of(report, policy, &orphans, *is_interrupted),
            })
            .collect();
        report.ledger_head = Some(blocking(|| ledger.finish_run(run_id, report.finished_at, &finished))?);
        if let Some(why) = blocking(|| anchor(&context.config, ledger, report.finished_at)) {
            tracing::warn!("{why}");
        }
        // The run is written down; what is old becomes smaller, and the next run will do what this one cannot.
        if let Err(error) = blocking(|| ledger.pack(report.finished_at)) {
            tracing::warn!(error = %error, "old rows of the ledger were not packed");
        }
    }
    Ok(())
}

/// What was left alone is named in the ledger up to this many; the report has it all.
const MOST_SKIPS: usize = 20;

/// The numbers of a policy's run, as the ledger keeps them, with what a person asks of a past run.
fn summary_of(
    report: &RunReport,
    policy: &PolicyReport,
    orphans: &BTreeMap<ProjectName, String>,
    is_interrupted: bool,
) -> RunSummary {
    // What the guard left alone is said by the refusals.
    let skipped = report
        .skipped
        .iter()
        .filter(|skip| !matches!(skip.reason, SkipReason::Guard(_)));
    let settled = report.settled_earlier.iter();
    let confirmed = settled.filter(|settled| settled.policy == policy.policy && settled.fate == Fate::Confirmed);
    let numbers = RunNumbers {
        calls: report.calls,
        held_back: policy.held_back,
        instances: report.instances.clone(),
        left: policy.left,
        mode: policy.mode,
        orphans: orphans.clone(),
        refusals: refusals::records(report, policy),
        refused: policy
            .refusals
            .iter()
            .map(|refusal| refusal.limit().to_owned())
            .collect(),
        sent: policy.sent.clone(),
        skipped: skipped.take(MOST_SKIPS).map(|skip| report.record_of(skip)).collect(),
        summary: policy.summary,
        unselected: policy.unselected.clone(),
        settled: confirmed.fold(Tally::default(), |mut all, settled| {
            all.add(settled.size_bytes);
            all
        }),
    };
    RunSummary {
        interrupted: is_interrupted.then_some(Interruption::Stopped),
        numbers: Some(numbers),
    }
}

/// Says that a killed process left a run open, and that it counts as failed.
pub fn log_interrupted(left: &ledger::OpenRun) {
    let policies: Vec<&str> = left.policies.iter().map(PolicyName::as_str).collect();
    tracing::warn!(
        run_id = left.run,
        started_at = %left.started_at,
        policies = policies.join(", "),
        "a run was interrupted: it counts as failed; what it had sent is settled by the next listing"
    );
}

/// `returned`: whether what an earlier run was told is deleted is still there.
fn result_of(policy: &PolicyReport, hit: Coverage, returned: bool) -> RunResult {
    let undone = |key: &str| {
        policy
            .sent
            .values()
            .any(|sent| sent.fates.get(key).is_some_and(|n| *n > 0))
    };
    if hit == Coverage::Whole {
        RunResult::Failed
    } else if !policy.refusals.is_empty() {
        RunResult::Refused
    } else if policy.left > 0
        || hit == Coverage::Some
        || returned
        || ["rejected", "unanswered", "returned"].into_iter().any(undone)
    {
        RunResult::Partial
    } else {
        RunResult::Success
    }
}
