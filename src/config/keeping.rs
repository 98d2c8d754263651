//! What an edit keeps, at once: beside the configuration in force while it waits, and for a run under way.
//!
//! Pure. Whether it waits is [`difference::whole`]'s and the daemon's to say.

use std::sync::Arc;

use super::difference::{self, Change, Keeps};
use super::{Config, PolicyEntry};
use crate::retention::kept::KeptByEdit;
use crate::retention::{Freeze, Mode, Policy, PolicyName};

/// The configuration in force together with a newer one that waits: a backup is kept where either keeps it.
///
/// A policy that may keep both more and less deletes nothing until the edit is taken, for its two versions delete different
/// backups; both go on keeping what they keep.
#[must_use]
pub fn merge(current: &Config, waiting: &Config) -> Config {
    let changes = difference::policies(current, waiting);
    let change = |name: &PolicyName| changes.iter().find(|change| change.policy == *name);
    let newer = |name: &PolicyName| waiting.policies.iter().find(|entry| entry.policy.name == *name);
    let all_there = (current.projects.iter()).all(|project| difference::is_there(project, &waiting.projects));
    let of_both = |entry: &PolicyEntry| {
        let name = &entry.policy.name;
        let keeps = change(name).map_or(Keeps::Same, |change| change.keeps);
        let entry = match newer(name) {
            Some(newer) if !keeps.may_keep_less() => newer,
            _ => entry,
        };
        if all_there && !(keeps.may_keep_less() && keeps.may_keep_more()) {
            entry.clone()
        } else {
            in_dry_run(entry)
        }
    };
    let mut merged = current.clone();
    merged.policies = current.policies.iter().map(of_both).collect();
    for name in changes
        .iter()
        .filter(|change| is_kept_beside(change))
        .map(|change| &change.policy)
    {
        let beside = newer(name).map(|entry| under_another_name(&entry.policy));
        merged
            .protecting
            .extend(beside.filter(|policy| !merged.protecting.contains(policy)));
    }
    for (nth, hold) in waiting.holds.iter().enumerate() {
        if !current.holds.contains(hold) {
            merged.holds.push(hold.clone());
            merged.hold_places.extend(waiting.hold_places.get(nth).cloned());
        }
    }
    merged.freeze = longer(current.freeze.as_ref(), waiting.freeze.as_ref()).cloned();
    if merged.freeze != current.freeze {
        merged.freeze_place.clone_from(&waiting.freeze_place);
    }
    merged
}

/// Whether the newer version of a policy keeps something that the one in force does not, and cannot stand in for it.
fn is_kept_beside(change: &Change) -> bool {
    change.keeps.may_keep_more() && (change.keeps.may_keep_less() || change.what == "added")
}

fn in_dry_run(entry: &PolicyEntry) -> PolicyEntry {
    let policy = Policy {
        mode: Mode::DryRun,
        ..Policy::clone(&entry.policy)
    };
    PolicyEntry {
        policy: Arc::new(policy),
        ..entry.clone()
    }
}

/// No policy that was typed can have this name.
fn under_another_name(policy: &Policy) -> Arc<Policy> {
    Arc::new(Policy {
        name: PolicyName::from(format!("{} (edit that waits)", policy.name)),
        mode: Mode::DryRun,
        ..policy.clone()
    })
}

fn longer<'f>(one: Option<&'f Freeze>, other: Option<&'f Freeze>) -> Option<&'f Freeze> {
    one.into_iter()
        .chain(other)
        .max_by_key(|freeze| (freeze.until.is_none(), freeze.until))
}

/// What a run that began under one configuration must leave alone under the newest.
pub fn kept_by_edit(began: &Config, newest: &Config) -> KeptByEdit {
    let mut kept = KeptByEdit::default();
    let changes = difference::policies(began, newest);
    for change in changes.into_iter().filter(|change| change.keeps.may_keep_more()) {
        let newer = newest.policies.iter().find(|entry| entry.policy.name == change.policy);
        kept.protecting.extend(newer.map(|entry| Arc::clone(&entry.policy)));
        kept.policies.insert(change.policy);
    }
    let beside = newest
        .protecting
        .iter()
        .filter(|policy| !began.protecting.contains(policy));
    kept.protecting.extend(beside.cloned());
    let gone = began
        .projects
        .iter()
        .filter(|project| !difference::is_there(project, &newest.projects));
    kept.projects.extend(gone.map(|project| project.name.clone()));
    kept
}

#[cfg(test)]
mod tests;
