//! Deleted instances whose backups remain, named with their sizes, whether or not a policy selects them.
//!
//! Named only where the list of instances agrees that they are not there. Nothing is deleted for it: what a policy does with backups of
//! deleted instances is `instances`' business. Where the API does not say, nothing is named.

use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, Utc};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::cancel::or_cancelled;
use super::context::RunContext;
use crate::ledger::{self, Ledger, RunRow};
use crate::rds::Client;
use crate::retention::orphan::Orphan;
use crate::retention::policy::Knowledge;
use crate::retention::{BackupKind, Engine, Instance, InstanceId, InstanceLife, ProjectName, total_bytes};
use crate::wording::orphans::{sentences, unknown, unread};

/// Of more deleted instances in a project the rest is not asked about: each takes a call.
const MOST: usize = 500;

/// What remains in the projects whose lists of instances were believed, and what there is to say of it.
pub(super) async fn read(
    context: &RunContext,
    listed: &[(ProjectName, Vec<Instance>)],
    (deadline, now): (Instant, DateTime<Utc>),
) -> (Vec<Orphan>, Vec<String>) {
    let mut projects = JoinSet::new();
    for (project, instances) in listed {
        let Some(client) = context.projects.get(project).cloned() else {
            continue;
        };
        let listed: HashSet<InstanceId> = instances.iter().map(|instance| instance.id.clone()).collect();
        let context = context.clone();
        projects.spawn(async move {
            let reading = async { Ok(of_project(&client, &listed).await) };
            or_cancelled(&context, deadline, reading).await
        });
    }
    let (mut orphans, mut notices) = (Vec::new(), Vec::new());
    while let Some(joined) = projects.join_next().await {
        if let Ok(Some(Ok((found, more)))) = joined {
            orphans.extend(found);
            notices.extend(more);
        }
    }
    for orphan in &mut orphans {
        let life = InstanceLife::Deleted { missed_since: now };
        let instance = Instance {
            life,
            ..instance_of(orphan)
        };
        let mut policies = context.config.policies.iter();
        orphan.is_selected = policies.any(|entry| entry.policy.select.claims(&instance, Knowledge::IdsOnly));
    }
    orphans.sort_by(|a, b| (&a.project, &a.instance_id).cmp(&(&b.project, &b.instance_id)));
    let said = sentences(&orphans, context.config.price.as_ref()).into_values();
    let said = said.chain(notices).collect();
    (orphans, said)
}

fn instance_of(orphan: &Orphan) -> Instance {
    Instance {
        project: orphan.project.clone(),
        id: orphan.instance_id.clone(),
        name: orphan.instance_name.as_str().into(),
        engine: Engine::parse(&orphan.engine),
        tags: Vec::new(),
        enterprise_project: None,
        life: InstanceLife::Listed,
    }
}

/// What remains in one project; and a sentence where not all could be asked about.
async fn of_project(client: &Client, listed: &HashSet<InstanceId>) -> (Vec<Orphan>, Option<String>) {
    let mut deleted = match client.deleted_instances().await {
        Ok(deleted) => deleted,
        Err(why) => return (Vec::new(), Some(unknown(client.project(), &why))),
    };
    // One that is listed is there, whatever this call says.
    deleted.retain(|instance| !listed.contains(&instance.id));
    let (mut orphans, mut read) = (Vec::new(), 0);
    for instance in deleted.iter().take(MOST) {
        let Ok(mut backups) = client.retained_backups(&instance.id, &instance.engine).await else {
            break;
        };
        read += 1;
        backups.retain(|backup| backup.kind == BackupKind::Manual);
        if !backups.is_empty() {
            orphans.push(Orphan {
                project: client.project().clone(),
                instance_id: instance.id.clone(),
                instance_name: instance.name.clone(),
                engine: instance.engine.as_str().to_owned(),
                backups: backups.len() as u64,
                bytes: total_bytes(backups.iter().map(|backup| backup.size_bytes)),
                is_selected: false,
            });
        }
    }
    let more = deleted.len() - read;
    (orphans, (more > 0).then(|| unread(client.project(), more)))
}

/// What the last run of each project said.
pub(super) fn notices_of_last_runs(ledger: &Ledger, now: DateTime<Utc>) -> Result<Vec<String>, ledger::Error> {
    let mut last: Vec<_> = ledger.last_runs(now)?.into_values().filter_map(|of| of.read).collect();
    last.sort_by_key(|run| std::cmp::Reverse(run.started_at));
    let mut newest: BTreeMap<ProjectName, Option<String>> = BTreeMap::new();
    for numbers in last.iter().filter_map(RunRow::numbers) {
        for project in numbers.instances.keys() {
            let sentence = numbers.orphans.get(project).cloned();
            newest.entry(project.clone()).or_insert(sentence);
        }
    }
    Ok(newest.into_values().flatten().collect())
}
