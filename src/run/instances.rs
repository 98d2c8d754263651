//! The instances of a run: listed, claimed by policies or by none, and those that were deleted and left backups behind.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::cancel::{Cancellable, or_cancelled, skip_or_cancelled};
use super::conflicts::leave_instances_alone;
use super::list_backups::SeenDatabases;
use super::policy_run::PolicyRuns;
use super::scan::{Overlaps, Scan};
use super::{Error, Purpose, RunContext, RunRequest, blocking, count_instances};
use crate::ledger::{Believed, REMEMBERED, SeenInstance, Unconfirmed};
use crate::rds::{Client, InstanceEntry};
use crate::retention::plan::ClockCheck;
use crate::retention::policy::Knowledge;
use crate::retention::report::{Skip, SkipReason};
use crate::retention::{Engine, Instance, InstanceId, InstanceLife, Policy, ProjectName, Refusal};

/// A shrunken listing is left alone so long, then believed.
const SHRINK_DOUBT: TimeDelta = TimeDelta::days(7);

/// One instance whose backups are to be listed.
pub(super) struct InstanceJob {
    pub(super) client: Client,
    pub(super) instance: Arc<Instance>,
    /// Places of the policies that claim it.
    pub(super) claiming: Vec<usize>,
    /// What was last seen of its backups' databases; asked for deleted instances only.
    pub(super) databases: SeenDatabases,
    /// What the list of instances said of it before and does not say any more; it is left alone then.
    pub(super) lacks: Option<String>,
}

/// An instance to be claimed, as it is listed or as it was last seen.
struct FoundInstances {
    instance: Instance,
    databases: SeenDatabases,
    /// What it lacks, and how it is listed; `instance` has what was last seen.
    lacks: Option<(String, Instance)>,
}

/// What the ledger remembers that the survey needs.
#[derive(Default)]
pub(super) struct LedgerSnapshot {
    /// Believed counts: of manual backups by instance, of instances by project (where there is no instance).
    believed: HashMap<(ProjectName, Option<InstanceId>), Believed>,
    /// Sent earlier, neither confirmed nor returned.
    pub(super) unconfirmed: HashMap<InstanceId, Vec<Unconfirmed>>,
    /// Shrunken listings that somebody approved.
    approved: HashSet<String>,
    /// Instances that were missed by three listings over at least a day.
    long_missed: HashMap<ProjectName, Vec<SeenInstance>>,
    /// Every instance as last seen.
    seen: HashMap<(ProjectName, InstanceId), Instance>,
    /// Which projects listed an instance within the last seven days.
    pub(super) recently_in: HashMap<InstanceId, Vec<ProjectName>>,
}

impl LedgerSnapshot {
    pub(super) fn load(request: &RunRequest, context: &RunContext) -> Result<Self, Error> {
        let mut memory = Self::default();
        let Some(ledger) = &context.ledger else {
            return Ok(memory);
        };
        blocking(|| {
            for (project, _) in context.projects.iter() {
                let counts = ledger.believed(project)?;
                memory
                    .believed
                    .extend(counts.instances.map(|believed| ((project.clone(), None), believed)));
                let mut seen = ledger.seen_instances(project)?;
                let of = |seen: &SeenInstance| ((project.clone(), seen.instance.id.clone()), seen.instance.clone());
                memory.seen.extend(seen.iter().map(of));
                for seen in seen.iter().filter(|seen| request.now - seen.seen_at < REMEMBERED) {
                    let of = memory.recently_in.entry(seen.instance.id.clone()).or_default();
                    of.push(project.clone());
                }
                seen.retain(|seen| seen.is_long_missed(request.now));
                memory.long_missed.insert(project.clone(), seen);
                let of_instance = |(id, believed)| ((project.clone(), Some(id)), believed);
                memory.believed.extend(counts.backups.into_iter().map(of_instance));
            }
            for row in ledger.unconfirmed()? {
                memory.unconfirmed.entry(row.instance.clone()).or_default().push(row);
            }
            memory.approved = ledger.listing_approvals(request.now)?;
            Ok(memory)
        })
    }

    /// Whether a person said that the next listing of an instance is right, whatever it says.
    pub(super) fn is_approved(&self, instance: &InstanceId) -> bool {
        self.approved.contains(instance.as_str())
    }

    /// A listed instance with what it had and lacks now, and what that is. Policies select by it: without it, one that protects the
    /// instance claims it no more. The API lists an empty array where there are no tags, and so may an answer that lost them.
    fn completed(&self, entry: &InstanceEntry) -> Option<(Instance, String)> {
        let listed = &entry.instance;
        let seen = self.seen.get(&(listed.project.clone(), listed.id.clone()));
        let mut whole = listed.clone();
        let mut lacks = Vec::new();
        if entry.has_odd_tags {
            lacks.push("tags in the list of instances cannot be read, or one has no key or value");
        } else if seen.is_some_and(|seen| has_lost_tags(listed, seen)) {
            lacks.push("tags, or the value of one, are not in the list of instances any more");
        }
        if let Some(seen) = seen {
            if !lacks.is_empty() {
                whole.tags.clone_from(&seen.tags);
            }
            if listed.enterprise_project.is_none() && seen.enterprise_project.is_some() {
                whole.enterprise_project.clone_from(&seen.enterprise_project);
                lacks.push("enterprise project is not in the list of instances any more");
            }
        }
        // Every instance has a name, also one that was never listed before.
        if listed.name.trim().is_empty() {
            if let Some(seen) = seen {
                whole.name = Arc::clone(&seen.name);
            }
            lacks.push("name is not in the list of instances");
        }
        (!lacks.is_empty() && !self.is_approved(&listed.id)).then(|| (whole, lacks.join(", its ")))
    }

    /// The shrink guard: a listing that fell by more than half, and by more than three, below what was believed less
    /// what this program sent. Somebody may approve it, and after a week it is believed.
    pub(super) fn check_shrink(
        &self,
        project: &ProjectName,
        instance: Option<&InstanceId>,
        found: u64,
        now: DateTime<Utc>,
    ) -> Option<Refusal> {
        let known = self.believed.get(&(project.clone(), instance.cloned()))?;
        let expected = known.count?.saturating_sub(known.sent);
        let fell = found * 2 < expected && expected - found > 3;
        let name = instance.map_or_else(|| project.as_str(), InstanceId::as_str);
        let doubted_long = known.shrunk_since.is_some_and(|since| now - since >= SHRINK_DOUBT);
        (fell && !doubted_long && !self.approved.contains(name)).then(|| Refusal::Shrink {
            project: project.clone(),
            instance: instance.cloned(),
            expected,
            found,
        })
    }
}

/// Whether all tags are gone, or one that had a value has an empty one.
fn has_lost_tags(listed: &Instance, seen: &Instance) -> bool {
    let has_lost_value = |(key, value): &(String, String)| {
        let mut now = listed.tags.iter().filter(|(of, _)| of == key).peekable();
        !value.is_empty() && now.peek().is_some() && now.all(|(_, value)| value.is_empty())
    };
    !seen.tags.is_empty() && (listed.tags.is_empty() || seen.tags.iter().any(has_lost_value))
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
            listings.spawn(async move {
                let listing = async {
                    context.projects.only_name_of(&client).await?;
                    client.list_instances().await
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
    for (client, listed) in listed {
        let Some(entries) = accept_count(request, policy_runs, memory, scan, &client, listed) else {
            continue;
        };
        let deleted = deleted_instances(context, policy_runs, memory, scan, &client, &entries, deadline).await?;
        let mut instances = Vec::with_capacity(entries.len());
        for entry in entries {
            let completed = memory.completed(&entry);
            let (instance, lacks) = match completed {
                // It is remembered with what it had.
                Some((whole, what)) => (whole, Some((what, entry.instance))),
                None => (entry.instance, None),
            };
            instances.push(instance.clone());
            let databases = SeenDatabases::new();
            let found = FoundInstances {
                instance,
                databases,
                lacks,
            };
            claims.enter(request, policy_runs, memory, scan, &client, found);
        }
        for (instance, databases) in deleted {
            let found = FoundInstances {
                instance,
                databases,
                lacks: None,
            };
            claims.enter(request, policy_runs, memory, scan, &client, found);
        }
        let counts = count_instances(&std::mem::take(&mut claims.counts));
        scan.counts.insert(client.project().clone(), counts);
        scan.listed.push((client.project().clone(), instances));
    }
    scan.overlaps = claims.overlaps.report(policy_runs.all());
    leave_instances_alone(scan, policy_runs, memory, &mut claims.jobs);
    Ok(claims.jobs)
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
    if let Some(refusal) = memory.check_shrink(project, None, instances.len() as u64, request.now) {
        scan.skipped.push(shrink_skip(project, None, &refusal));
        scan.shrunk
            .extend(of_project.into_iter().map(|nth| (nth, refusal.clone())));
        scan.shrunken_listings.push((project.clone(), None));
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
        found: FoundInstances,
    ) {
        let FoundInstances {
            instance,
            databases,
            lacks,
        } = found;
        let wanted = |id: &InstanceId| *id == instance.id || id.as_str() == &*instance.name;
        if request.instance.as_ref().is_some_and(|id| !wanted(id)) {
            return;
        }
        let mut claiming = policy_runs.claims(&instance, Knowledge::Full);
        let lacks = lacks.map(|(what, listed)| {
            claiming.extend(policy_runs.claims(&listed, Knowledge::Full));
            claiming.sort_unstable();
            claiming.dedup();
            what
        });
        let instance = Arc::new(instance);
        let living = instance.life == InstanceLife::Listed;
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
/// finds nothing. Whatever else the asking finds, an error included, leaves the instance alone.
async fn deleted_instances(
    context: &RunContext,
    policy_runs: &PolicyRuns,
    memory: &LedgerSnapshot,
    scan: &mut Scan,
    client: &Client,
    listed: &[InstanceEntry],
    deadline: Instant,
) -> Result<Vec<(Instance, SeenDatabases)>, Error> {
    let project = client.project();
    let mut deleted = Vec::new();
    let listed: HashSet<&InstanceId> = listed.iter().map(|entry| &entry.instance.id).collect();
    let missing = memory
        .long_missed
        .get(project)
        .into_iter()
        .flatten()
        .filter(|seen| !listed.contains(&seen.instance.id));
    for seen in missing {
        let Some(missed_since) = seen.missed_since else {
            continue;
        };
        let instance = Instance {
            life: InstanceLife::Deleted { missed_since },
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
            Some(Ok(Some(_))) => {}
            Some(Ok(None)) => {
                let databases = match &context.ledger {
                    Some(ledger) => blocking(|| ledger.seen_databases(&instance.id))?,
                    None => SeenDatabases::new(),
                };
                deleted.push((instance, databases));
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

/// Whether a policy may select an instance of a project, so that its passes ask it.
pub(super) fn may_select(policy: &Policy, project: &ProjectName) -> bool {
    policy
        .select
        .projects
        .as_ref()
        .is_none_or(|projects| projects.contains(project))
}

/// SQL Server instances that can have manual backups; a read replica has none (API page "Creating a Manual Backup").
///
/// One whose engine is not given counts, as SQL Server was asked for; each backup's own engine is looked at again.
fn living(mut entries: Vec<InstanceEntry>) -> Vec<InstanceEntry> {
    let not_given = |engine: &Engine| matches!(engine, Engine::Other(name) if name.is_empty());
    let has_backups =
        |entry: &InstanceEntry| (entry.engine == Engine::SqlServer || not_given(&entry.engine)) && !entry.is_replica;
    entries.retain(has_backups);
    entries.sort_by(|InstanceEntry { instance: a, .. }, InstanceEntry { instance: b, .. }| {
        a.name.cmp(&b.name).then_with(|| a.id.cmp(&b.id))
    });
    entries
}

pub(super) fn shrink_skip(project: &ProjectName, instance: Option<&InstanceId>, refusal: &Refusal) -> Skip {
    Skip {
        project: project.clone(),
        instance: instance.cloned(),
        reason: SkipReason::Shrink,
        message: refusal.to_string(),
    }
}
