//! The first half of a run: list the instances, list the backups of those that a policy claims, decide each instance as
//! soon as it is listed. What stays in memory is what expired, not what is kept.

use std::borrow::Cow;
use std::cell::LazyCell;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::cancel::{CANCELLED, or_cancelled, skip_or_cancelled};
use super::clock_jump::ClockJumpDetector;
use super::conflicts::{Conflicts, leave_instances_alone};
use super::context::RunContext;
use super::error::Error;
use super::instances::{InstanceJob, list_instances, skip_job};
use super::ledger_snapshot::LedgerSnapshot;
use super::list_backups::backups_of;
use super::policy_runs::PolicyRuns;
use super::request::{Purpose, RunRequest};
use super::scan_result::Scan;
use crate::blocking::blocking;
use crate::ledger::{
    DecidedOn, Ledger, Listing, ListingDoubt, ListingPart, ObservedBackup, Pending, Remembered, Unconfirmed,
};
use crate::rds::{Client, Listed};
use crate::retention::plan::{ClockCheck, InstanceDue};
use crate::retention::report::{Settled, SkipReason};
use crate::retention::{Backup, BackupId, BackupStatus, Doubt, Fate, Instance, InstanceId, InstanceLife, Policy};

/// Accepted, and still COMPLETED so long after: it came back.
pub(super) const RETURNED_AFTER: TimeDelta = TimeDelta::minutes(30);
/// Listings under way beyond what the clients run at once, so that a slow decision never starves them.
const AHEAD: usize = 4;

/// When the newest finished full backup was begun, manual or automated.
pub(super) fn newest_recovery_point(
    instance: &Instance,
    backups: &[Backup],
    now: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    let points = backups.iter().filter(|backup| backup.is_recovery_point(instance, now));
    points.filter_map(|backup| backup.begin).max()
}

/// Lists and decides everything that the running policies claim.
pub(super) async fn scan(
    request: &RunRequest,
    context: &RunContext,
    policy_runs: &mut PolicyRuns,
    deadline: Instant,
    clock_jump: ClockJumpDetector,
    conflicts: &mut Conflicts,
) -> Result<Scan, Error> {
    let mut memory = LedgerSnapshot::load(request, context)?;
    let mut scan = Scan::default();
    let mut jobs = list_instances(request, context, policy_runs, &memory, &mut scan, deadline).await?;
    leave_instances_alone(&mut scan, policy_runs, &memory, &mut jobs);
    scan.progress.of_instances = jobs.len();
    let mut minds = ListingMemory {
        memory: &mut memory,
        conflicts,
    };
    let recency = list_backups(request, context, policy_runs, &mut minds, &mut scan, jobs, deadline).await?;
    if let Some(ledger) = &context.ledger {
        write_observed(ledger, &mut scan, request)?;
    }
    check_recency(request, context, policy_runs, conflicts, &mut scan, recency, deadline).await?;
    for (name, check) in &mut scan.clocks {
        *check = context
            .projects
            .get(name)
            .map_or(ClockCheck::NoDate, |client| clock_jump.check(client.clock()));
    }
    Ok(scan)
}

/// What is due on an instance whose recent recovery point must still be looked for among the automated backups.
struct RecencyCheck {
    client: Client,
    nth: usize,
    due: InstanceDue,
}

/// What listings are compared with.
struct ListingMemory<'a> {
    memory: &'a mut LedgerSnapshot,
    conflicts: &'a mut Conflicts,
}

/// Reads the backups of the claimed instances, a few at a time, and decides each as it comes.
async fn list_backups(
    request: &RunRequest,
    context: &RunContext,
    policy_runs: &mut PolicyRuns,
    minds: &mut ListingMemory<'_>,
    scan: &mut Scan,
    jobs: Vec<InstanceJob>,
    deadline: Instant,
) -> Result<Vec<RecencyCheck>, Error> {
    let at_once = context.projects.iter().map(|(_, client)| client.concurrency());
    let at_once = at_once.sum::<usize>() + AHEAD;
    let mut jobs = jobs.into_iter();
    let mut reading = JoinSet::new();
    let mut recency = Vec::new();
    loop {
        while reading.len() < at_once
            && let Some(job) = jobs.next()
        {
            if Instant::now() >= deadline || *context.stop.borrow() {
                skip_job(policy_runs, scan, &job, SkipReason::Budget, CANCELLED);
                continue;
            }
            let context = context.clone();
            reading.spawn(async move {
                let asking = backups_of(&job.client, &job.instance, &job.databases);
                let listed = or_cancelled(&context, deadline, asking).await;
                (job, listed)
            });
        }
        let Some(joined) = reading.join_next().await else { break };
        let (job, listed) = joined?;
        scan.progress.instances += 1;
        match listed {
            Some(Ok(backups)) => {
                scan.progress.backups += backups.len();
                let checks = process_listing(request, context, policy_runs, minds, scan, job, backups)?;
                recency.extend(checks);
            }
            missing => {
                scan.counts.entry(job.instance.project.clone()).or_default().failed += 1;
                let error = missing.and_then(Result::err);
                let skip = skip_or_cancelled(&job.instance.project, Some(&job.instance.id), error.as_ref());
                skip_job(policy_runs, scan, &job, skip.reason.clone(), &skip.message);
            }
        }
        scan.progress.calls = context.projects.calls();
        (context.watcher)(scan.progress);
    }
    Ok(recency)
}

/// What earlier listings said of an instance's backups.
fn remembered_of(
    request: &RunRequest,
    context: &RunContext,
    scan: &mut Scan,
    instance: &InstanceId,
) -> Result<Remembered, Error> {
    let Some(ledger) = &context.ledger else {
        return Ok(Remembered::default());
    };
    if scan.observed.are_of(instance) {
        write_observed(ledger, scan, request)?;
    }
    Ok(blocking(|| ledger.remembered(instance))?)
}

/// Writes what is to be remembered of backups.
fn write_observed(ledger: &Ledger, scan: &mut Scan, request: &RunRequest) -> Result<(), Error> {
    let observed = std::mem::take(&mut scan.observed);
    Ok(blocking(|| ledger.remember_backups(&observed, request.now))?)
}

/// One believed listing: compares it with earlier ones and with those of other instances, settles earlier deletions, decides.
fn process_listing(
    request: &RunRequest,
    context: &RunContext,
    policy_runs: &mut PolicyRuns,
    ListingMemory { memory, conflicts }: &mut ListingMemory<'_>,
    scan: &mut Scan,
    job: InstanceJob,
    mut backups: Vec<Backup>,
) -> Result<Vec<RecencyCheck>, Error> {
    let InstanceJob {
        client,
        instance,
        claiming,
        ..
    } = job;
    let ids = backups.iter().map(|backup| backup.id.as_str());
    // Nothing is left of a deleted instance, and nothing waits for its confirmation: there is nothing that a lie could let go.
    let is_deleted = instance.life != InstanceLife::Listed;
    let is_emptied = backups.is_empty() && is_deleted && !memory.unconfirmed.contains_key(&instance.id);
    let shrunk = || memory.check_shrink(scan, &instance.project, Some(&instance.id), ids, request.now);
    if let Some(refusal) = (!is_emptied).then(shrunk).flatten() {
        let of = policy_runs.running_among(&claiming);
        scan.leave_shrunken(&instance.project, Some(&instance.id), &refusal, of);
        return Ok(Vec::new());
    }
    let listing = Listing {
        count: backups.len() as u64,
        read_at: crate::clock::now(),
    };
    scan.listings
        .insert(instance.id.clone(), (instance.project.clone(), listing));
    let remembered = remembered_of(request, context, scan, &instance.id)?;
    doubt_changed(&instance, memory, scan, &remembered, &mut backups);
    let running = policy_runs.running_among(&claiming).collect();
    conflicts.add(request, &instance, running, &mut backups, &remembered);
    remember(request, context, scan, &client, &instance, &backups, remembered)?;
    let pending = settle_earlier(
        request,
        scan,
        memory.unconfirmed.remove(&instance.id).unwrap_or_default(),
        &backups,
    );
    let backups = &*being_deleted(&backups, &pending);
    let due = policy_runs.enter(&instance, backups, &claiming, &pending);
    if matches!(request.purpose, Purpose::Apply { .. }) && due.iter().any(|(nth, of)| policy_runs.sends(*nth, of)) {
        scan.decided.push(DecidedOn::new(&instance, backups));
    }
    let newest = newest_recovery_point(&instance, backups, request.now);
    Ok(enter_due(request, policy_runs, scan, &client, due, newest))
}

/// Adds what is due to the plans, but for what waits for a look at the automated backups, which is returned.
fn enter_due(
    request: &RunRequest,
    policy_runs: &mut PolicyRuns,
    scan: &mut Scan,
    client: &Client,
    due: Vec<(usize, InstanceDue)>,
    newest_recovery_point: Option<DateTime<Utc>>,
) -> Vec<RecencyCheck> {
    let mut recency = Vec::new();
    for (nth, mut due) in due {
        scan.hit.read(nth);
        let Some(policy) = policy_runs.running().nth(nth) else {
            continue;
        };
        due.newest_recovery_point = newest_recovery_point;
        let is_any_due = !due.due.is_empty() || policy_runs.would_be_due(nth, &due.instance.id);
        if is_any_due && wants_automated(policy, &due, request.now) {
            recency.push(RecencyCheck {
                client: client.clone(),
                nth,
                due,
            });
        } else {
            policy_runs.add(nth, due);
        }
    }
    recency
}

/// Takes in what a run saw of an instance's backups. Also makes `hold ID` and `why ID` know them.
fn remember(
    request: &RunRequest,
    context: &RunContext,
    scan: &mut Scan,
    client: &Client,
    instance: &Instance,
    backups: &[Backup],
    remembered: Remembered,
) -> Result<(), Error> {
    let (Purpose::Apply { .. }, Some(ledger)) = (request.purpose, &context.ledger) else {
        return Ok(());
    };
    let now = client.clock().is_good().then_some(request.now);
    let (project, id) = (&instance.project, &instance.id);
    scan.observed.add(project, id, backups, remembered, now);
    if scan.observed.are_many() {
        write_observed(ledger, scan, request)?;
    }
    if backups.is_empty() && instance.life != InstanceLife::Listed {
        scan.emptied.push((project.clone(), id.clone()));
    }
    Ok(())
}

/// Marks what says something else than an earlier run saw.
fn doubt_changed(
    instance: &Instance,
    memory: &LedgerSnapshot,
    scan: &mut Scan,
    remembered: &Remembered,
    backups: &mut [Backup],
) {
    let names_status = instance.life == InstanceLife::Listed;
    let mut changed = 0;
    let finished = remembered.backups.iter().filter(|(_, said)| said.status.is_some());
    let spellings = LazyCell::new(|| finished.map(|(id, _)| id.folded()).collect::<HashSet<String>>());
    for backup in backups {
        let is_changed = match remembered.backups.get(&backup.id) {
            Some(said) if said.status.is_some() => said.differs(backup, names_status),
            // Its id is another one in case only: what is remembered of it is not to be got rid of so.
            said => {
                said.is_some_and(|said| said.differs(backup, names_status)) || spellings.contains(&backup.id.folded())
            }
        };
        if !is_changed {
            continue;
        }
        let doubt = ListingDoubt {
            target: instance.id.to_string(),
            part: ListingPart::Backup(backup.id.clone()),
            says: ObservedBackup::said_by(backup),
        };
        if !memory.is_accepted(&doubt) {
            backup.doubt = Some(Doubt::Changed);
            changed += 1;
        }
        scan.doubts.push((instance.project.clone(), doubt));
    }
    if changed > 0 {
        let of = (Arc::clone(&instance.name), changed);
        scan.changed.insert(instance.id.clone(), of);
    }
}

/// The backups with those whose deletion was accepted as what they are, whatever the listing still calls them: they
/// must not fill the slot of one that stays, nor be asked for again.
fn being_deleted<'a>(backups: &'a [Backup], pending: &BTreeSet<BackupId>) -> Cow<'a, [Backup]> {
    if pending.is_empty() {
        return Cow::Borrowed(backups);
    }
    let mut backups = backups.to_vec();
    for backup in backups.iter_mut().filter(|backup| pending.contains(&backup.id)) {
        backup.status = BackupStatus::Deleting;
    }
    Cow::Owned(backups)
}

/// Whether the automated backups must be asked, because no manual one is recent enough.
fn wants_automated(policy: &Policy, due: &InstanceDue, now: DateTime<Utc>) -> bool {
    let Some(within) = policy.require_backup_within else {
        return false;
    };
    let edge = within.before(now, policy.zone);
    due.newest_recovery_point
        .is_none_or(|newest| edge.is_some_and(|edge| newest < edge))
}

/// What this listing says of deletions sent by earlier runs; returns the ids that are still pending.
fn settle_earlier(
    request: &RunRequest,
    scan: &mut Scan,
    rows: Vec<Unconfirmed>,
    backups: &[Backup],
) -> BTreeSet<BackupId> {
    let mut pending = BTreeSet::new();
    if rows.is_empty() {
        return pending;
    }
    let there: HashMap<&BackupId, &BackupStatus> = backups.iter().map(|backup| (&backup.id, &backup.status)).collect();
    for row in rows {
        let fate = match there.get(&row.backup) {
            None => Some(Fate::Confirmed),
            Some(BackupStatus::Completed | BackupStatus::Failed) if row.pending == Pending::Unanswered => {
                // It was never answered and it is still there: nothing happened, and it may be decided again.
                scan.returned.push(row.backup.clone());
                continue;
            }
            // Answered as far ahead of now: by a wrong clock.
            Some(BackupStatus::Completed | BackupStatus::Failed)
                if (request.now - row.answered_at).abs() >= RETURNED_AFTER =>
            {
                Some(Fate::Returned)
            }
            Some(_) => None,
        };
        let Some(fate) = fate else {
            pending.insert(row.backup);
            continue;
        };
        match fate {
            Fate::Confirmed => scan.gone.push(row.backup.clone()),
            _ => scan.returned.push(row.backup.clone()),
        }
        scan.settled.push(Settled {
            policy: row.policy,
            project: row.project,
            fate,
            size_bytes: row.size_bytes,
        });
    }
    pending
}

/// Looks for a recent automated backup where a policy requires one and no manual one is recent.
async fn check_recency(
    request: &RunRequest,
    context: &RunContext,
    policy_runs: &mut PolicyRuns,
    conflicts: &Conflicts,
    scan: &mut Scan,
    recency: Vec<RecencyCheck>,
    deadline: Instant,
) -> Result<(), Error> {
    let mut asking = JoinSet::new();
    for RecencyCheck { client, nth, due } in recency {
        let context = context.clone();
        asking.spawn(async move {
            let listing = client.list_backups(&due.instance.id, Listed::Automated);
            let listed = or_cancelled(&context, deadline, listing).await;
            (nth, due, listed)
        });
    }
    let mut answered = Vec::new();
    while let Some(joined) = asking.join_next().await {
        let (nth, due, listed) = joined?;
        match listed {
            Some(Ok(automated)) => {
                let mut points = automated;
                points.retain(|backup| backup.is_recovery_point(&due.instance, request.now));
                answered.push((nth, due, points));
            }
            missing => {
                scan.hit.missed(nth);
                let (error, instance) = (missing.and_then(Result::err), &due.instance);
                scan.skipped
                    .push(skip_or_cancelled(&instance.project, Some(&instance.id), error.as_ref()));
            }
        }
    }
    // One of two listings is wrong about what is listed as manual, too: it justifies no deletion.
    let ids = answered
        .iter()
        .flat_map(|(_, _, points)| points)
        .map(|backup| &backup.id);
    let manual = conflicts.listed_as_manual(request, context, ids)?;
    for (nth, mut due, mut points) in answered {
        points.retain(|backup| !manual.contains(&backup.id));
        due.newest_recovery_point =
            due.newest_recovery_point
                .max(newest_recovery_point(&due.instance, &points, request.now));
        policy_runs.add(nth, due);
    }
    scan.progress.calls = context.projects.calls();
    Ok(())
}
