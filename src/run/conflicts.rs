//! What two instances list: one of the two listings is wrong, nothing tells which, and so nothing of either instance is deleted.
//!
//! Every listed id is compared, due or not: an id of another instance fills slots, too. In a run the ledger has what every
//! instance listed, in this run and in the last seven days, so that memory does not grow with the fleet. A plan writes no ledger and keeps
//! eight bytes for each id.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};

use chrono::{DateTime, Utc};

use super::instances::{InstanceJob, LedgerSnapshot};
use super::policy_run::PolicyRuns;
use super::scan::{Scan, skip_job};
use super::{Error, Purpose, RunContext, RunRequest, blocking};
use crate::ledger::{REMEMBERED, Remembered};
use crate::retention::report::{Skip, SkipReason};
use crate::retention::{Backup, BackupId, Doubt, Instance, InstanceId, InstanceLife, ProjectName};

/// Which instances of a run list what another instance lists.
#[derive(Default)]
pub(super) struct Conflicts {
    hasher: RandomState,
    /// Of every id that was listed; only in a plan.
    hashes: Vec<u64>,
    /// Of ids that are known to be conflicts before anything is decided.
    known: HashSet<u64>,
    /// Who lists a known one.
    first: HashMap<BackupId, InstanceId>,
    /// What was decided, with its running policies.
    judged: HashMap<InstanceId, (ProjectName, Vec<usize>)>,
    /// What is left alone, and why.
    left_alone: BTreeMap<InstanceId, String>,
    /// A conflict came out after one of its instances was decided.
    is_late: bool,
}

impl Conflicts {
    /// Compares a believed listing with those of other instances and marks what both have.
    pub(super) fn compare(
        &mut self,
        request: &RunRequest,
        context: &RunContext,
        instance: &Instance,
        running: Vec<usize>,
        backups: &mut [Backup],
        remembered: &Remembered,
    ) -> Result<(), Error> {
        let mut conflicts: HashSet<BackupId> = HashSet::new();
        if let Some(ledger) = &context.ledger {
            let since = |at: Option<DateTime<Utc>>| at.is_none_or(|at| request.now - at < REMEMBERED);
            let listed: HashSet<&BackupId> = backups.iter().map(|backup| &backup.id).collect();
            // What it listed within the last days counts although it is gone.
            let gone = remembered
                .backups
                .iter()
                .filter(|(id, said)| !listed.contains(id) && since(said.gone_since.or(remembered.last)));
            let ids = listed.iter().copied().chain(gone.map(|(id, _)| id));
            for other in blocking(|| ledger.listed_elsewhere(&instance.id, ids))? {
                // What a plan reads is not in the ledger.
                let is_decided =
                    request.purpose != Purpose::Plan && other.is_listed && self.judged.contains_key(&other.instance);
                if !is_decided && !since(other.at) {
                    continue;
                }
                self.leave_alone(&other.backup, &instance.id, &other.instance);
                self.is_late |= is_decided && self.known.insert(self.hasher.hash_one(&other.backup));
                conflicts.insert(other.backup);
            }
        }
        for backup in backups {
            let hash = self.hasher.hash_one(&backup.id);
            if request.purpose == Purpose::Plan {
                self.hashes.push(hash);
            }
            let is_known = self.known.contains(&hash);
            if is_known || conflicts.contains(&backup.id) {
                backup.doubt = Some(Doubt::Contested);
            }
            if is_known {
                let first = self
                    .first
                    .entry(backup.id.clone())
                    .or_insert_with(|| instance.id.clone())
                    .clone();
                if first != instance.id {
                    self.leave_alone(&backup.id, &instance.id, &first);
                }
            }
        }
        self.judged
            .insert(instance.id.clone(), (instance.project.clone(), running));
        Ok(())
    }

    /// What was decided in this run.
    pub(super) fn judged(&self) -> impl Iterator<Item = (&InstanceId, &ProjectName)> {
        self.judged.iter().map(|(instance, (project, _))| (instance, project))
    }

    fn leave_alone(&mut self, backup: &BackupId, one: &InstanceId, other: &InstanceId) {
        for (one, other) in [(one, other), (other, one)] {
            self.left_alone.entry(one.clone()).or_insert_with(|| {
                format!(
                    "backup {backup} is listed as one of this instance and as one of {other}, now or within the last 7 days: one of \
                     the two listings is wrong, and nothing of either instance is deleted"
                )
            });
        }
    }

    /// What to know before everything is decided once more, where a conflict came out too late for what was decided before it.
    pub(super) fn once_more(&mut self) -> Option<Self> {
        self.hashes.sort_unstable();
        let twice = self.hashes.windows(2).filter(|pair| pair[0] == pair[1]);
        for pair in twice {
            self.is_late |= self.known.insert(pair[0]);
        }
        self.is_late.then(|| Self {
            hasher: self.hasher.clone(),
            known: std::mem::take(&mut self.known),
            ..Self::default()
        })
    }
}

/// Takes out of the plans what is due on conflicts instances.
pub(super) fn leave_backups_alone(scan: &mut Scan, conflicts: &Conflicts, policy_runs: &mut PolicyRuns) {
    for (instance, message) in &conflicts.left_alone {
        // One that was not listed in this run has nothing to be left alone.
        let Some((project, running)) = conflicts.judged.get(instance) else {
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
            (Some(other), _) => {
                format!(
                    "project {other} lists this instance, too, or did within the last 7 days: one of the two listings is wrong, and nothing                      of it is deleted"
                )
            }
            (None, Some(what)) => format!(
                "its {what}: it is left alone until they are back, or until `approve --listing \
                 {id}`"
            ),
            (None, None) => return true,
        };
        scan.counts.entry(project.clone()).or_default().failed += 1;
        skip_job(policy_runs, scan, job, SkipReason::Listing, &message);
        false
    });
}
