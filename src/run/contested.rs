//! What two instances list: one of the two listings is wrong, nobody can tell which, and so both instances are left alone.
//!
//! Looked for is what is due, among all else that is due and in all that the ledger remembers of the last listings: so no
//! id of the fleet has to be kept in memory, and a listing of another policy's pass counts as well.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::account::Accounts;
use super::instances::Job;
use super::survey::{Survey, skip_job};
use super::{Error, World, blocking};
use crate::retention::policy::Knowledge;
use crate::retention::report::{Skip, SkipReason};
use crate::retention::{Instance, InstanceId, InstanceLife, ProjectName};

/// One instance of one project.
type Of = (ProjectName, InstanceId);

/// Takes out of the plans what is due on instances that share a due backup with another one.
pub(super) fn leave_backups_alone(world: &World, survey: &mut Survey, accounts: &mut Accounts) -> Result<(), Error> {
    let contested = contested(world, survey, accounts)?;
    for (of, message) in &contested {
        let (project, instance) = of;
        // Not believed: it justifies no deletion, and its count is not remembered.
        survey.listings.remove(instance);
        survey.counts.entry(project.clone()).or_default().failed += 1;
        let listed = survey.listed.iter().find(|(name, _)| name == project);
        let found = listed.and_then(|(_, instances)| instances.iter().find(|listed| listed.id == *instance));
        let claiming = found.map_or_else(Vec::new, |found| accounts.claims(found, Knowledge::Full));
        for nth in accounts.running_among(&claiming) {
            survey.hit.missed(nth);
        }
        survey.skipped.push(Skip {
            project: project.clone(),
            instance: Some(instance.clone()),
            reason: SkipReason::Listing,
            message: message.clone(),
        });
    }
    accounts.leave_out(|instance| contested.contains_key(&(instance.project.clone(), instance.id.clone())));
    Ok(())
}

/// The contested instances, each with what is wrong.
fn contested(world: &World, survey: &Survey, accounts: &Accounts) -> Result<BTreeMap<Of, String>, Error> {
    let mut contested = BTreeMap::new();
    let mut note = |backup: &str, one: Of, other: &InstanceId| {
        let message = format!(
            "backup {backup} is listed as one of this instance and as one of {other}: one of the two listings is wrong"
        );
        contested.entry(one).or_insert(message);
    };
    let of = |instance: &Instance| (instance.project.clone(), instance.id.clone());
    let mut due: HashMap<&str, &Arc<Instance>> = HashMap::new();
    let instances = accounts.iter().flat_map(|account| account.plan().instances());
    for candidate in instances.flat_map(|instance| &instance.due) {
        let (backup, instance) = (candidate.id.as_str(), &candidate.instance);
        let first = *due.entry(backup).or_insert(instance);
        if of(first) != of(instance) {
            note(backup, of(first), &instance.id);
            note(backup, of(instance), &first.id);
        }
    }
    if let Some(ledger) = world.ledger.as_ref().filter(|_| !due.is_empty()) {
        blocking(|| {
            ledger.each_listed(|backup, other| {
                let Some(instance) = due.get(backup).filter(|instance| instance.id.as_str() != other) else {
                    return;
                };
                let other = InstanceId::from(other);
                note(backup, of(instance), &other);
                // One that was not listed in this pass has nothing to be left alone.
                if let Some((project, _)) = survey.listings.get(&other) {
                    note(backup, (project.clone(), other), &instance.id);
                }
            })
        })?;
    }
    Ok(contested)
}

/// Takes out of what is to be read the instances that two projects list.
pub(super) fn leave_instances_alone(survey: &mut Survey, accounts: &Accounts, jobs: &mut Vec<Job>) {
    let mut projects: HashMap<InstanceId, Vec<ProjectName>> = HashMap::new();
    let listed = survey.listed.iter().flat_map(|(_, instances)| instances);
    // Also one that is deleted in one project and lives in another.
    let deleted = jobs.iter().map(|job| &*job.instance);
    let deleted = deleted.filter(|instance| instance.life != InstanceLife::Listed);
    for instance in listed.chain(deleted) {
        projects
            .entry(instance.id.clone())
            .or_default()
            .push(instance.project.clone());
    }
    jobs.retain(|job| {
        let (project, id) = (&job.instance.project, &job.instance.id);
        let Some(other) = projects
            .get(id)
            .and_then(|all| all.iter().find(|other| *other != project))
        else {
            return true;
        };
        survey.counts.entry(project.clone()).or_default().failed += 1;
        let message = format!("project {other} lists this instance, too: one of the two listings is wrong");
        skip_job(accounts, survey, job, SkipReason::Listing, &message);
        false
    });
}
