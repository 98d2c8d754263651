//! How often backups are made of late: what a forecast may assume of the backups to come.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::inventory::Inventory;
use crate::config::Config;
use crate::retention::streams::streams;
use crate::retention::{Backup, Policy};

/// The interval of the stream that is made most often, in whole hours, where it has at least three.
pub(super) fn usual_interval(policies: &[Arc<Policy>], backups: &[Backup], at: DateTime<Utc>) -> Option<TimeDelta> {
    let stream = streams(policies, backups, at).into_iter().next()?;
    let interval = stream.interval.filter(|_| stream.intervals >= 3)?;
    let hours = (interval.num_minutes() + 30) / 60;
    (1..=24 * 366).contains(&hours).then(|| TimeDelta::hours(hours))
}

/// The usual interval of most instances that one of these policies (by place) claims; of two that are as common, the longer.
pub fn usual_interval_of(
    config: &Config,
    inventory: &Inventory,
    wanted: &[usize],
    at: DateTime<Utc>,
) -> Option<TimeDelta> {
    let mut common: BTreeMap<TimeDelta, usize> = BTreeMap::new();
    for of in &inventory.instances {
        let claiming = inventory.claiming(config, &of.instance);
        if claiming.iter().all(|place| !wanted.contains(place)) {
            continue;
        }
        let policies: Vec<Arc<Policy>> = claiming
            .into_iter()
            .map(|place| Arc::clone(&config.policies[place].policy))
            .collect();
        if let Some(interval) = usual_interval(&policies, &of.backups, at) {
            *common.entry(interval).or_default() += 1;
        }
    }
    let most = common.into_iter().max_by_key(|(interval, times)| (*times, *interval));
    most.map(|(interval, _)| interval)
}
