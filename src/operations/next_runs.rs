//! What the next run of each policy deletes, by the forecast's simulation. Writes nothing and asks nobody.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::error::Error;
use super::forecast::forecast_runs;
use super::inventory::Inventory;
use crate::config::Config;
use crate::retention::PolicyName;
use crate::retention::report::Tally;

/// The next run of a policy, before anything the guard may refuse.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NextRun {
    /// The policy.
    pub policy: PolicyName,
    /// When it runs.
    pub at: DateTime<Utc>,
    /// What it deletes, or would if it were not a dry run.
    pub goes: Tally,
    /// What stays in its scope.
    pub stays: Tally,
    /// When the oldest backup that stays was begun.
    pub oldest_stays: Option<DateTime<Utc>>,
}

/// The next run of each policy that has one, in the configuration's order; `next` says when.
pub fn next_runs(
    config: &Config,
    inventory: &Inventory,
    now: DateTime<Utc>,
    next: &BTreeMap<PolicyName, DateTime<Utc>>,
) -> Result<Vec<NextRun>, Error> {
    let run_of = |name: &PolicyName| next.get(name).map(|at| *at.max(&now));
    let runs: Vec<Vec<DateTime<Utc>>> = config
        .policies
        .iter()
        .map(|entry| run_of(&entry.policy.name).into_iter().collect())
        .collect();
    let mut found = Vec::new();
    for (place, entry) in config.policies.iter().enumerate() {
        let Some(at) = runs[place].first().copied() else {
            continue;
        };
        let mut next_run = NextRun {
            policy: entry.policy.name.clone(),
            at,
            goes: Tally::default(),
            stays: Tally::default(),
            oldest_stays: None,
        };
        for of in forecast_runs(config, inventory, &[place], runs.clone(), (now, at), None)? {
            for future in of.futures {
                if future.departure.is_some() {
                    next_run.goes.add(future.backup.size_bytes);
                } else {
                    next_run.stays.add(future.backup.size_bytes);
                    next_run.oldest_stays = [next_run.oldest_stays, future.backup.begin].into_iter().flatten().min();
                }
            }
        }
        found.push(next_run);
    }
    Ok(found)
}
