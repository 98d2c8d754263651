//! What two instances list: one of the two listings is wrong, nothing tells which, and so nothing of either instance is deleted.
//!
//! Every listed id is compared, due or not: an id of another instance fills slots, too. A run keeps eight bytes for each id that it
//! lists, and compares them when it has listed everything; of instances that it does not read the ledger has what they listed
//! in the last seven days. An index of all ids in the ledger would cost a first run three times its work (docs/scale.md).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};

use chrono::{DateTime, Utc};

use super::context::RunContext;
use super::error::Error;
use super::instances::{InstanceJob, skip_job};
use super::ledger_snapshot::LedgerSnapshot;
use super::policy_runs::PolicyRuns;
use super::request::RunRequest;
use super::scan_result::Scan;
use crate::blocking::blocking;
use crate::ledger::{REMEMBERED, Remembered};
use crate::retention::report::{Skip, SkipReason};
use crate::retention::{Backup, BackupId, Doubt, Instance, InstanceId, InstanceLife, ProjectName};
use crate::wording::left_alone;

/// Which instances of a run list what another instance lists.
#[derive(Default)]
pub(super) struct Conflicts {
    hasher: RandomState,
    /// Of every id that this run listed.
    listed: Vec<u64>,
    /// Of ids that an instance of this run listed within the last seven days, and lists no more.
    gone: Vec<u64>,
    /// Of ids that are known to be contested before anything is decided.
    known: HashSet<u64>,
    /// The first instance that was found to list a known one.
    first: HashMap<u64, InstanceId>,
    /// What was decided, with its running policies.
    decided: HashMap<InstanceId, (ProjectName, Vec<usize>)>,
    /// Backups that a restore reads.
    in_use: HashSet<BackupId>,
    /// What is left alone, and why.
    left_alone: BTreeMap<InstanceId, String>,
}

impl Conflicts {
    /// Takes in a believed listing, and marks what is known to be contested.
    pub(super) fn add(
        &mut self,
        request: &RunRequest,
        instance: &Instance,
        running: Vec<usize>,
        backups: &mut [Backup],
        remembered: &Remembered,
    ) {
        let ids: HashSet<u64> = backups.iter().map(|backup| self.hash(&backup.id)).collect();
        // What it listed within the last days counts although it is gone.
        for (id, said) in &remembered.backups {
            let hash = self.hash(id);
            if !ids.contains(&hash) && is_recent(said.gone_since.or(remembered.last), request.now) {
                self.gone.push(hash);
                self.meet(hash, id, &instance.id);
            }
        }
        for backup in backups {
            let hash = self.hash(&backup.id);
            self.listed.push(hash);
            if self.meet(hash, &backup.id, &instance.id) {
                backup.doubt = Some(Doubt::Contested);
            } else if backup.doubt.is_none() && self.in_use.contains(&backup.id) {
                backup.doubt = Some(Doubt::InUse);
            }
        }
        self.decided
            .insert(instance.id.clone(), (instance.project.clone(), running));
    }

    /// What was decided in this run.
    pub(super) fn decided(&self) -> impl Iterator<Item = (&InstanceId, &ProjectName)> {
        self.decided.iter().map(|(instance, (project, _))| (instance, project))
    }

    /// Of an id, however it is written.
    fn hash(&self, id: &BackupId) -> u64 {
        self.hasher.hash_one(id.folded())
    }

    /// Leaves alone an instance that lists, or listed, a known id, also where this time no other one was read that does; false of an id
    /// that is not known.
    fn meet(&mut self, hash: u64, backup: &BackupId, instance: &InstanceId) -> bool {
        if !self.known.contains(&hash) {
            return false;
        }
        let message = |other: &str| left_alone::listed_twice(backup, other);
        let first = self.first.entry(hash).or_insert_with(|| instance.clone()).clone();
        if first == *instance {
            let left_alone = self.left_alone.entry(first);
            left_alone.or_insert_with(|| message("another one"));
        } else {
            self.left_alone.insert(instance.clone(), message(first.as_str()));
            self.left_alone.insert(first, message(instance.as_str()));
        }
        true
    }

    /// What to know before everything is decided once more, where a conflict came out that was not known.
    pub(super) fn once_more(&mut self, request: &RunRequest, context: &RunContext) -> Result<Option<Self>, Error> {
        self.listed.sort_unstable();
        self.gone.sort_unstable();
        let mut found: HashMap<u64, Option<InstanceId>> = HashMap::new();
        let twice = self.listed.windows(2).filter(|pair| pair[0] == pair[1]);
        let elsewhere = self.gone.iter().filter(|hash| self.listed.binary_search(hash).is_ok());
        found.extend(
            twice
                .map(|pair| pair[0])
                .chain(elsewhere.copied())
                .map(|hash| (hash, None)),
        );
        self.each_of_unread(request, context, |hash, instance| {
            if self.listed.binary_search(&hash).is_ok() || self.gone.binary_search(&hash).is_ok() {
                found.insert(hash, Some(instance.clone()));
            }
        })?;
        found.retain(|hash, _| !self.known.contains(hash));
        if found.is_empty() {
            return Ok(None);
        }
        let (mut known, mut first) = (std::mem::take(&mut self.known), std::mem::take(&mut self.first));
        known.extend(found.keys());
        first.extend(found.into_iter().filter_map(|(hash, instance)| Some((hash, instance?))));
        Ok(Some(Self {
            hasher: self.hasher.clone(),
            known,
            first,
            in_use: std::mem::take(&mut self.in_use),
            ..Self::default()
        }))
    }

    /// The same before everything is decided once more, as these backups are in use.
    pub(super) fn with_in_use(self, in_use: HashSet<BackupId>) -> Self {
        Self {
            hasher: self.hasher,
            known: self.known,
            first: self.first,
            in_use,
            ..Self::default()
        }
    }

    /// Which of these ids listings of manual backups showed, of whatever instance, in this run or within the last seven days.
    pub(super) fn listed_as_manual<'b>(
        &self,
        request: &RunRequest,
        context: &RunContext,
        ids: impl Iterator<Item = &'b BackupId>,
    ) -> Result<HashSet<BackupId>, Error> {
        let asked: HashMap<u64, &BackupId> = ids.map(|id| (self.hash(id), id)).collect();
        let of_run = self.listed.iter().chain(&self.gone).filter_map(|hash| asked.get(hash));
        let mut manual: HashSet<BackupId> = of_run.map(|id| (*id).clone()).collect();
        if !asked.is_empty() {
            self.each_of_unread(request, context, |hash, _| {
                manual.extend(asked.get(&hash).map(|id| (*id).clone()));
            })?;
        }
        Ok(manual)
    }

    /// What instances that this run did not read listed within the last seven days.
    fn each_of_unread(
        &self,
        request: &RunRequest,
        context: &RunContext,
        mut each: impl FnMut(u64, &InstanceId),
    ) -> Result<(), Error> {
        let Some(ledger) = &context.ledger else { return Ok(()) };
        let is_read = |instance: &InstanceId| self.decided.contains_key(instance);
        blocking(|| {
            ledger.each_listed(is_read, |instance, backup, at| {
                if is_recent(at, request.now) {
                    each(self.hash(backup), instance);
                }
            })
        })?;
        Ok(())
    }
}

/// A time that is not known counts as recent.
fn is_recent(at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> bool {
    at.is_none_or(|at| now - at < REMEMBERED)
}

/// Takes out of the plans what is due on instances with a conflict.
pub(super) fn leave_backups_alone(scan: &mut Scan, conflicts: &Conflicts, policy_runs: &mut PolicyRuns) {
    for (instance, message) in &conflicts.left_alone {
        // One that was not listed in this run has nothing to be left alone.
        let Some((project, running)) = conflicts.decided.get(instance) else {
            continue;
        };
        // Not believed: it justifies no deletion, and its count is not remembered.
        scan.listings.remove(instance);
        scan.counts.entry(project.clone()).or_default().failed += 1;
        for nth in running {
            scan.hit.missed(*nth);
        }
        scan.skipped.push(Skip {
            project: project.clone(),
            instance: Some(instance.clone()),
            reason: SkipReason::Listing,
            message: message.clone(),
        });
    }
    policy_runs.leave_out(|instance| conflicts.left_alone.contains_key(&instance.id));
}

/// Takes out of what is to be read the instances that two projects list, or listed within the last seven days, and those that lack what
/// they had.
pub(super) fn leave_instances_alone(
    scan: &mut Scan,
    policy_runs: &PolicyRuns,
    memory: &LedgerSnapshot,
    jobs: &mut Vec<InstanceJob>,
) {
    let mut projects: HashMap<InstanceId, Vec<ProjectName>> = HashMap::new();
    let listed = scan.listed.iter().flat_map(|(_, instances)| instances);
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
        // In this run, or in one before it that may have been about the other project alone.
        let listing = [projects.get(id), memory.recently_in.get(id)].into_iter().flatten();
        let other = listing.flatten().find(|other| *other != project);
        let message = match (other, &job.lacks) {
            (Some(other), _) => left_alone::in_two_projects(other),
            (None, Some(why)) => why.clone(),
            (None, None) => return true,
        };
        scan.counts.entry(project.clone()).or_default().failed += 1;
        skip_job(policy_runs, scan, job, SkipReason::Listing, &message);
        false
    });
}
