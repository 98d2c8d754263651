//! What the ledger remembers of earlier listings, and what of a new one is in doubt by it: instances that lost what policies select by,
//! listings that shrank.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::context::RunContext;
use super::error::Error;
use super::list_backups::SeenDatabases;
use super::request::{Purpose, RunRequest};
use super::scan_result::Scan;
use crate::blocking::blocking;
use crate::ledger::{Believed, ListingDoubt, ListingDoubts, ListingPart, REMEMBERED, SeenInstance, Unconfirmed};
use crate::rds::InstanceEntry;
use crate::retention::policy::selected_engines;
use crate::retention::{Engine, Instance, InstanceId, Policy, ProjectName, Refusal};
use crate::wording::left_alone;

/// A shrunken listing is left alone so long, then believed.
const SHRINK_DOUBT: TimeDelta = TimeDelta::days(7);

/// An instance to be claimed, as it is listed or as it was last seen.
pub(super) struct FoundInstance {
    pub(super) instance: Instance,
    pub(super) databases: SeenDatabases,
    /// Why it is left alone, and how it is listed; `instance` has what was last seen.
    pub(super) lacks: Option<(String, Instance)>,
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

    /// The instances of a project that a deletion was sent to which is not confirmed, with their engines: an edit may have taken an
    /// engine out of all policies meanwhile.
    pub(super) fn waiting(&self, request: &RunRequest, project: &ProjectName) -> Vec<(InstanceId, Engine)> {
        if !matches!(request.purpose, Purpose::Apply { .. }) {
            return Vec::new();
        }
        let seen = self.seen.get(project).into_iter().flatten();
        let waiting = seen.filter(|(id, _)| self.unconfirmed.contains_key(*id));
        waiting
            .map(|(id, seen)| (id.clone(), seen.instance.engine.clone()))
            .collect()
    }

    /// The instances of a project that were seen with one of these engines.
    pub(super) fn seen_as(&self, project: &ProjectName, engines: &[Engine]) -> HashSet<InstanceId> {
        let seen = self.seen.get(project).into_iter().flatten();
        let of_engines = seen.filter(|(_, seen)| engines.contains(&seen.instance.engine));
        of_engines.map(|(id, _)| id.clone()).collect()
    }

    /// The instances of a project that were seen and are not in this list.
    pub(super) fn missing(&self, project: &ProjectName, listed: &[InstanceEntry]) -> Vec<&SeenInstance> {
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
    pub(super) fn doubted(&self, entry: InstanceEntry, selected_by: SelectedBy, scan: &mut Scan) -> FoundInstance {
        let found = |instance, lacks| FoundInstance {
            instance,
            databases: SeenDatabases::new(),
            lacks,
        };
        let Some((whole, lacks)) = self.completed(&entry, selected_by) else {
            return found(entry.instance, None);
        };
        // Two things that cannot be read cannot be distinguished: there is nothing to accept.
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
pub(super) struct SelectedBy {
    tags: bool,
    enterprise_projects: bool,
}

impl SelectedBy {
    pub(super) fn of(policies: &[Arc<Policy>]) -> Self {
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
