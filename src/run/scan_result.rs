//! What a scan found, before the guard looks at it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::context::Progress;
use crate::ledger::{DecidedOn, Listing, ListingDoubt, ObservedChanges};
use crate::retention::plan::ClockCheck;
use crate::retention::report::{InstanceCounts, Overlap, Settled, Skip, SkipReason};
use crate::retention::{BackupId, Instance, InstanceId, Policy, ProjectName, Refusal};

/// What a scan found.
#[derive(Default)]
pub(super) struct Scan {
    pub(super) clocks: BTreeMap<ProjectName, ClockCheck>,
    pub(super) skipped: Vec<Skip>,
    pub(super) unmanaged: Vec<Arc<Instance>>,
    pub(super) overlaps: Vec<Overlap>,
    pub(super) counts: BTreeMap<ProjectName, InstanceCounts>,
    /// Deletions of earlier runs that these listings settled.
    pub(super) settled: Vec<Settled>,
    pub(super) hit: CoverageByPolicy,
    pub(super) progress: Progress,
    /// Shrunken listings, by running policy.
    pub(super) shrunk: Vec<(usize, Refusal)>,
    /// The listings that were believed, by instance: counts for the next run's shrink guard, and what justifies a deletion.
    pub(super) listings: HashMap<InstanceId, (ProjectName, Listing)>,
    /// The lists of instances that were believed.
    pub(super) listed: Vec<(ProjectName, Vec<Instance>)>,
    /// Listings that fell by more than half.
    pub(super) shrunken_listings: Vec<(ProjectName, Option<InstanceId>)>,
    /// What of these listings is in doubt, accepted or not.
    pub(super) doubts: Vec<(ProjectName, ListingDoubt)>,
    /// How many backups of an instance are kept because they say something else than an earlier run saw.
    pub(super) changed: BTreeMap<InstanceId, (Arc<str>, u64)>,
    /// Instances that the list of instances lacks, and that asking for their ids finds.
    pub(super) found_unlisted: Vec<(ProjectName, InstanceId)>,
    /// Deleted instances of which nothing is left.
    pub(super) emptied: Vec<(ProjectName, InstanceId)>,
    /// What was decided on where something is due.
    pub(super) decided: Vec<DecidedOn>,
    /// What is to be remembered of backups, and is not written yet.
    pub(super) observed: ObservedChanges,
    pub(super) gone: Vec<BackupId>,
    pub(super) returned: Vec<BackupId>,
}

/// How much of what a policy selects could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coverage {
    None,
    Some,
    Whole,
}

/// Per running policy: instances that were read, and things that were not.
#[derive(Default)]
pub(super) struct CoverageByPolicy(BTreeMap<usize, (usize, usize)>);

impl CoverageByPolicy {
    pub(super) fn read(&mut self, nth: usize) {
        self.0.entry(nth).or_default().0 += 1;
    }

    pub(super) fn missed(&mut self, nth: usize) {
        self.0.entry(nth).or_default().1 += 1;
    }

    pub(super) fn of(&self, nth: usize) -> Coverage {
        match self.0.get(&nth) {
            None | Some((_, 0)) => Coverage::None,
            Some((0, _)) => Coverage::Whole,
            Some(_) => Coverage::Some,
        }
    }
}

impl Scan {
    /// Leaves alone what a shrunken listing was read for; `running` are the policies that would have used it.
    pub(super) fn leave_shrunken(
        &mut self,
        project: &ProjectName,
        instance: Option<&InstanceId>,
        refusal: &Refusal,
        running: impl Iterator<Item = usize>,
    ) {
        self.skipped.push(Skip {
            project: project.clone(),
            instance: instance.cloned(),
            reason: SkipReason::Shrink,
            message: refusal.to_string(),
        });
        self.shrunk.extend(running.map(|nth| (nth, refusal.clone())));
        self.shrunken_listings.push((project.clone(), instance.cloned()));
    }

    /// One that has found nothing yet, of projects with these clocks.
    pub(super) fn with_clocks(clocks: BTreeMap<ProjectName, ClockCheck>) -> Self {
        Self {
            clocks,
            ..Self::default()
        }
    }

    /// A refusal that concerns one instance or project is a skip, too.
    pub(super) fn note_refusal(&mut self, refusal: &Refusal, project_of: impl Fn(&InstanceId) -> Option<ProjectName>) {
        let reason = SkipReason::Guard(Box::new(refusal.clone()));
        let skip = match refusal {
            Refusal::Clock { project, .. } => Some(Skip {
                project: project.clone(),
                instance: None,
                reason,
                message: refusal.to_string(),
            }),
            _ => refusal.instance().and_then(|instance| {
                let (project, instance) = (project_of(instance)?, Some(instance.clone()));
                Some(Skip {
                    project,
                    instance,
                    reason,
                    message: refusal.to_string(),
                })
            }),
        };
        self.skipped.extend(skip.filter(|skip| !self.skipped.contains(skip)));
    }

    /// The shrunken listings that concern a running policy.
    pub(super) fn shrunk_for(&self, nth: usize) -> Vec<Refusal> {
        self.shrunk
            .iter()
            .filter(|(of, _)| *of == nth)
            .map(|(_, refusal)| refusal.clone())
            .collect()
    }
}

/// Which policies share how many instances.
#[derive(Default)]
pub(super) struct Overlaps(BTreeMap<Vec<usize>, u64>);

impl Overlaps {
    pub(super) fn note(&mut self, claiming: &[usize]) {
        if claiming.len() > 1 {
            *self.0.entry(claiming.to_vec()).or_default() += 1;
        }
    }

    pub(super) fn report(self, all: &[Arc<Policy>]) -> Vec<Overlap> {
        let name = |place: usize| all[place].name.clone();
        let entry = |(places, instances): (Vec<usize>, u64)| Overlap {
            policies: places.into_iter().map(name).collect(),
            instances,
        };
        self.0.into_iter().map(entry).collect()
    }
}
