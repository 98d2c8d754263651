//! What the next run of each policy deletes, by the forecast's simulation. Writes nothing and asks nobody.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::error::Error;
use super::forecast::forecast_runs;
use super::inventory::Inventory;
use crate::config::{Config, PolicyEntry};
use crate::retention::forecast::Future;
use crate::retention::report::Tally;
use crate::retention::streams::is_in_scope;
use crate::retention::{Mode, Policy, PolicyName};

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

impl NextRun {
    fn add(&mut self, future: &Future) {
        match &future.departure {
            Some(departure) if departure.policy == self.policy => self.goes.add(future.backup.size_bytes),
            // Another policy's run deletes it before.
            Some(departure) if departure.at <= self.at => {}
            _ => {
                self.stays.add(future.backup.size_bytes);
                self.oldest_stays = [self.oldest_stays, future.backup.begin].into_iter().flatten().min();
            }
        }
    }
}

/// The next run of each policy that has one, in the configuration's order; `next` says when.
pub fn next_runs(
    config: &Config,
    inventory: &Inventory,
    now: DateTime<Utc>,
    next: &BTreeMap<PolicyName, DateTime<Utc>>,
) -> Result<Vec<NextRun>, Error> {
    let run_of = |entry: &PolicyEntry| next.get(&entry.policy.name).map(|at| *at.max(&now));
    let enforces = |entry: &PolicyEntry| entry.policy.mode == Mode::Enforce;
    let runs = |plays: &dyn Fn(&PolicyEntry) -> bool| -> Vec<Option<DateTime<Utc>>> {
        let policies = config.policies.iter();
        policies.map(|entry| run_of(entry).filter(|_| plays(entry))).collect()
    };
    let mut found = BTreeMap::new();
    // A dry run is played as if it deleted, so what enforcing policies delete is played without it.
    if config
        .policies
        .iter()
        .any(|entry| !enforces(entry) && run_of(entry).is_some())
    {
        found = play(config, inventory, now, &runs(&|_| true))?;
    }
    found.extend(play(config, inventory, now, &runs(&enforces))?);
    Ok(found.into_values().collect())
}

/// Plays one run of each policy that has one, by its place.
fn play(
    config: &Config,
    inventory: &Inventory,
    now: DateTime<Utc>,
    runs: &[Option<DateTime<Utc>>],
) -> Result<BTreeMap<usize, NextRun>, Error> {
    let mut found = BTreeMap::new();
    for (place, at) in runs.iter().enumerate().filter_map(|(place, at)| Some((place, (*at)?))) {
        let next_run = NextRun {
            policy: config.policies[place].policy.name.clone(),
            at,
            goes: Tally::default(),
            stays: Tally::default(),
            oldest_stays: None,
        };
        found.insert(place, next_run);
    }
    let Some(until) = runs.iter().flatten().max() else {
        return Ok(found);
    };
    let places: Vec<usize> = found.keys().copied().collect();
    let moments = runs.iter().map(|at| at.iter().copied().collect()).collect();
    for of in forecast_runs(config, inventory, &places, moments, (now, *until), None)? {
        for place in inventory.claiming(config, &of.instance) {
            let policy = std::slice::from_ref::<std::sync::Arc<Policy>>(&config.policies[place].policy);
            if let Some(next_run) = found.get_mut(&place) {
                let in_scope = of.futures.iter().filter(|future| is_in_scope(policy, &future.backup));
                in_scope.for_each(|future| next_run.add(future));
            }
        }
    }
    Ok(found)
}
