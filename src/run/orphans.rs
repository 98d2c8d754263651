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
use super::policy_runs::PolicyRuns;
use super::scan_result::Scan;
use crate::ledger::{self, Ledger, runs};
use crate::rds::{Client, DeletedInstance};
use crate::retention::orphan::Orphan;
use crate::retention::policy::Knowledge;
use crate::retention::{BackupKind, Instance, InstanceId, InstanceLife, ProjectName};
use crate::wording::numbers::{count, size};

/// Of more deleted instances in a project the rest is left out: each takes a call.
const MOST: usize = 100;
/// So many are named in one sentence.
const NAMED: usize = 10;

/// What remains in the projects whose lists of instances were believed.
pub(super) async fn read(
    context: &RunContext,
    policy_runs: &PolicyRuns,
    scan: &Scan,
    (deadline, now): (Instant, DateTime<Utc>),
) -> Vec<Orphan> {
    let mut projects = JoinSet::new();
    for (project, instances) in &scan.listed {
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
    let mut orphans = Vec::new();
    while let Some(joined) = projects.join_next().await {
        if let Ok(Some(Ok(found))) = joined {
            orphans.extend(found);
        }
    }
    for orphan in &mut orphans {
        let life = InstanceLife::Deleted { missed_since: now };
        let instance = Instance {
            life,
            ..instance_of(orphan)
        };
        orphan.is_selected = !policy_runs.claims(&instance, Knowledge::IdsOnly).is_empty();
    }
    orphans.sort_by(|a, b| (&a.project, &a.instance_id).cmp(&(&b.project, &b.instance_id)));
    orphans
}

fn instance_of(orphan: &Orphan) -> Instance {
    Instance {
        project: orphan.project.clone(),
        id: orphan.instance_id.clone(),
        name: orphan.instance_name.as_str().into(),
        engine: crate::retention::Engine::parse(&orphan.engine),
        tags: Vec::new(),
        enterprise_project: None,
        life: InstanceLife::Listed,
    }
}

async fn of_project(client: &Client, listed: &HashSet<InstanceId>) -> Vec<Orphan> {
    let mut deleted = client.deleted_instances().await.unwrap_or_default();
    // One that is listed is there, whatever this call says.
    deleted.retain(|instance| !listed.contains(&instance.id));
    let mut orphans = Vec::new();
    for DeletedInstance { id, name, engine } in deleted.into_iter().take(MOST) {
        let Ok(mut backups) = client.retained_backups(&id, &engine).await else {
            break;
        };
        backups.retain(|backup| backup.kind == BackupKind::Manual);
        if !backups.is_empty() {
            orphans.push(Orphan {
                project: client.project().clone(),
                instance_id: id,
                instance_name: name,
                engine: engine.as_str().to_owned(),
                backups: backups.len() as u64,
                bytes: backups.iter().map(|backup| backup.size_bytes).sum(),
                is_selected: false,
            });
        }
    }
    orphans
}

/// One sentence a project.
pub(super) fn notices(orphans: &[Orphan]) -> Vec<String> {
    let mut projects: BTreeMap<&ProjectName, Vec<&Orphan>> = BTreeMap::new();
    for orphan in orphans {
        projects.entry(&orphan.project).or_default().push(orphan);
    }
    let sentence = |(project, of): (&ProjectName, Vec<&Orphan>)| {
        let named = |orphan: &&Orphan| {
            let unselected = if orphan.is_selected {
                ""
            } else {
                ", selected by no policy"
            };
            format!(
                "{} ({}: {}, {}{unselected})",
                orphan.instance_name,
                orphan.instance_id,
                count(orphan.backups, "backup"),
                size(orphan.bytes)
            )
        };
        let more = of.len().saturating_sub(NAMED);
        let some: Vec<String> = of.iter().take(NAMED).map(named).collect();
        format!(
            "project {project}: backups of {} remain, {} in all: {}{}; `deleted_instances` says what a policy does with them",
            count(of.len() as u64, "deleted instance"),
            size(of.iter().map(|orphan| orphan.bytes).sum()),
            some.join(", "),
            if more > 0 {
                format!(" and {more} more")
            } else {
                String::new()
            }
        )
    };
    projects.into_iter().map(sentence).collect()
}

/// The same of the last runs that could read the projects.
pub(super) fn notices_of_last_runs(ledger: &Ledger, now: DateTime<Utc>) -> Result<Vec<String>, ledger::Error> {
    let mut newest: BTreeMap<(ProjectName, InstanceId), Orphan> = BTreeMap::new();
    let mut last: Vec<_> = ledger.last_runs(now)?.into_values().filter_map(|of| of.read).collect();
    // All policies that run at once say the same; of several runs the newest knows best what a project has.
    last.sort_by_key(|run| std::cmp::Reverse(run.started_at));
    let mut asked: HashSet<ProjectName> = HashSet::new();
    for run in last {
        let Some(summary) = run.summary else { continue };
        let part = |key: &str| summary.get(key).cloned().unwrap_or_default();
        let projects: BTreeMap<ProjectName, serde_json::Value> =
            serde_json::from_value(part("instances")).unwrap_or_default();
        let orphans: Vec<Orphan> = serde_json::from_value(part(runs::ORPHANS)).unwrap_or_default();
        for orphan in orphans.into_iter().filter(|orphan| !asked.contains(&orphan.project)) {
            newest.insert((orphan.project.clone(), orphan.instance_id.clone()), orphan);
        }
        asked.extend(projects.into_keys());
    }
    Ok(notices(&newest.into_values().collect::<Vec<_>>()))
}
