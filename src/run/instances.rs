//! The instances of a run: listed, claimed by policies or by none, and those that were deleted and left backups behind.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::cancel::{Cancellable, or_cancelled, skip_or_cancelled};
use super::context::RunContext;
use super::error::Error;
use super::ledger_snapshot::{FoundInstance, LedgerSnapshot, SelectedBy, engines_of, may_select};
use super::list_backups::SeenDatabases;
use super::policy_runs::PolicyRuns;
use super::request::{Purpose, RunRequest};
use super::scan_result::{Overlaps, Scan};
use crate::blocking::blocking;
use crate::ledger::SeenInstance;
use crate::rds::{Client, InstanceEntry};
use crate::retention::plan::ClockCheck;
use crate::retention::policy::Knowledge;
use crate::retention::report::{InstanceCounts, Skip, SkipReason};
use crate::retention::{Engine, Instance, InstanceId, InstanceLife};
use crate::wording::left_alone;

/// One instance whose backups are to be listed.
pub(super) struct InstanceJob {
    pub(super) client: Client,
    pub(super) instance: Arc<Instance>,
    /// Places of the policies that claim it.
    pub(super) claiming: Vec<usize>,
    /// What was last seen of its backups' databases; asked for deleted instances only.
    pub(super) databases: SeenDatabases,
    /// Why it is left alone, where the list of instances lacks what it said before, or what policies select by.
    pub(super) lacks: Option<String>,
}

/// Lists the instances of every project that a running policy may select, and says which to read.
pub(super) async fn list_instances(
    request: &RunRequest,
    context: &RunContext,
    policy_runs: &PolicyRuns,
    memory: &LedgerSnapshot,
    scan: &mut Scan,
    deadline: Instant,
) -> Result<Vec<InstanceJob>, Error> {
    let mut listings: JoinSet<(Client, Cancellable<Vec<InstanceEntry>>)> = JoinSet::new();
    for (name, client) in context.projects.iter() {
        if policy_runs.running().any(|policy| may_select(policy, name)) {
            scan.clocks.insert(name.clone(), ClockCheck::NoDate);
            let (client, context) = (client.clone(), context.clone());
            let (engines, waiting) = (engines_of(policy_runs.all(), name), memory.waiting(request, name));
            let seen = memory.seen_as(name, &engines);
            listings.spawn(async move {
                let listing = async {
                    context.projects.only_name_of(&client).await?;
                    list_asked(&client, &engines, &seen, &waiting).await
                };
                let listed = or_cancelled(&context, deadline, listing).await;
                (client, listed)
            });
        }
    }
    let mut listed = Vec::new();
    while let Some(joined) = listings.join_next().await {
        listed.push(joined?);
    }
    // The order of answers must not show in the report.
    listed.sort_by(|(a, _), (b, _)| a.project().cmp(b.project()));
    let mut claims = Claims::default();
    let selected_by = SelectedBy::of(policy_runs.all());
    for (client, listed) in listed {
        let Some(entries) = accept_count(request, policy_runs, memory, scan, &client, listed) else {
            continue;
        };
        let missing = memory.missing(client.project(), &entries);
        let deleted = deleted_among(request, context, policy_runs, scan, &client, missing, deadline).await?;
        let mut instances = Vec::with_capacity(entries.len());
        for entry in entries {
            let found = memory.doubted(entry, selected_by, scan);
            instances.push(found.instance.clone());
            claims.enter(request, policy_runs, memory, scan, &client, found);
        }
        for found in deleted {
            claims.enter(request, policy_runs, memory, scan, &client, found);
        }
        let counts = count_instances(&std::mem::take(&mut claims.counts));
        scan.counts.insert(client.project().clone(), counts);
        scan.listed.push((client.project().clone(), instances));
    }
    scan.overlaps = claims.overlaps.report(policy_runs.all());
    Ok(claims.jobs)
}

/// The instances of the engines that policies select, those that were seen as such whatever they are called now, and those of other
/// engines that wait for the confirmation of a deletion.
async fn list_asked(
    client: &Client,
    engines: &[Engine],
    seen: &HashSet<InstanceId>,
    waiting: &[(InstanceId, Engine)],
) -> Result<Vec<InstanceEntry>, crate::rds::Error> {
    let is_waited_for = |engine: &Engine| waiting.iter().any(|(_, of)| of == engine);
    let asked: Vec<Engine> = Engine::known()
        .filter(|one| engines.contains(one) || is_waited_for(one))
        .collect();
    let mut entries = client.list_instances(&asked).await?;
    entries.retain(|InstanceEntry { instance, .. }| {
        let is_selected = !instance.engine.is_known() || engines.contains(&instance.engine);
        is_selected || seen.contains(&instance.id) || waiting.iter().any(|(id, _)| *id == instance.id)
    });
    Ok(entries)
}

/// The instances of a project whose list is believed; otherwise the project is left alone, with a reason.
fn accept_count(
    request: &RunRequest,
    policy_runs: &PolicyRuns,
    memory: &LedgerSnapshot,
    scan: &mut Scan,
    client: &Client,
    listed: Cancellable<Vec<InstanceEntry>>,
) -> Option<Vec<InstanceEntry>> {
    let project = client.project();
    let of_project: Vec<usize> = policy_runs
        .running()
        .enumerate()
        .filter(|(_, policy)| may_select(policy, project))
        .map(|(nth, _)| nth)
        .collect();
    let instances = match listed {
        Some(Ok(entries)) => living(entries),
        missing => {
            for nth in of_project {
                scan.hit.missed(nth);
            }
            let error = missing.and_then(Result::err);
            scan.skipped.push(skip_or_cancelled(project, None, error.as_ref()));
            return None;
        }
    };
    let ids = instances.iter().map(|entry| entry.instance.id.as_str());
    if let Some(refusal) = memory.check_shrink(scan, project, None, ids, request.now) {
        scan.leave_shrunken(project, None, &refusal, of_project.into_iter());
        return None;
    }
    Some(instances)
}

/// Who claims what, and what is to be read.
#[derive(Default)]
struct Claims {
    /// How many policies claim each living instance of the project at hand.
    counts: Vec<usize>,
    overlaps: Overlaps,
    jobs: Vec<InstanceJob>,
}

impl Claims {
    fn enter(
        &mut self,
        request: &RunRequest,
        policy_runs: &PolicyRuns,
        memory: &LedgerSnapshot,
        scan: &mut Scan,
        client: &Client,
        found: FoundInstance,
    ) {
        let FoundInstance {
            instance,
            databases,
            lacks,
        } = found;
        let wanted = |id: &InstanceId| *id == instance.id || id.as_str() == &*instance.name;
        if request.instance.as_ref().is_some_and(|id| !wanted(id)) {
            return;
        }
        let mut claiming = policy_runs.claims(&instance, Knowledge::Full);
        let lacks = lacks.map(|(why, listed)| {
            claiming.extend(policy_runs.claims(&listed, Knowledge::Full));
            claiming.sort_unstable();
            claiming.dedup();
            why
        });
        let instance = Arc::new(instance);
        // One of an engine that no policy selects is there for its confirmation alone.
        let is_asked = !instance.engine.is_known()
            || policy_runs
                .all()
                .iter()
                .any(|policy| policy.select.engines.contains(&instance.engine));
        let living = instance.life == InstanceLife::Listed && is_asked;
        if living {
            self.counts.push(claiming.len());
            self.overlaps.note(&claiming);
        }
        if living && claiming.is_empty() {
            scan.unmanaged.push(Arc::clone(&instance));
        }
        // Also what no running policy claims is read, where an earlier deletion waits for its confirmation.
        let waits = matches!(request.purpose, Purpose::Apply { .. }) && memory.unconfirmed.contains_key(&instance.id);
        if waits || policy_runs.running_among(&claiming).next().is_some() {
            self.jobs.push(InstanceJob {
                client: client.clone(),
                instance,
                claiming,
                databases,
                lacks,
            });
        }
    }
}

/// The deleted instances of a project whose backups some running policy is about.
///
/// Deleted means: missed by three believed listings over at least a day, missing again in this one, and asking for the id
/// finds nothing. An instance that is found, or that cannot be asked for, is left alone. Being found restarts its absence. It is asked for
/// from the first run that misses it: a list that lacks an existing instance must be reported.
async fn deleted_among(
    request: &RunRequest,
    context: &RunContext,
    policy_runs: &PolicyRuns,
    scan: &mut Scan,
    client: &Client,
    missing: Vec<&SeenInstance>,
    deadline: Instant,
) -> Result<Vec<FoundInstance>, Error> {
    let project = client.project();
    let mut deleted = Vec::new();
    for seen in missing {
        let instance = Instance {
            life: InstanceLife::Deleted {
                missed_since: seen.missed_since.unwrap_or(request.now),
            },
            ..seen.instance.clone()
        };
        if policy_runs
            .running_among(&policy_runs.claims(&instance, Knowledge::Full))
            .next()
            .is_none()
        {
            continue;
        }
        match or_cancelled(context, deadline, client.find_instance(&instance.id)).await {
            Some(Ok(Some(_))) => {
                scan.found_unlisted.push((project.clone(), instance.id.clone()));
                scan.skipped.push(Skip {
                    project: project.clone(),
                    instance: Some(instance.id),
                    reason: SkipReason::Listing,
                    message: left_alone::FOUND_BY_ID_ALONE.to_owned(),
                });
            }
            Some(Ok(None)) if !seen.is_long_missed(request.now) => {}
            Some(Ok(None)) => {
                let databases = match &context.ledger {
                    Some(ledger) => blocking(|| ledger.seen_databases(&instance.id))?,
                    None => SeenDatabases::new(),
                };
                deleted.push(FoundInstance {
                    instance,
                    databases,
                    lacks: None,
                });
            }
            missing => {
                let error = missing.and_then(Result::err);
                scan.skipped
                    .push(skip_or_cancelled(project, Some(&instance.id), error.as_ref()));
            }
        }
    }
    Ok(deleted)
}

/// Instances that can have manual backups; a read replica has none (API page "Creating a Manual Backup").
fn living(mut entries: Vec<InstanceEntry>) -> Vec<InstanceEntry> {
    entries.retain(|entry| !entry.is_replica);
    entries.sort_by(|InstanceEntry { instance: a, .. }, InstanceEntry { instance: b, .. }| {
        a.name.cmp(&b.name).then_with(|| a.id.cmp(&b.id))
    });
    entries
}

/// Counts against policies what an instance whose backups were not read would have had, and says why it was left alone.
pub(super) fn skip_job(
    policy_runs: &PolicyRuns,
    scan: &mut Scan,
    job: &InstanceJob,
    reason: SkipReason,
    message: &str,
) {
    for nth in policy_runs.running_among(&job.claiming) {
        scan.hit.missed(nth);
    }
    scan.skipped.push(Skip {
        project: job.instance.project.clone(),
        instance: Some(job.instance.id.clone()),
        reason,
        message: message.to_owned(),
    });
}

/// Counts instances by how policies see them.
pub(super) fn count_instances(claims: &[usize]) -> InstanceCounts {
    let of = |wanted: fn(usize) -> bool| claims.iter().filter(|claims| wanted(**claims)).count() as u64;
    InstanceCounts {
        managed: of(|claims| claims > 0),
        unmanaged: of(|claims| claims == 0),
        overlapping: of(|claims| claims > 1),
        failed: 0,
    }
}
