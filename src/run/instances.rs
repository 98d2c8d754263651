//! The instances of a run: listed, claimed by policies or by none, and those that were deleted and left backups behind.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::cancel::{Cancellable, or_cancelled, skip_or_cancelled};
use super::context::RunContext;
use super::error::Error;
use super::list_backups::SeenDatabases;
use super::policy_runs::PolicyRuns;
use super::request::{Purpose, RunRequest};
use super::scan_result::{Overlaps, Scan};
use crate::blocking::blocking;
use crate::ledger::{Believed, ListingDoubt, ListingDoubts, ListingPart, REMEMBERED, SeenInstance, Unconfirmed};
use crate::rds::{Client, InstanceEntry};
use crate::retention::plan::ClockCheck;
use crate::retention::policy::{Knowledge, selected_engines};
use crate::retention::report::{InstanceCounts, Skip, SkipReason};
use crate::retention::{Engine, Instance, InstanceId, InstanceLife, Policy, ProjectName, Refusal};
use crate::wording::left_alone;

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
    /// Why it is left alone, where the list of instances lacks what it said before, or what policies select by.
    pub(super) lacks: Option<String>,
}

/// An instance to be claimed, as it is listed or as it was last seen.
struct FoundInstance {
    instance: Instance,
    databases: SeenDatabases,
    /// Why it is left alone, and how it is listed; `instance` has what was last seen.
    lacks: Option<(String, Instance)>,
}

/// What the ledger remembers that a scan needs.
#[derive(Default)]
pub(super) struct LedgerSnapshot {
    /// Believed counts: of manual backups by instance, of instances by project (where there is no instance).
    believed: HashMap<(ProjectName, Option<InstanceId>), Believed>,
    /// Sent earlier, neither confirmed nor returned.
    pub(super) unconfirmed: HashMap<InstanceId, Vec<Unconfirmed>>,
    /// What was not believed of the last listings, and what people accepted of that.
    pub(super) doubts: ListingDoubts,
    /// Every instance as last seen.
    seen: HashMap<ProjectName, BTreeMap<InstanceId, SeenInstance>>,
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
                let of_project = memory.seen.entry(project.clone()).or_default();
                for seen in ledger.seen_instances(project)? {
                    let id = &seen.instance.id;
                    if request.now - seen.seen_at < REMEMBERED {
                        let of = memory.recently_in.entry(id.clone()).or_default();
                        of.push(project.clone());
                    }
                    of_project.insert(id.clone(), seen);
                }
                if let Some(instances) = memory.believed.get_mut(&(project.clone(), None)) {
                    // Instances of an engine that an edit no longer selects are not asked for: the list did not lose them.
                    let engines = engines_of(context.config.all_policies(), project);
                    let is_asked = |seen: &&SeenInstance| seen.missed == 0 && engines.contains(&seen.instance.engine);
                    let there = of_project.values().filter(is_asked).count() as u64;
                    instances.count = instances.count.map(|count| count.min(there));
                }
                let of_instance = |(id, believed)| ((project.clone(), Some(id)), believed);
                memory.believed.extend(counts.backups.into_iter().map(of_instance));
            }
            for row in ledger.unconfirmed()? {
                memory.unconfirmed.entry(row.instance.clone()).or_default().push(row);
            }
            memory.doubts = ledger.listing_doubts()?;
            Ok(memory)
        })
    }

    /// The instances of a project that were seen and are not in this list.
    fn missing(&self, project: &ProjectName, listed: &[InstanceEntry]) -> Vec<&SeenInstance> {
        let listed: HashSet<&InstanceId> = listed.iter().map(|entry| &entry.instance.id).collect();
        let seen = self.seen.get(project).into_iter().flatten();
        let missing = seen.filter(|(id, _)| !listed.contains(id));
        missing.map(|(_, seen)| seen).collect()
    }

    /// Whether a person accepted that a part of a listing says this.
    pub(super) fn is_accepted(&self, doubt: &ListingDoubt) -> bool {
        let known = self.doubts.get(&(doubt.target.clone(), doubt.part.clone()));
        known.is_some_and(|(says, is_accepted)| *is_accepted && *says == doubt.says)
    }

    /// A listed instance with what it lacks, and what that is. Policies select by it: without it, one that protects the
    /// instance claims it no more. The API lists an empty array where there are no tags, and so may an answer that lost them.
    fn completed(&self, entry: &InstanceEntry, selected_by: SelectedBy) -> Option<(Instance, Vec<&'static str>)> {
        let listed = &entry.instance;
        let seen = self.seen.get(&listed.project).and_then(|seen| seen.get(&listed.id));
        let seen = seen.map(|seen| &seen.instance);
        let mut whole = listed.clone();
        let mut lacks = Vec::new();
        if entry.has_odd_tags {
            lacks.push(left_alone::UNREADABLE_TAGS);
        } else if seen.is_some_and(|seen| has_lost_tags(listed, seen)) {
            lacks.push(left_alone::LOST_TAGS);
        } else if !entry.has_tags && selected_by.tags {
            lacks.push(left_alone::NO_TAGS);
        }
        if let Some(seen) = seen.filter(|_| !lacks.is_empty()) {
            whole.tags.clone_from(&seen.tags);
        }
        if let Some(seen) = seen.filter(|seen| seen.engine.is_known() && seen.engine != listed.engine) {
            whole.engine = seen.engine.clone();
            lacks.push(left_alone::OTHER_ENGINE);
        }
        if listed.enterprise_project.is_none() {
            match seen.and_then(|seen| seen.enterprise_project.as_ref()) {
                Some(seen) => {
                    whole.enterprise_project = Some(seen.clone());
                    lacks.push(left_alone::LOST_ENTERPRISE_PROJECT);
                }
                None if selected_by.enterprise_projects => {
                    lacks.push(left_alone::NO_ENTERPRISE_PROJECT);
                }
                None => {}
            }
        }
        // Every instance has a name, also one that was never listed before.
        if listed.name.trim().is_empty() {
            if let Some(seen) = seen {
                whole.name = Arc::clone(&seen.name);
            }
            lacks.push(left_alone::NO_NAME);
        }
        (!lacks.is_empty()).then_some((whole, lacks))
    }

    /// The instance as it is remembered, and what it lacks, with what is listed now, unless that was accepted.
    fn doubted(&self, entry: InstanceEntry, selected_by: SelectedBy, scan: &mut Scan) -> FoundInstance {
        let found = |instance, lacks| FoundInstance {
            instance,
            databases: SeenDatabases::new(),
            lacks,
        };
        let Some((whole, lacks)) = self.completed(&entry, selected_by) else {
            return found(entry.instance, None);
        };
        // What cannot be read cannot be told from something else that cannot be read: there is nothing to accept.
        if entry.has_odd_tags {
            return found(whole, Some((left_alone::unreadable(&lacks), entry.instance)));
        }
        let listed = &entry.instance;
        let why = left_alone::incomplete(&lacks, &listed.id);
        let doubt = ListingDoubt {
            target: listed.id.to_string(),
            part: ListingPart::Instance,
            says: serde_json::json!({
                "name": &*listed.name,
                "engine": listed.engine.as_str(),
                "tags": entry.has_tags.then_some(&listed.tags),
                "enterprise_project": &listed.enterprise_project,
            })
            .to_string(),
        };
        let is_accepted = self.is_accepted(&doubt);
        scan.doubts.push((entry.instance.project.clone(), doubt));
        if is_accepted {
            found(entry.instance, None)
        } else {
            found(whole, Some((why, entry.instance)))
        }
    }

    /// The shrink guard: a listing that fell by more than half, and by more than three, below what was believed less
    /// what this program sent. A person may accept
    /// what was listed, with what is new beside it; after a week it is believed.
    pub(super) fn check_shrink<'i>(
        &self,
        scan: &mut Scan,
        project: &ProjectName,
        instance: Option<&InstanceId>,
        ids: impl Iterator<Item = &'i str> + Clone,
        now: DateTime<Utc>,
    ) -> Option<Refusal> {
        let found = ids.clone().count() as u64;
        let known = self.believed.get(&(project.clone(), instance.cloned()))?;
        let expected = known.count?.saturating_sub(known.sent);
        let fell = found * 2 < expected && expected - found > 3;
        let doubted_long = known.shrunk_since.is_some_and(|since| now - since >= SHRINK_DOUBT);
        if !fell || doubted_long {
            return None;
        }
        let target = instance.map_or_else(|| project.to_string(), InstanceId::to_string);
        let key = (target, ListingPart::Entries);
        let ids: BTreeSet<&str> = ids.collect();
        if let Some((says, true)) = self.doubts.get(&key)
            && serde_json::from_str(says).is_ok_and(|accepted: BTreeSet<&str>| accepted.is_subset(&ids))
        {
            return None;
        }
        let (target, part) = key;
        let says = serde_json::json!(ids).to_string();
        scan.doubts.push((project.clone(), ListingDoubt { target, part, says }));
        Some(Refusal::Shrink {
            project: project.clone(),
            instance: instance.cloned(),
            expected,
            found,
        })
    }
}

/// What policies of the configuration look at in the list of instances.
#[derive(Clone, Copy)]
struct SelectedBy {
    tags: bool,
    enterprise_projects: bool,
}

impl SelectedBy {
    fn of(policies: &[Arc<Policy>]) -> Self {
        Self {
            tags: policies.iter().any(|policy| !policy.select.tags.is_empty()),
            enterprise_projects: policies
                .iter()
                .any(|policy| policy.select.enterprise_projects.is_some()),
        }
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
            let (client, context, engines) = (client.clone(), context.clone(), engines_of(policy_runs.all(), name));
            listings.spawn(async move {
                let listing = async {
                    context.projects.only_name_of(&client).await?;
                    client.list_instances(&engines).await
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

/// Whether a policy may select an instance of a project, so that its runs ask it.
pub(super) fn may_select(policy: &Policy, project: &ProjectName) -> bool {
    policy
        .select
        .projects
        .as_ref()
        .is_none_or(|projects| projects.contains(project))
}

/// The engines whose instances are listed in a project: those of all policies that may select some there, whichever of them run, so that
/// each run lists the same.
pub(super) fn engines_of<'p>(
    policies: impl IntoIterator<Item = &'p Arc<Policy>>,
    project: &ProjectName,
) -> Vec<Engine> {
    let policies = policies.into_iter().map(|policy| &**policy);
    selected_engines(policies.filter(|policy| may_select(policy, project)))
}

/// Instances that can have manual backups; a read replica has none (API page "Creating a Manual Backup").
fn living(mut entries: Vec<InstanceEntry>) -> Vec<InstanceEntry> {
    entries.retain(|entry| !entry.is_replica);
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
