//! `diff`: which backups change fate between two configurations. Writes nothing.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::inventory::Inventory;
use crate::config::{Config, PolicyEntry};
use crate::retention::compare::{self, Changed, Group, Groups, Side};
use crate::retention::report::Skip;
use crate::retention::view::stamp;
use crate::retention::{Mode, PolicyName, ProjectName};
use crate::wording::Natural;

/// The changes between two configurations.
#[derive(Debug, Serialize)]
pub struct Diff {
    /// The moment that was decided at.
    #[serde(serialize_with = "stamp")]
    pub at: DateTime<Utc>,
    /// The file of the one configuration.
    pub config: String,
    /// The file of the other.
    pub against: String,
    /// The changes, by the policy that lets the backup go in the one configuration or the other.
    pub policies: Vec<PolicyChanges>,
    /// What could not be read.
    pub skipped: Vec<Skip>,
}

/// What changes under one policy.
#[derive(Debug, Serialize)]
pub struct PolicyChanges {
    /// Its name.
    pub policy: PolicyName,
    /// Its mode in the other configuration, or in the one where only that has it.
    pub mode: Option<Mode>,
    /// The changes and their numbers.
    #[serde(flatten)]
    pub group: Group,
}

/// The policies of both, for the inventory that is compared.
pub fn policies_of_both(config: &Config, against: &Config) -> Vec<PolicyEntry> {
    config.policies.iter().chain(&against.policies).cloned().collect()
}

/// Projects that only the other configuration has: their backups are not looked at.
pub fn projects_left_out<'a>(config: &'a Config, against: &'a Config) -> impl Iterator<Item = &'a ProjectName> {
    let known = |name: &ProjectName| config.projects.iter().any(|project| project.name == *name);
    let names = against.projects.iter().map(|project| &project.name);
    names.filter(move |name| !known(name))
}

/// Decides on the inventory under both, grace counted as over.
pub fn diff(config: &Config, against: &Config, inventory: &Inventory, at: DateTime<Utc>) -> Diff {
    let mode = |policy: &PolicyName| {
        let of = |config: &Config| {
            let found = config.policies.iter().find(|entry| entry.policy.name == *policy);
            found.map(|entry| entry.policy.mode)
        };
        of(against).or_else(|| of(config))
    };
    let changes = |(policy, group): (PolicyName, Group)| PolicyChanges {
        mode: mode(&policy),
        policy,
        group,
    };
    Diff {
        at,
        config: config.path.to_string_lossy().into_owned(),
        against: against.path.to_string_lossy().into_owned(),
        policies: compare(inventory, config, against, at)
            .into_iter()
            .map(changes)
            .collect(),
        skipped: inventory.skipped.clone(),
    }
}

fn compare(inventory: &Inventory, config: &Config, against: &Config, at: DateTime<Utc>) -> Groups {
    let holds = [config, against].map(|config| inventory.holds(config));
    let mut groups = Groups::new();
    for of in &inventory.instances {
        let claiming = [config, against].map(|config| inventory.claiming_policies(config, &of.instance));
        let side = |nth: usize| Side {
            policies: &claiming[nth],
            holds: &holds[nth],
        };
        compare::compare(&of.instance, &of.backups, [side(0), side(1)], at, &mut groups);
    }
    for group in groups.values_mut() {
        // As `plan` sorts them.
        group.changes.sort_by(|a, b| order(a).cmp(&order(b)));
    }
    groups
}

fn order(change: &Changed) -> impl Ord + '_ {
    let Changed { instance, backup, .. } = change;
    let newest_first = backup.begin.map(std::cmp::Reverse);
    (
        &instance.project,
        Natural(&instance.name),
        &instance.id,
        newest_first,
        &backup.id,
    )
}
