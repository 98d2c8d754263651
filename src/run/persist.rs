//! What a run learned from its listings, written down before anything is sent.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::conflicts::Conflicts;
use super::context::RunContext;
use super::error::Error;
use super::ledger_snapshot::{engines_of, may_select};
use super::policy_run::PolicyRun;
use super::policy_runs::PolicyRuns;
use super::request::RunRequest;
use super::scan_result::Scan;
use crate::blocking::blocking;
use crate::ledger::{
    self, GraceKey, GraceSeen, GraceStart, GraceUpdate, Ledger, Listing, ListingDoubt, ListingDoubts, ListingPart,
    ObservationWriter,
};
use crate::retention::policy::Knowledge;
use crate::retention::{BackupId, Instance, InstanceId, Mode, ProjectName};

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

/// What the run changes of its policies' grace periods.
fn persist_grace(
    request: &RunRequest,
    ledger: &Ledger,
    policy_runs: &PolicyRuns,
    good: &BTreeSet<&ProjectName>,
    there: &HashMap<(ProjectName, InstanceId), &Instance>,
) -> Result<(), Error> {
    for policy_run in policy_runs.iter() {
        let policy = policy_run.policy();
        ledger.update_grace(&policy.name, &grace_update(policy_run, good), request.now)?;
        let mut graced = ledger.graced_instances(&policy.name)?;
        let elsewhere = remembered_of(ledger, &graced, there, request.now)?;
        // An edit that no longer selects an instance lets nothing of it be expired: one that is listed, or one as it was last seen,
        // whose engine is no longer asked for or which is deleted. What is merely not listed was not seen.
        graced.retain(|of| {
            let unselected = |found: &Instance| !policy.select.claims(found, Knowledge::Full);
            let found = there.get(of).copied().or_else(|| elsewhere.get(of));
            !may_select(policy, &of.0) || found.is_some_and(unselected)
        });
        ledger.clear_grace_of(&policy.name, &graced, request.now)?;
    }
    Ok(())
}

/// What the listings showed. By a wrong clock it is not remembered when something was listed, missed or doubted: seven days of doubt, or 24
/// hours of absence, would be over at once when the clock is right again.
fn persist_listings(
    observer: &ObservationWriter<'_, '_>,
    scan: &Scan,
    conflicts: &Conflicts,
    policy_runs: &PolicyRuns,
    good: &BTreeSet<&ProjectName>,
) -> Result<(), ledger::Error> {
    for (project, instances) in scan.listed.iter().filter(|(project, _)| good.contains(project)) {
        let engines = engines_of(policy_runs.all(), project);
        observer.remember_instances(project, &engines, instances)?;
        let found = scan.found_unlisted.iter().filter(|(of, _)| of == project);
        observer.restart_absence(project, found.map(|(_, instance)| instance))?;
        let of_project = |(id, (of, listing)): (&InstanceId, &(ProjectName, Listing))| {
            (of == project).then(|| (id.clone(), listing.count))
        };
        let counts: Vec<(InstanceId, u64)> = scan.listings.iter().filter_map(of_project).collect();
        // A run asked for one instance still listed all of the project's.
        observer.accept_count(project, Some(instances.len() as u64), &counts)?;
    }
    let decided = conflicts.decided().filter(|(_, project)| good.contains(project));
    observer.remember_listings(decided.map(|(instance, _)| instance))?;
    let shrunken = scan.shrunken_listings.iter();
    for (project, instance) in shrunken.filter(|(project, _)| good.contains(project)) {
        observer.mark_shrunk(project, instance.as_ref())?;
    }
    for (project, instance) in &scan.emptied {
        observer.forget_instance(project, instance)?;
    }
    Ok(())
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
        persist_grace(request, ledger, policy_runs, &good, &there)?;
        // Before the counts: what these listings show to be gone is not in them, and must not be subtracted from them again.
        ledger.settle(run_id, request.now, &scan.gone, &scan.returned)?;
        let (doubts, settled) = doubts_to_record(scan, &ledger.listing_doubts()?, &good);
        ledger.record_doubts(&doubts, &settled)?;
        ledger.record_decided(run_id, &scan.decided, request.now)?;
        ledger.observe(request.now, |observer| {
            persist_listings(observer, scan, conflicts, policy_runs, &good)
        })?;
        Ok(())
    })
}
