//! Backups that a restore reads: kept as `in_use`, instead of being sent and refused.
//!
//! Read once a run, of the instances where something is due, after the decision: it is rare, and then all is decided once more. Where
//! the API does not say, the run goes on without it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::cancel::or_cancelled;
use super::context::{Progress, RunContext};
use super::policy_runs::PolicyRuns;
use crate::rds::{Client, InUse};
use crate::retention::{BackupId, InstanceId, InstanceLife, ProjectName};
use crate::wording::problems::restores_unknown;

/// Where something is due on more instances of a project, none is asked: that would take longer than the refusals.
const MOST_ASKED: usize = 500;

/// What is due and in use, and what there is to say where that is not known.
pub(super) async fn read(
    context: &RunContext,
    policy_runs: &PolicyRuns,
    progress: &mut Progress,
    deadline: Instant,
) -> (HashSet<BackupId>, Vec<String>) {
    let mut due: HashMap<String, &BackupId> = HashMap::new();
    let mut asked: BTreeMap<&ProjectName, HashSet<&InstanceId>> = BTreeMap::new();
    for of in policy_runs.iter().flat_map(|policy_run| policy_run.plan().instances()) {
        due.extend(of.due.iter().map(|candidate| (candidate.id.folded(), &candidate.id)));
        // A deleted instance has no tasks.
        if of.instance.life == InstanceLife::Listed {
            let instances = asked.entry(&of.instance.project).or_default();
            instances.insert(&of.instance.id);
        }
    }
    asked.retain(|project, instances| instances.len() <= MOST_ASKED && context.projects.get(project).is_some());
    progress.of_asked_for_tasks = asked.values().map(HashSet::len).sum();
    let steps = Arc::new(Steps {
        before: *progress,
        done: AtomicUsize::new(0),
    });
    let mut projects = JoinSet::new();
    for (project, instances) in asked {
        if let Some(client) = context.projects.get(project) {
            let instances = instances.into_iter().cloned().collect();
            let steps = Arc::clone(&steps);
            projects.spawn(of_project(context.clone(), client.clone(), instances, steps, deadline));
        }
    }
    let (mut used, mut notices) = (HashSet::new(), Vec::new());
    while let Some(joined) = projects.join_next().await {
        if let Ok((found, notice)) = joined {
            used.extend(found.iter().filter_map(|id| due.get(&id.folded()).copied().cloned()));
            notices.extend(notice);
        }
    }
    notices.sort();
    *progress = steps.now(context);
    (used, notices)
}

/// How far the asking is, in all projects.
struct Steps {
    before: Progress,
    done: AtomicUsize,
}

impl Steps {
    fn now(&self, context: &RunContext) -> Progress {
        Progress {
            asked_for_tasks: self.done.load(Ordering::Relaxed),
            calls: context.projects.calls(),
            ..self.before
        }
    }

    fn one_more(&self, context: &RunContext) {
        self.done.fetch_add(1, Ordering::Relaxed);
        (context.watcher)(self.now(context));
    }
}

/// Asks a few instances at a time, and no more once one does not say.
async fn of_project(
    context: RunContext,
    client: Client,
    instances: Vec<InstanceId>,
    steps: Arc<Steps>,
    deadline: Instant,
) -> (Vec<BackupId>, Option<String>) {
    let (context, mut used) = (Arc::new(context), Vec::new());
    for some in instances.chunks(client.concurrency()) {
        let mut asking = JoinSet::new();
        for instance in some {
            let (context, client, instance) = (Arc::clone(&context), client.clone(), instance.clone());
            asking.spawn(async move {
                let answer = async { Ok(client.backups_in_use(&instance).await) };
                or_cancelled(&context, deadline, answer).await
            });
        }
        while let Some(joined) = asking.join_next().await {
            steps.one_more(&context);
            match joined {
                Ok(Some(Ok(InUse::Backups(found)))) => used.extend(found),
                Ok(Some(Ok(InUse::Unknown))) => {
                    return (used, Some(restores_unknown(client.project())));
                }
                _ => return (used, None),
            }
        }
    }
    (used, None)
}
