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
use crate::ledger::{self, Ledger, RunRow};
use crate::rds::Client;
use crate::retention::orphan::Orphan;
use crate::retention::policy::Knowledge;
use crate::retention::{BackupKind, Instance, InstanceId, InstanceLife, ProjectName};
use crate::wording::money::Price;
use crate::wording::numbers::{count, size};

/// Of more deleted instances in a project the rest is not asked about: each takes a call.
const MOST: usize = 500;
/// So many are named in one sentence.
const NAMED: usize = 10;

/// What remains in the projects whose lists of instances were believed, and what there is to say of it.
pub(super) async fn read(
    context: &RunContext,
    policy_runs: &PolicyRuns,
    scan: &Scan,
    (deadline, now): (Instant, DateTime<Utc>),
) -> (Vec<Orphan>, Vec<String>) {
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
    let (mut orphans, mut unread) = (Vec::new(), Vec::new());
    while let Some(joined) = projects.join_next().await {
        if let Ok(Some(Ok((found, more)))) = joined {
            orphans.extend(found);
            unread.extend(more);
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
    let said = sentences(&orphans, context.config.price.as_ref()).into_values();
    let said = said.chain(unread).collect();
    (orphans, said)
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

/// What remains in one project; and a sentence where not all could be asked about.
async fn of_project(client: &Client, listed: &HashSet<InstanceId>) -> (Vec<Orphan>, Option<String>) {
    let mut deleted = client.deleted_instances().await.unwrap_or_default();
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
                bytes: backups.iter().map(|backup| backup.size_bytes).sum(),
                is_selected: false,
            });
        }
    }
    let unread = (deleted.len() - read) as u64;
    let sentence = || {
        let unread = count(unread, "deleted instance");
        format!(
            "project {}: what remains of {unread} more was not read; `retain-backups` of the API says it",
            client.project()
        )
    };
    (orphans, (unread > 0).then(sentence))
}

/// One sentence a project.
pub(super) fn sentences(orphans: &[Orphan], price: Option<&Price>) -> BTreeMap<ProjectName, String> {
    let mut projects: BTreeMap<&ProjectName, Vec<&Orphan>> = BTreeMap::new();
    for orphan in orphans {
        projects.entry(&orphan.project).or_default().push(orphan);
    }
    let sentence = |(project, of): (&ProjectName, Vec<&Orphan>)| {
        let some: Vec<String> = of.iter().take(NAMED).map(|orphan| named(orphan)).collect();
        let more = match of.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let bytes = of.iter().map(|orphan| orphan.bytes).sum();
        let cost = price.map(|price| format!(" ({} a month)", price.of(bytes)));
        let sentence = format!(
            "project {project}: backups of {} remain, {} in all{}: {}{more}; `deleted_instances` says what a policy does with them",
            count(of.len() as u64, "deleted instance"),
            size(bytes),
            cost.unwrap_or_default(),
            some.join(", "),
        );
        (project.clone(), sentence)
    };
    projects.into_iter().map(sentence).collect()
}

fn named(orphan: &Orphan) -> String {
    let (backups, bytes) = (count(orphan.backups, "backup"), size(orphan.bytes));
    let unselected = if orphan.is_selected {
        ""
    } else {
        ", selected by no policy"
    };
    format!(
        "{} ({}: {backups}, {bytes}{unselected})",
        orphan.instance_name, orphan.instance_id
    )
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
