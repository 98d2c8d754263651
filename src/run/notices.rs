//! What holds, `keep.names` and `exclude_*` entries cover nothing, by the last believed listings: most often a typo, and
//! then a backup that should stay goes. Notices, never errors: what is named may be yet to come.
//!
//! Compared exactly as a decision compares: ids in any case, names letter by letter.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};

use super::anchor::check_anchor;
use super::orphans;
use crate::config::Config;
use crate::ledger::{self, Ledger, ListingPart, SeenBackup};
use crate::retention::{Hold, HoldTarget, Instance, InstanceId, Knowledge, Pattern, Policy, ProjectName, Selector};
use crate::wording::left_alone;
use crate::wording::reasons::target;

/// A name of a backup is made of letters, digits, `-` and `_`; these are typed by those who think of regular expressions.
const NEVER_IN_A_NAME: [char; 6] = ['^', '$', '{', '|', '(', '\\'];

/// Something that was written to cover something.
struct CoverageEntry<'a> {
    /// What it is called in a notice.
    what: String,
    looks: LooksFor<'a>,
    is_met: bool,
    /// What may be meant.
    hint: Option<String>,
}

enum LooksFor<'a> {
    Held(&'a Hold),
    /// A backup of this name, in the scope of this policy but for its own exclusions.
    Backup(&'a Pattern, &'a Selector),
    /// An instance of this name, which the policy would select.
    InstanceName(&'a Pattern, &'a Selector),
    InstanceId(&'a InstanceId, &'a Selector),
}

/// What there is to say of a configuration and a state.
#[derive(Default)]
pub struct Notices {
    /// The state was set back: nothing is deleted, and this says what to do.
    pub set_back: Option<String>,
    /// Everything else.
    pub others: Vec<String>,
}

impl Notices {
    /// All of them, for those who list them.
    pub fn into_all(self) -> Vec<String> {
        self.set_back.into_iter().chain(self.others).collect()
    }
}

/// The notices about a configuration, the holds placed by command, the anchor of the state's heads, and what the last runs found.
pub fn notices(config: &Config, ledger: &Ledger, now: DateTime<Utc>) -> Result<Notices, ledger::Error> {
    let mut found = notices_of_plan(config, ledger, now)?;
    found.others.extend(orphans::notices_of_last_runs(ledger, now)?);
    found.others.extend(notice_of_changed(config, ledger)?);
    Ok(found)
}

/// What the last listings said otherwise than earlier ones, and nobody accepted.
fn notice_of_changed(config: &Config, ledger: &Ledger) -> Result<Option<String>, ledger::Error> {
    let mut changed: BTreeMap<InstanceId, (String, u64)> = BTreeMap::new();
    for ((target, part), (_, is_accepted)) in ledger.listing_doubts()? {
        if let (ListingPart::Backup(_), false) = (part, is_accepted) {
            changed.entry(InstanceId::from(target.as_str())).or_default().1 += 1;
        }
    }
    let projects = if changed.is_empty() { &[] } else { &config.projects[..] };
    for project in projects {
        for seen in ledger.seen_instances(&project.name)? {
            if let Some((name, _)) = changed.get_mut(&seen.instance.id) {
                *name = seen.instance.name.to_string();
            }
        }
    }
    Ok(left_alone::changed(&changed))
}

/// The same without what the last runs found, which a plan reads itself.
pub(super) fn notices_of_plan(config: &Config, ledger: &Ledger, now: DateTime<Utc>) -> Result<Notices, ledger::Error> {
    let mut others = notices_of_coverage(config, ledger, now)?;
    let mut set_back = None;
    match check_anchor(config, ledger) {
        Err(error) if error.is_lost() => set_back = Some(error.to_string()),
        checked => others.extend(checked?),
    }
    Ok(Notices { set_back, others })
}

/// Those of the configuration and the holds alone; a run has read the anchor when it began.
pub(super) fn notices_of_coverage(
    config: &Config,
    ledger: &Ledger,
    now: DateTime<Utc>,
) -> Result<Vec<String>, ledger::Error> {
    let placed = ledger.active_holds(now)?;
    let of_config = |(nth, hold)| (hold, config.hold_places.get(nth).map(ToString::to_string));
    let configured = config.holds.iter().enumerate().map(of_config);
    let holds = configured.chain(placed.iter().map(|hold| (hold, None)));
    let mut entries: Vec<CoverageEntry<'_>> = holds
        .filter(|(hold, _)| hold.is_active(now))
        .map(|(hold, place)| entry_of_hold(hold, place.as_deref()))
        .collect();
    entries.extend(
        config
            .policies
            .iter()
            .flat_map(|entry| entries_of_policy(&entry.policy)),
    );
    let mut found = odd_names(config, &placed, now);
    let projects: Vec<ProjectName> = config.projects.iter().map(|project| project.name.clone()).collect();
    found.extend(uncovered(entries, &projects, ledger)?);
    Ok(found)
}

/// The notice about one hold, where it covers nothing.
pub fn notice_of_hold(hold: &Hold, projects: &[ProjectName], ledger: &Ledger) -> Result<Option<String>, ledger::Error> {
    let mut found = Vec::new();
    if let HoldTarget::Matching {
        name: Some(pattern), ..
    } = &hold.target
    {
        found.extend(odd_name(&named(hold, None), pattern));
    }
    found.extend(uncovered(vec![entry_of_hold(hold, None)], projects, ledger)?);
    Ok((!found.is_empty()).then(|| found.join("\n")))
}

fn entry_of_hold<'a>(hold: &'a Hold, place: Option<&str>) -> CoverageEntry<'a> {
    CoverageEntry {
        what: named(hold, place),
        looks: LooksFor::Held(hold),
        is_met: false,
        hint: None,
    }
}

fn named(hold: &Hold, place: Option<&str>) -> String {
    let target = target(&hold.target);
    match (&hold.id, place) {
        (Some(id), _) => format!("hold {id} ({target})"),
        (None, Some(place)) => format!("hold at {place} ({target})"),
        (None, None) => format!("hold ({target})"),
    }
}

fn entries_of_policy(policy: &Policy) -> Vec<CoverageEntry<'_>> {
    let select = &policy.select;
    let entry = |key: &str, text: &str, looks| CoverageEntry {
        what: format!("policy {}: {key} `{text}`", policy.name),
        looks,
        is_met: false,
        hint: None,
    };
    let mut entries = Vec::new();
    for pattern in policy.keep.names() {
        entries.push(entry("keep.names", pattern.as_str(), LooksFor::Backup(pattern, select)));
    }
    for pattern in &select.exclude_backup_names {
        let key = "select.backups.exclude_names";
        entries.push(entry(key, pattern.as_str(), LooksFor::Backup(pattern, select)));
    }
    for pattern in &select.exclude_instance_names {
        let key = "select.instances.exclude_names";
        entries.push(entry(key, pattern.as_str(), LooksFor::InstanceName(pattern, select)));
    }
    for id in &select.exclude_instance_ids {
        let key = "select.instances.exclude_ids";
        entries.push(entry(key, id.as_str(), LooksFor::InstanceId(id, select)));
    }
    entries
}

/// Name patterns with a character that no backup name can have: they cover nothing, now or later.
fn odd_names(config: &Config, placed: &[Hold], now: DateTime<Utc>) -> Vec<String> {
    let mut found = Vec::new();
    let of_config = |(nth, hold)| (hold, config.hold_places.get(nth).map(ToString::to_string));
    let configured = config.holds.iter().enumerate().map(of_config);
    for (hold, place) in configured.chain(placed.iter().map(|hold| (hold, None))) {
        if let HoldTarget::Matching {
            name: Some(pattern), ..
        } = &hold.target
            && hold.is_active(now)
        {
            found.extend(odd_name(&named(hold, place.as_deref()), pattern));
        }
    }
    for entry in &config.policies {
        let (policy, select) = (&entry.policy, &entry.policy.select);
        let names = select
            .backup_names
            .iter()
            .flatten()
            .map(|pattern| ("select.backups.names", pattern));
        let excluded = &select.exclude_backup_names;
        let excluded = excluded.iter().map(|pattern| ("select.backups.exclude_names", pattern));
        let kept = policy.keep.names().iter().map(|pattern| ("keep.names", pattern));
        for (key, pattern) in names.chain(excluded).chain(kept) {
            found.extend(odd_name(&format!("policy {}: {key} `{pattern}`", policy.name), pattern));
        }
    }
    found
}

fn odd_name(what: &str, pattern: &Pattern) -> Option<String> {
    let odd = pattern.literals().find(|c| NEVER_IN_A_NAME.contains(c))?;
    Some(format!(
        "{what} has `{odd}`, which no backup name can have: it is a glob (`*`, `?`, `[a-z]`), not a regular expression"
    ))
}

/// Looks at everything the last believed listings showed; where there are none, nothing can be said.
fn uncovered(
    mut entries: Vec<CoverageEntry<'_>>,
    projects: &[ProjectName],
    ledger: &Ledger,
) -> Result<Vec<String>, ledger::Error> {
    if entries.is_empty() {
        return Ok(Vec::new());
    }
    let mut instances: HashMap<InstanceId, Instance> = HashMap::new();
    for project in projects {
        let seen = ledger.seen_instances(project)?;
        instances.extend(seen.into_iter().map(|seen| (seen.instance.id.clone(), seen.instance)));
    }
    if instances.is_empty() {
        return Ok(Vec::new());
    }
    for instance in instances.values() {
        for entry in &mut entries {
            entry.meet_instance(instance);
        }
    }
    ledger.each_known_backup(|seen| {
        let instance = instances.get(&seen.instance);
        let mut is_open = false;
        for entry in entries.iter_mut().filter(|entry| !entry.is_met) {
            entry.meet_backup(seen, instance);
            is_open |= !entry.is_met;
        }
        is_open
    })?;
    Ok(entries
        .iter()
        .filter(|entry| !entry.is_met)
        .map(CoverageEntry::notice)
        .collect())
}

impl CoverageEntry<'_> {
    fn meet_instance(&mut self, instance: &Instance) {
        let named_so = |id: &str| id.eq_ignore_ascii_case(&instance.name);
        let id = &instance.id;
        match &self.looks {
            LooksFor::InstanceName(pattern, select) => {
                self.is_met |= pattern.matches(&instance.name) && would_select(select, instance);
                if pattern.matches_id(&instance.name) && !pattern.matches(&instance.name) {
                    self.hint = Some(case_matters(&instance.name));
                }
            }
            LooksFor::InstanceId(wanted, select) => {
                let is_this = wanted.as_str().eq_ignore_ascii_case(id.as_str());
                self.is_met |= is_this && would_select(select, instance);
                if named_so(wanted.as_str()) {
                    self.hint = Some(format!("that is an instance's name; its id is {id}"));
                }
            }
            LooksFor::Held(hold) => {
                if let HoldTarget::Matching {
                    instance: Some(pattern),
                    ..
                } = &hold.target
                    && pattern.matches_id(&instance.name)
                    && !pattern.matches_id(id.as_str())
                {
                    let name = &instance.name;
                    self.hint = Some(format!(
                        "`instance` takes ids, and {name} is an instance's name; its id is {id}"
                    ));
                }
            }
            LooksFor::Backup(..) => {}
        }
    }

    fn meet_backup(&mut self, seen: &SeenBackup, instance: Option<&Instance>) {
        match &self.looks {
            LooksFor::Held(hold) => {
                let id = seen.instance.as_str();
                self.is_met |= hold.covers_names(id, &seen.backup, &seen.name);
                match &hold.target {
                    HoldTarget::Backup(wanted) if wanted.as_str() == seen.name => {
                        let id = &seen.backup;
                        self.hint = Some(format!("that is a backup's name; the backup's id is {id}"));
                    }
                    HoldTarget::Matching {
                        instance,
                        name: Some(name),
                    } if self.hint.is_none() => {
                        let of_instance = instance.as_ref().is_none_or(|pattern| pattern.matches_id(id));
                        if of_instance && name.matches_id(&seen.name) {
                            self.hint = Some(case_matters(&seen.name));
                        }
                    }
                    HoldTarget::Backup(_) | HoldTarget::Matching { .. } => {}
                }
            }
            LooksFor::Backup(pattern, select) => {
                if !instance.is_some_and(|instance| select.claims(instance, Knowledge::Full)) {
                    return;
                }
                let in_scope = select.backup_names.as_ref();
                let in_scope = in_scope.is_none_or(|names| names.iter().any(|name| name.matches(&seen.name)));
                self.is_met |= in_scope && pattern.matches(&seen.name);
                if in_scope && pattern.matches_id(&seen.name) && !self.is_met {
                    self.hint = Some(case_matters(&seen.name));
                }
            }
            LooksFor::InstanceName(..) | LooksFor::InstanceId(..) => {}
        }
    }

    fn notice(&self) -> String {
        let (covers, of) = match &self.looks {
            LooksFor::Held(_) => ("covers no backup", ""),
            LooksFor::Backup(..) => ("covers no backup", " of the policy's instances"),
            LooksFor::InstanceName(..) | LooksFor::InstanceId(..) => ("covers no instance", " of the policy"),
        };
        let hint = self.hint.as_ref().map_or_else(String::new, |hint| format!("; {hint}"));
        format!("{} {covers}{of} in the last listings{hint}", self.what)
    }
}

fn case_matters(name: &str) -> String {
    format!("names are compared letter by letter, and {name} differs in case")
}

/// Whether the policy would select it if it left nothing out.
fn would_select(select: &Selector, instance: &Instance) -> bool {
    let bare = Selector {
        exclude_instance_names: Vec::new(),
        exclude_instance_ids: Vec::new(),
        ..select.clone()
    };
    bare.claims(instance, Knowledge::Full)
}
