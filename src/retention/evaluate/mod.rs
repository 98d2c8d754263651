//! The decision: for every backup of one instance, what each policy that claims it says, and why.
//!
//! A pure function of (backups, holds, policies, `now`): same input, same answer, in any order of input.

mod decision;
mod evaluator;
mod overlaps;
mod rules;
mod series;

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::{Backup, Hold, Instance, Policy};
pub use decision::{Decision, ExpireReason, KeepReason, KeptBy, Verdict};
use evaluator::{CoveringHolds, Evaluator};
use overlaps::settle_overlaps;
pub use series::Series;

/// Decides every backup of one instance under every policy that claims it.
///
/// The answer has one list per policy, in the order of `policies`; each holds the backups in that policy's scope, in the
/// order of `backups`. A backup that one policy lets go and another keeps is kept in both, with [`KeptBy::Policy`].
pub fn decide(
    instance: &Instance,
    backups: &[Backup],
    holds: &[Hold],
    policies: &[Arc<Policy>],
    now: DateTime<Utc>,
) -> Vec<Vec<Decision>> {
    let held = CoveringHolds::over(instance, backups, holds);
    let mut all: Vec<Vec<Decision>> = policies
        .iter()
        .map(|policy| {
            Evaluator {
                policy,
                instance,
                backups,
                held: &held,
            }
            .decide(now)
        })
        .collect();
    if policies.len() > 1 {
        settle_overlaps(&mut all, policies, backups.len());
    }
    all
}

#[cfg(test)]
mod oracle_tests;
#[cfg(test)]
mod small_worlds_tests;
#[cfg(test)]
mod tests;
