//! How long the deletions take that the API takes one by one, said before they begin.

use std::collections::{BTreeMap, HashSet};

use super::policy_run::PolicyRun;
use super::policy_runs::PolicyRuns;
use crate::config::Config;
use crate::retention::plan::{Batch, InstanceDue};
use crate::retention::{BackupId, ProjectName};
use crate::wording::numbers::number;

/// A run that sends for less than this has nothing to say of it.
const WORTH_SAYING: u64 = 60;

/// What is to be deleted in one project.
#[derive(Default)]
struct DueInProject<'p> {
    in_batches: HashSet<&'p BackupId>,
    one_by_one: HashSet<&'p BackupId>,
}

/// One sentence a project where the calls take long, at the rate that it may be asked.
pub(super) fn notices(config: &Config, policy_runs: &PolicyRuns) -> Vec<String> {
    let mut projects: BTreeMap<&ProjectName, DueInProject<'_>> = BTreeMap::new();
    for InstanceDue { instance, due, .. } in policy_runs.iter().flat_map(PolicyRun::all_due) {
        let planned = projects.entry(&instance.project).or_default();
        let ids = due.iter().map(|candidate| &candidate.id);
        if instance.engine.is_deleted_in_batches() {
            planned.in_batches.extend(ids);
        } else {
            planned.one_by_one.extend(ids);
        }
    }
    let notice = |(name, planned): (&ProjectName, DueInProject<'_>)| {
        let project = config.projects.iter().find(|project| project.name == *name)?;
        let calls = planned.one_by_one.len() + planned.in_batches.len().div_ceil(Batch::LIMIT);
        let rate = u64::from(project.requests_per_second.get());
        let seconds = (calls as u64).div_ceil(rate);
        (!planned.one_by_one.is_empty() && seconds >= WORTH_SAYING).then(|| {
            format!(
                "project {name}: {} backups go one by one, as their engines have no deletion in batches: {} calls for what is planned, about {} min \
                 at {rate} requests a second",
                number(planned.one_by_one.len() as u64),
                number(calls as u64),
                number(seconds.div_ceil(60)),
            )
        })
    };
    projects.into_iter().filter_map(notice).collect()
}
