//! Why an instance is left alone: its own listing, or the list of instances, contradicts itself or an earlier one.

use std::collections::BTreeMap;

use super::numbers::{count, number};
use crate::retention::report::Settled;
use crate::retention::{BackupId, Fate, InstanceId, ProjectName};

/// What an instance lacks in the list of instances; each follows the word `its`.
pub const UNREADABLE_TAGS: &str = "tags in the list of instances cannot be read, or one has no key or value";
/// It had tags.
pub const LOST_TAGS: &str = "tags, or the value of one, are not in the list of instances any more";
/// It never had a list of them.
pub const NO_TAGS: &str = "list of tags is not in the list of instances, and policies select by tags";
/// It had one.
pub const LOST_ENTERPRISE_PROJECT: &str = "enterprise project is not in the list of instances any more";
/// It never had one.
pub const NO_ENTERPRISE_PROJECT: &str = "enterprise project is not in the list of instances, and policies select by it";
/// It had another one.
pub const OTHER_ENGINE: &str = "engine is not the one that it had in the list of instances before";
/// Every instance has one.
pub const NO_NAME: &str = "name is not in the list of instances";

/// The list of instances lacks it, and asking for its id finds it.
pub const FOUND_BY_ID_ALONE: &str = "it is not in the list of instances, but asking for its id finds it: it is not deleted, and is left alone until it is listed again";

/// What is lacking cannot be read, so it cannot be accepted.
pub fn unreadable(lacks: &[&str]) -> String {
    format!("its {}: it is left alone until they can be read", lacks.join(", its "))
}

/// Something is lacking, which a person may accept.
pub fn incomplete(lacks: &[&str], instance: &InstanceId) -> String {
    format!(
        "its {}: it is left alone until they are back, or until `approve --listing {instance}`",
        lacks.join(", its ")
    )
}

/// So many instances are named in one sentence.
const NAMED: usize = 5;

/// Backups that are kept because they say something else than an earlier run saw, by instance: its name, and how many.
pub fn changed<N: AsRef<str>>(instances: &BTreeMap<InstanceId, (N, u64)>) -> Option<String> {
    let backups: u64 = instances.values().map(|(_, backups)| backups).sum();
    let named = instances.iter().take(NAMED);
    let mut named: Vec<String> = named
        .map(|(id, (name, backups))| format!("{} ({id}: {backups})", name.as_ref()))
        .collect();
    let more = instances.len().saturating_sub(NAMED);
    if more > 0 {
        named.push(format!("{} more", number(more as u64)));
    }
    (backups > 0).then(|| {
        format!(
            "{} of {} say something else than an earlier run saw, and are kept until `approve --listing` with the instance's id: {}",
            count(backups, "backup"),
            count(instances.len() as u64, "instance"),
            named.join(", ")
        )
    })
}

/// Deletions of earlier runs that were accepted, and of which the backups are still there.
pub fn returned(settled: &[Settled]) -> Option<String> {
    let returned = settled.iter().filter(|settled| settled.fate == Fate::Returned).count() as u64;
    (returned > 0).then(|| {
        format!(
            "{} that the API accepted for deletion at least 30 minutes ago {} still there: the API said yes and did not delete; `why` with \
             an id says when it was asked",
            count(returned, "backup"),
            if returned == 1 { "is" } else { "are" }
        )
    })
}

/// A backup is listed as one of this instance, and as one of `other`.
pub fn listed_twice(backup: &BackupId, other: &str) -> String {
    format!(
        "backup {backup} is listed as one of this instance and as one of {other}, now or within the last 7 days: one of \
         the two listings is wrong, and nothing of either instance is deleted"
    )
}

/// Another project lists the instance.
pub fn in_two_projects(other: &ProjectName) -> String {
    format!(
        "project {other} lists this instance, too, or did within the last 7 days: one of the two listings is wrong, and nothing \
         of it is deleted"
    )
}
