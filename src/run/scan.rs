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
use super::instances::{InstanceJob, LedgerSnapshot, engines_of, list_instances, may_select, shrink_skip, skip_job};
use super::list_backups::backups_of;
use super::policy_run::PolicyRun;
use super::policy_runs::PolicyRuns;
use super::request::{Purpose, RunRequest};
use super::scan_result::Scan;
use crate::blocking::blocking;
use crate::ledger::{
    DecidedOn, GraceKey, GraceSeen, GraceStart, GraceUpdate, Ledger, Listing, ListingDoubt, ListingDoubts, ListingPart,
    ObservedBackup, Pending, Remembered, Unconfirmed,
};
use crate::rds::{Client, Listed};
use crate::retention::plan::{ClockCheck, InstanceDue};
use crate::retention::policy::Knowledge;
use crate::retention::report::{Settled, SkipReason};
use crate::retention::{
    Backup, BackupId, BackupStatus, Doubt, Fate, Instance, InstanceId, InstanceLife, Mode, Policy, ProjectName,
};

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
    let at_once: usize = context
        .projects
        .iter()
        .map(|(_, client)| client.concurrency())
        .sum::<usize>()
        + AHEAD;
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
                recency.extend(process_listing(
                    request,
                    context,
                    policy_runs,
                    minds,
                    scan,
                    job,
                    backups,
                )?);
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
    let found = backups.len() as u64;
    let ids = backups.iter().map(|backup| backup.id.as_str());
    if let Some(refusal) = memory.check_shrink(scan, &instance.project, Some(&instance.id), ids, request.now) {
        scan.skipped
            .push(shrink_skip(&instance.project, Some(&instance.id), &refusal));
        scan.shrunk
            .extend(policy_runs.running_among(&claiming).map(|nth| (nth, refusal.clone())));
        scan.shrunken_listings
            .push((instance.project.clone(), Some(instance.id.clone())));
        return Ok(Vec::new());
    }
    let listing = Listing {
        count: found,
        read_at: crate::clock::now(),
    };
    scan.listings
        .insert(instance.id.clone(), (instance.project.clone(), listing));
    let remembered = match &context.ledger {
        Some(ledger) => blocking(|| ledger.remembered(&instance.id))?,
        None => Remembered::default(),
    };
    doubt_changed(&instance, memory, scan, &remembered, &mut backups);
    let running = policy_runs.running_among(&claiming).collect();
    conflicts.add(request, &instance, running, &mut backups, &remembered);
    // Also makes `hold ID` and `why ID` know the backup.
    if let (Purpose::Apply { .. }, Some(ledger)) = (request.purpose, &context.ledger) {
        let now = client.clock().is_good().then_some(request.now);
        blocking(|| ledger.remember_backups(&instance.project, &instance.id, &backups, remembered, now))?;
        if backups.is_empty() && instance.life != InstanceLife::Listed {
            scan.emptied.push((instance.project.clone(), instance.id.clone()));
        }
    }
    let pending = settle_earlier(
        request,
        scan,
        memory.unconfirmed.remove(&instance.id).unwrap_or_default(),
        &backups,
    );
    let backups = &*being_deleted(&backups, &pending);
    let mut recency = Vec::new();
    let mut is_any_sent = false;
    for (nth, mut due) in policy_runs.enter(&instance, backups, &claiming, &pending) {
        scan.hit.read(nth);
        let Some(policy) = policy_runs.running().nth(nth) else {
            continue;
        };
        due.newest_recovery_point = newest_recovery_point(&instance, backups, request.now);
        is_any_sent |= policy.mode == Mode::Enforce && !due.due.is_empty();
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
    if is_any_sent && matches!(request.purpose, Purpose::Apply { .. }) {
        scan.decided.push(DecidedOn::new(&instance, backups));
    }
    Ok(recency)
}

/// An id, however it is written.
fn folded(id: &BackupId) -> String {
    id.as_str().to_ascii_lowercase()
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
    let spellings = LazyCell::new(|| finished.map(|(id, _)| folded(id)).collect::<HashSet<String>>());
    for backup in backups {
        let is_changed = match remembered.backups.get(&backup.id) {
            Some(said) if said.status.is_some() => said.differs(backup, names_status),
            // Its id is another one in case only: what is remembered of it is not to be got rid of so.
            said => {
                said.is_some_and(|said| said.differs(backup, names_status)) || spellings.contains(&folded(&backup.id))
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
        tracing::warn!(
            project = %instance.project,
            instance = %instance.id,
            backups = changed,
            "backups say something else than an earlier run saw: they are kept until `approve --listing` with the instance's id"
        );
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

/// What a policy's run changes of its grace periods. A dry run only clears: it starts none, and has seen none of them.
fn grace_update<'a>(policy_run: &'a PolicyRun, good: &BTreeSet<&ProjectName>) -> GraceUpdate<'a> {
    let key = |(instance, backup): (&'a Arc<Instance>, &'a BackupId)| GraceKey {
        project: &instance.project,
        instance: &instance.id,
        backup,
    };
    let mut update = GraceUpdate {
        cleared: policy_run
            .cleared()
            .iter()
            .map(|(instance, backup)| key((instance, backup)))
            .collect(),
        ..GraceUpdate::default()
    };
    if policy_run.policy().mode == Mode::Enforce {
        let started = policy_run
            .started()
            .iter()
            .filter(|start| good.contains(&start.instance.project));
        update.started.extend(started.map(|start| GraceStart {
            key: key((&start.instance, &start.backup)),
            name: &start.name,
        }));
        let seen = policy_run
            .seen()
            .iter()
            .filter(|seen| good.contains(&seen.instance.project));
        update.seen.extend(seen.map(|seen| GraceSeen {
            project: &seen.instance.project,
            instance: &seen.instance.id,
            absent: &seen.absent,
        }));
    }
    update
}

/// What is in doubt, and which parts of listings are that were in doubt and are not now. Of what was not read nothing is known.
fn doubts_to_record(
    scan: &Scan,
    before: &ListingDoubts,
    good: &BTreeSet<&ProjectName>,
) -> (Vec<ListingDoubt>, Vec<(String, ListingPart)>) {
    let doubts = scan.doubts.iter().filter(|(project, _)| good.contains(project));
    let doubts: Vec<ListingDoubt> = doubts.map(|(_, doubt)| doubt.clone()).collect();
    if before.is_empty() {
        return (doubts, Vec::new());
    }
    let listed = scan.listed.iter().filter(|(project, _)| good.contains(project));
    let projects = listed.clone().map(|(project, _)| (project.as_str(), true));
    let instances = listed.flat_map(|(_, instances)| instances);
    let instances = instances.map(|instance| (instance.id.as_str(), false));
    let listed: HashSet<(&str, bool)> = projects.chain(instances).collect();
    let doubted: HashSet<(&str, &ListingPart)> = doubts
        .iter()
        .map(|doubt| (doubt.target.as_str(), &doubt.part))
        .collect();
    let is_read = |target: &str, part: &ListingPart| match part {
        ListingPart::Instance => listed.contains(&(target, false)),
        ListingPart::Entries if listed.contains(&(target, true)) => true,
        ListingPart::Entries | ListingPart::Backup(_) => {
            let read = scan.listings.get(&InstanceId::from(target));
            read.is_some_and(|(project, _)| good.contains(project))
        }
    };
    let settled = before
        .keys()
        .filter(|(target, part)| is_read(target, part) && !doubted.contains(&(target.as_str(), part)));
    let settled = settled.cloned().collect();
    (doubts, settled)
}

/// The instances that have grace periods and are not listed, as they were last seen.
fn remembered_of(
    ledger: &Ledger,
    graced: &[(ProjectName, InstanceId)],
    there: &HashMap<(ProjectName, InstanceId), &Instance>,
    now: DateTime<Utc>,
) -> Result<HashMap<(ProjectName, InstanceId), Instance>, Error> {
    let projects: BTreeSet<&ProjectName> = graced
        .iter()
        .filter(|of| !there.contains_key(of))
        .map(|(project, _)| project)
        .collect();
    let mut all = HashMap::new();
    for project in projects {
        for seen in ledger.seen_instances(project)? {
            let life = seen.life(now);
            let instance = Instance { life, ..seen.instance };
            all.insert((project.clone(), instance.id.clone()), instance);
        }
    }
    Ok(all)
}

/// Writes down what a run learned before anything is sent: grace, believed counts, instances, settled deletions.
pub(super) fn persist_scan(
    request: &RunRequest,
    context: &RunContext,
    run_id: &str,
    scan: &Scan,
    conflicts: &Conflicts,
    policy_runs: &PolicyRuns,
) -> Result<(), Error> {
    let Some(ledger) = &context.ledger else { return Ok(()) };
    // A run by a wrong clock begins no grace: it would be over too early, or never.
    let good: BTreeSet<&ProjectName> = scan
        .clocks
        .iter()
        .filter(|(_, check)| check.is_good())
        .map(|(project, _)| project)
        .collect();
    let listed = scan.listed.iter().flat_map(|(_, instances)| instances);
    let there: HashMap<(ProjectName, InstanceId), &Instance> = listed
        .map(|found| ((found.project.clone(), found.id.clone()), found))
        .collect();
    blocking(|| {
        for policy_run in policy_runs.iter() {
            let policy = policy_run.policy();
            ledger.update_grace(&policy.name, &grace_update(policy_run, &good), request.now)?;
            let mut graced = ledger.graced_instances(&policy.name)?;
            let elsewhere = remembered_of(ledger, &graced, &there, request.now)?;
            // An edit that no longer selects an instance lets nothing of it be expired: one that is listed, or one as it was last seen,
            // whose engine is no longer asked for or which is deleted. What is merely not listed was not seen.
            graced.retain(|of| {
                let unselected = |found: &Instance| !policy.select.claims(found, Knowledge::Full);
                let found = there.get(of).copied().or_else(|| elsewhere.get(of));
                !may_select(policy, &of.0) || found.is_some_and(unselected)
            });
            ledger.clear_grace_of(&policy.name, &graced, request.now)?;
        }
        // Before the counts: what these listings show to be gone is not in them, and must not be subtracted from them again.
        ledger.settle(run_id, request.now, &scan.gone, &scan.returned)?;
        // Nor does it remember when something was listed, missed or doubted: seven days of doubt, or 24 hours of absence,
        // would be over at once when the clock is right again.
        for (project, instances) in scan.listed.iter().filter(|(project, _)| good.contains(project)) {
            let engines = engines_of(policy_runs.all(), project);
            ledger.remember_instances(project, &engines, instances, request.now)?;
            let found = scan.found_unlisted.iter().filter(|(of, _)| of == project);
            ledger.restart_absence(project, found.map(|(_, instance)| instance), request.now)?;
            let of_project = |(id, (of, listing)): (&InstanceId, &(ProjectName, Listing))| {
                (of == project).then(|| (id.clone(), listing.count))
            };
            let counts: Vec<(InstanceId, u64)> = scan.listings.iter().filter_map(of_project).collect();
            // A run asked for one instance still listed all of the project's.
            ledger.accept_count(project, Some(instances.len() as u64), &counts, request.now)?;
        }
        let decided = conflicts.decided().filter(|(_, project)| good.contains(project));
        ledger.remember_listings(decided.map(|(instance, _)| instance), request.now)?;
        for (project, instance) in scan
            .shrunken_listings
            .iter()
            .filter(|(project, _)| good.contains(project))
        {
            ledger.mark_shrunk(project, instance.as_ref(), request.now)?;
        }
        let (doubts, settled) = doubts_to_record(scan, &ledger.listing_doubts()?, &good);
        ledger.record_doubts(&doubts, &settled)?;
        ledger.record_decided(run_id, &scan.decided, request.now)?;
        for (project, instance) in &scan.emptied {
            ledger.forget_instances(project, std::slice::from_ref(instance))?;
        }
        Ok(())
    })
}
