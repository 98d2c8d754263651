//! Floor 2: one run, from listing to report.
//!
//! ```text
//! survey   list instances and their backups, decide each as soon as it is listed
//! approve  the guard sees each policy's whole plan
//! send     batches: intent in the ledger → request → one outcome per id
//! confirm  list what was touched until the accepted ones are gone
//! ```
//!
//! `plan` and dry-run walk the same path and stop before `send`. Not for *when* to run (`daemon`) nor for words (`cli`).
//! The only caller of the client's delete is [`send`].

mod cancel;
mod clock_jump;
mod confirm;
mod conflicts;
mod edits;
mod ended;
mod grace;
mod guard;
mod instances;
mod key_refusals;
mod ledger_writer;
mod list_backups;
mod notices;
mod offline;
mod policy_run;
mod projects;
mod scan;
mod send;
mod state;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::watch;
use tokio::time::Instant;

pub use ended::{Ended, ended};
pub use grace::{DueCounts, GracePeriods, OfInstance};
pub use key_refusals::{refusal_to_keep, refusals_kept};
pub use notices::{notice_of_hold, notices};
pub use offline::{BackupsOfFile, OfflineInstance, decide_file, decide_offline, instances_of_file};
pub use policy_run::Grace;
pub use projects::Projects;
pub use state::{host_name, join, projects_asked, state_of, state_place};

use crate::blocking::blocking;
use crate::config::Config;
use crate::ledger::{self, DeletionLock, Ledger};
use crate::rds::Client;
use crate::retention::report::{
    InstanceCounts, PolicyReport, Row, RunReport, RunResult, Sent, Skip, SkipReason, SkipRecord,
};
use crate::retention::{BackupId, Fate, Hold, Instance, InstanceId, Mode, Policy, PolicyName, ProjectName, Refusal};
use crate::wording::refusals;
use clock_jump::ClockJumpDetector;
use conflicts::Conflicts;
use guard::guard;
use instances::may_select;
use policy_run::{PolicyRun, PolicyRuns};

/// What a run is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Look and decide; write nothing, send nothing.
    Plan,
    /// Do it: grace, guard, ledger, deletion.
    Apply {
        /// How long to wait for accepted deletions to be gone.
        confirm_for: Duration,
    },
}

/// Which decisions a report holds, one by one.
#[derive(Clone, Debug)]
pub enum ReportDetail {
    /// All of them.
    All,
    /// All of them, or none where they are more than this: a report that is kept must not grow with the fleet.
    UpTo(usize),
    /// All, as long as few are kept; of more than [`ReportDetail::FEW`] those of backups that go, so that a report grows with what is
    /// deleted and not with the fleet.
    Going,
    /// None: each is told as soon as it is made, and what became of the ids that were sent is in [`RunReport::fates`].
    Streamed(RowSink),
    /// None.
    None,
}

impl ReportDetail {
    /// So many kept backups are few.
    pub const FEW: usize = 200;

    /// Everything is decided once more: what was told is void.
    fn forget(&self) {
        if let Self::Streamed(sink) = self {
            (sink.forget)();
        }
    }
}

/// Told each decision of each policy that runs, in the order in which they are made, before the guard has spoken; must return at
/// once.
#[derive(Clone)]
pub struct RowSink {
    tell: Arc<OnRow>,
    forget: Arc<dyn Fn() + Send + Sync>,
}

type OnRow = dyn Fn(&PolicyName, &Row) + Send + Sync;

impl RowSink {
    /// Tells the first function. The second forgets what was told, where a run decides everything once more.
    pub fn new(
        tell: impl Fn(&PolicyName, &Row) + Send + Sync + 'static,
        forget: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        Self {
            tell: Arc::new(tell),
            forget: Arc::new(forget),
        }
    }
}

impl fmt::Debug for RowSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RowSink")
    }
}

/// What to do in one run.
#[derive(Clone, Debug)]
pub struct RunRequest {
    /// What it is for.
    pub purpose: Purpose,
    /// The policies that run; `None` is all of them. The others still protect what they keep.
    pub policies: Option<Vec<PolicyName>>,
    /// Only this instance.
    pub instance: Option<InstanceId>,
    /// The one reading of the clock that decides.
    pub now: DateTime<Utc>,
    /// Which decisions are wanted in the report, beside their numbers.
    pub rows: ReportDetail,
    /// Who asked: `cron`, `catch-up`, `apply`.
    pub trigger: &'static str,
    /// How long it may take; what is left then is the next run's.
    pub budget: Duration,
}

/// How far a run has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Instances listed.
    pub instances: usize,
    /// Of so many.
    pub of_instances: usize,
    /// Backups read.
    pub backups: usize,
    /// Ids sent.
    pub sent: usize,
    /// Of so many that are approved; zero until the guard has spoken.
    pub of_sent: usize,
    /// Requests made.
    pub calls: u64,
}

/// Told about progress; must return at once.
pub type OnProgress = Arc<dyn Fn(Progress) + Send + Sync>;

/// What a run works on and with.
#[derive(Clone)]
pub struct RunContext {
    /// The configuration it began with.
    pub config: Arc<Config>,
    /// The newest configuration: its holds and freeze, and whatever else it keeps, act at once, even on a run under way.
    pub live: watch::Receiver<Arc<Config>>,
    /// A client per project.
    pub projects: Arc<Projects>,
    /// The ledger; `None` only for a plan where no state exists.
    pub ledger: Option<Arc<Ledger>>,
    /// The right to delete for that ledger; a run needs it, a plan does not.
    pub lock: Option<Arc<DeletionLock>>,
    /// True once the program is told to stop: no new batch after that.
    pub stop: watch::Receiver<bool>,
    /// Told about progress.
    pub watcher: OnProgress,
}

/// Why a run could not be made. What went wrong with single projects and instances is in the report instead.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The ledger could not be read or written. Nothing is sent after that.
    #[error(transparent)]
    Ledger(#[from] ledger::Error),
    /// A policy that the configuration does not have.
    #[error("no policy is named `{name}`; the configuration has: {known}")]
    NoSuchPolicy {
        /// What was asked for.
        name: PolicyName,
        /// What there is.
        known: String,
    },
    /// An apply without a ledger.
    #[error("a run needs the ledger, and there is none")]
    NoLedger,
    /// Who writes the ledger for the batches ended before them.
    #[error("the part of the run that writes the ledger ended; nothing more is sent")]
    LedgerWriterGone,
    /// A task of the run panicked; its run fails, the program goes on.
    #[error("a part of the run panicked: {0}")]
    Panicked(#[from] tokio::task::JoinError),
}

/// Walks one run.
pub async fn run(request: &RunRequest, context: &RunContext) -> Result<RunReport, Error> {
    let deadline = Instant::now() + request.budget;
    let clock_jump = ClockJumpDetector::now();
    let running = running_policies(request, &context.config)?;
    let asked = clients(&running, context);
    let calls = || asked.iter().map(Client::calls).sum::<u64>();
    let calls_before = calls();
    asked.iter().for_each(Client::begin_run);
    let run_id = begin(request, context, &running).await?;
    let mut conflicts = Conflicts::default();
    let mut policy_runs = open_policy_runs(request, context, running.clone())?;
    let mut scan = scan::scan(request, context, &mut policy_runs, deadline, clock_jump, &mut conflicts).await?;
    while let Some(known) = conflicts.once_more(request, context)? {
        // Listings were decided before it came out that others contradict them. Rare, so all of it is done again; each time with
        // more that is known, and at most until the run's time is over.
        conflicts = known;
        request.rows.forget();
        policy_runs = open_policy_runs(request, context, running.clone())?;
        scan = scan::scan(request, context, &mut policy_runs, deadline, clock_jump, &mut conflicts).await?;
    }
    conflicts::leave_backups_alone(&mut scan, &conflicts, &mut policy_runs);
    if let Some(run_id) = &run_id {
        scan::persist_scan(request, context, run_id, &scan, &conflicts, &policy_runs)?;
    }
    let notices = match &context.ledger {
        Some(ledger) => blocking(|| notices(&context.live.borrow().clone(), ledger, request.now))?,
        None => Vec::new(),
    };
    if run_id.is_some() {
        for notice in &notices {
            tracing::info!("{notice}");
        }
    }
    let (reports, approved) = guard(request, context, run_id.as_deref(), &mut scan, policy_runs)?;
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
        let listings = scan
            .listings
            .into_iter()
            .map(|(instance, (_, listing))| (instance, listing));
        let listings = Arc::new(listings.collect());
        let sent = send::send(
            approved,
            context,
            run_id,
            (deadline, clock_jump),
            Arc::clone(&listings),
            scan.progress,
        )
        .await?;
        let sent = confirm::confirm(sent, context, run_id, &listings, Instant::now() + confirm_for).await?;
        settle(&mut report, sent, &request.rows);
    }
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

/// The clients of the projects that this run asks. Passes of other projects may be under way beside it.
fn clients(running: &[usize], context: &RunContext) -> Vec<Client> {
    let policies = || running.iter().map(|place| &context.config.policies[*place].policy);
    let clients = context.projects.iter();
    let asked = clients.filter(|(name, _)| policies().any(|policy| may_select(policy, name)));
    asked.map(|(_, client)| client.clone()).collect()
}

/// Ends when the program is told to stop; never, when nobody can tell it any more.
async fn stop_requested(context: &RunContext) {
    let mut stop = context.stop.clone();
    if stop.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await;
    }
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

/// Records the run's beginning and closes what a killed process left open; nothing of that for a plan.
async fn begin(request: &RunRequest, context: &RunContext, running: &[usize]) -> Result<Option<String>, Error> {
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
    blocking(|| {
        ledger.remember_configured(&context.config.holds, context.config.freeze.as_ref(), request.now)?;
        for left in ledger.close_interrupted_runs(lock, request.now)? {
            log_interrupted(&left);
        }
        join(ledger, &context.config)?;
        if is_drained {
            ledger.close_open_requests(lock, request.now)?;
        }
        ledger.note_configured_holds(&context.config.holds)?;
        ledger.begin_run(&ledger::NewRun {
            id: &id,
            policies: &policies,
            config_sha256: &context.config.sha256,
            started_at: request.now,
            cause: request.trigger,
        })
    })?;
    Ok(Some(id))
}

/// Waits for requests of a process whose lock file was removed or replaced under it, so that none of its ids is sent beside
/// them; that process records no further intent. False: a stop was requested first.
async fn drain(ledger: &Ledger, lock: &DeletionLock, context: &RunContext) -> Result<bool, Error> {
    let until = Instant::now() + ledger::DRAIN;
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

/// The holds in force: the configuration's and those placed by command.
fn holds(context: &RunContext, now: DateTime<Utc>) -> Result<Vec<Hold>, Error> {
    let mut holds = context.config.holds.clone();
    if let Some(ledger) = &context.ledger {
        holds.extend(blocking(|| ledger.active_holds(now))?);
    }
    Ok(holds)
}

fn open_policy_runs(request: &RunRequest, context: &RunContext, running: Vec<usize>) -> Result<PolicyRuns, Error> {
    let all: Vec<Arc<Policy>> = context
        .config
        .policies
        .iter()
        .map(|entry| Arc::clone(&entry.policy))
        .chain(context.config.protecting.iter().cloned())
        .collect();
    let mut graces: HashMap<PolicyName, GracePeriods> = HashMap::new();
    if let Some(ledger) = &context.ledger {
        for place in &running {
            let entry = &context.config.policies[*place];
            let periods = blocking(|| GracePeriods::load(ledger, entry, &context.config.holds, request.now))?;
            graces.insert(entry.policy.name.clone(), periods);
        }
    }
    let open = |policy: &Arc<Policy>| {
        let grace = Grace::Known(graces.remove(&policy.name).unwrap_or_default());
        PolicyRun::new(Arc::clone(policy), grace, request.now, request.rows.clone())
    };
    Ok(PolicyRuns::new(
        all,
        running,
        holds(context, request.now)?,
        request,
        open,
    ))
}

/// Enters what became of the sent ids into the report.
fn settle(report: &mut RunReport, sent: send::SendResult, rows: &ReportDetail) {
    for item in &sent.items {
        let Some(policy) = report
            .policies
            .iter_mut()
            .find(|policy| policy.policy == item.planned.policy)
        else {
            continue;
        };
        let Some(fate) = item.fate.as_deref() else {
            policy.left += 1;
            continue;
        };
        let tally: &mut Sent = policy
            .sent
            .entry(item.planned.candidate.instance.project.clone())
            .or_default();
        *tally.fates.entry(fate.key().to_owned()).or_default() += 1;
        if let Fate::Answered(crate::retention::Outcome::Rejected { code, .. }) = fate {
            *tally.codes.entry(code.clone()).or_default() += 1;
        }
        if *fate == Fate::Confirmed {
            tally.confirmed_bytes += item.planned.candidate.size_bytes;
        }
    }
    report.skipped.extend(sent.skipped);
    let is_told = matches!(rows, ReportDetail::Streamed(_));
    if !is_told && report.policies.iter().all(|policy| policy.rows.is_empty()) {
        return;
    }
    let fates: HashMap<BackupId, Arc<Fate>> = sent
        .items
        .into_iter()
        .filter_map(|item| Some((item.planned.candidate.id, item.fate?)))
        .collect();
    report.mark(&fates);
    if is_told {
        report.fates = fates;
    }
}

/// Names the results, writes the summary down and takes the head of the chain.
fn finish(context: &RunContext, report: &mut RunReport, hit: &scan::CoverageByPolicy) -> Result<(), Error> {
    report.finished_at = crate::clock::now();
    let is_stopped = *context.stop.borrow();
    let mut interrupted = Vec::new();
    for (nth, policy) in report.policies.iter_mut().enumerate() {
        let hit = hit.of(nth);
        policy.result = result_of(policy, hit);
        // Told to stop with work left: that it went on well until then is no success.
        let is_interrupted = is_stopped && (policy.left > 0 || hit != scan::Coverage::None);
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
        let policies = report.policies.iter().zip(&interrupted);
        let finished: Vec<ledger::FinishedPolicy> = policies
            .map(|(policy, is_interrupted)| ledger::FinishedPolicy {
                policy: policy.policy.clone(),
                result: policy.result.as_str().to_owned(),
                summary: summary_of(report, policy, *is_interrupted),
            })
            .collect();
        report.ledger_head = Some(blocking(|| ledger.finish_run(run_id, report.finished_at, &finished))?);
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
fn summary_of(report: &RunReport, policy: &PolicyReport, is_interrupted: bool) -> serde_json::Value {
    let mut summary = serde_json::json!({
        "mode": policy.mode.as_str(),
        "summary": policy.summary,
        "sent": policy.sent.iter().map(|(project, sent)| (project.as_str(), sent)).collect::<BTreeMap<_, _>>(),
        "refused": policy.refusals.iter().map(Refusal::limit).collect::<Vec<_>>(),
        "left": policy.left,
        "instances": report.instances,
        "calls": report.calls,
    });
    if !policy.unselected.is_empty() {
        summary["unselected"] = serde_json::json!(policy.unselected);
    }
    if policy.held_back.count > 0 {
        summary["held_back"] = serde_json::json!(policy.held_back);
    }
    let refusals = refusals::records(report, policy);
    if !refusals.is_empty() {
        summary["refusals"] = serde_json::json!(refusals);
    }
    // What the guard left alone is said by the refusals.
    let skipped = report
        .skipped
        .iter()
        .filter(|skip| !matches!(skip.reason, SkipReason::Guard(_)));
    let skipped: Vec<SkipRecord> = skipped
        .take(MOST_SKIPS)
        .map(|skip| SkipRecord::of(report, skip))
        .collect();
    if !skipped.is_empty() {
        summary["skipped"] = serde_json::json!(skipped);
    }
    if is_interrupted {
        summary[ledger::runs::INTERRUPTED] = ledger::runs::STOPPED.into();
    }
    summary
}

/// Says that a killed process left a run open, and that it counts as failed.
pub fn log_interrupted(left: &ledger::LeftOpen) {
    let policies: Vec<&str> = left.policies.iter().map(PolicyName::as_str).collect();
    tracing::warn!(
        run_id = left.run,
        started_at = %left.started_at,
        policies = policies.join(", "),
        "a run was interrupted: it counts as failed; what it had sent is settled by the next listing"
    );
}

fn result_of(policy: &PolicyReport, hit: scan::Coverage) -> RunResult {
    let undone = |key: &str| {
        policy
            .sent
            .values()
            .any(|sent| sent.fates.get(key).is_some_and(|n| *n > 0))
    };
    if hit == scan::Coverage::Whole {
        RunResult::Failed
    } else if !policy.refusals.is_empty() {
        RunResult::Refused
    } else if policy.left > 0
        || hit == scan::Coverage::Some
        || ["rejected", "unanswered", "returned"].into_iter().any(undone)
    {
        RunResult::Partial
    } else {
        RunResult::Success
    }
}

/// A skip from an error of the client.
fn skip_of(project: &ProjectName, instance: Option<&InstanceId>, error: &crate::rds::Error) -> Skip {
    use crate::rds::Class;
    let reason = match error.class() {
        Class::NotAllowed => SkipReason::NotAllowed,
        Class::Disagreement | Class::NotFound => SkipReason::Listing,
        Class::Unreachable | Class::Throttled => SkipReason::Unreachable,
        Class::Configuration => SkipReason::Configuration,
    };
    Skip {
        project: project.clone(),
        instance: instance.cloned(),
        reason,
        message: error.chain(),
    }
}

/// Counts instances by how policies see them.
fn count_instances(claims: &[usize]) -> InstanceCounts {
    let of = |wanted: fn(usize) -> bool| claims.iter().filter(|claims| wanted(**claims)).count() as u64;
    InstanceCounts {
        managed: of(|claims| claims > 0),
        unmanaged: of(|claims| claims == 0),
        overlapping: of(|claims| claims > 1),
        failed: 0,
    }
}
