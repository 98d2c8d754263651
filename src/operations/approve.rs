//! `approve`: what the guard refused is let run, exactly as it was shown.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use chrono::{DateTime, Utc};

use super::error::Error;
use super::operator::open;
use crate::config::{Config, PolicyEntry};
use crate::ledger::{APPROVABLE_FOR, Actor, Ledger, ListingDoubt, ListingPart, RefusedPlan, SeenBackup};
use crate::retention::{BackupId, People, PolicyName};
use crate::run;

/// The refused plans of a policy that can be approved now, and the state they are in.
pub struct RefusedPlans {
    /// The state.
    pub ledger: Ledger,
    /// Oldest first.
    pub plans: Vec<RefusedPlan>,
}

/// Looks for the plans of a policy that a run was refused within the last 48 hours.
pub fn refused_plans(config: &Config, policy: &PolicyName, now: DateTime<Utc>) -> Result<RefusedPlans, Error> {
    run::check_policy_names(Some(std::slice::from_ref(policy)), config)?;
    let ledger = open(config, now)?;
    let mut plans = ledger.refused_plans(policy)?;
    plans.retain(|plan| plan.is_approvable(now));
    Ok(RefusedPlans { ledger, plans })
}

impl RefusedPlans {
    /// The plan with this digest.
    pub fn of_digest(&self, digest: &str) -> Option<&RefusedPlan> {
        self.plans.iter().find(|plan| plan.digest == digest)
    }

    /// The plan that waits, or the latest.
    pub fn latest(&self) -> Option<&RefusedPlan> {
        self.plans.iter().max_by_key(|plan| (plan.waits, plan.at))
    }

    /// The backups of a plan, each as the last listing showed it, the oldest first; those that are no longer listed last.
    pub fn backups_of(&self, plan: &RefusedPlan, config: &Config) -> Result<Vec<PlannedBackup>, Error> {
        let mut names = HashMap::new();
        for project in &config.projects {
            let seen = self.ledger.seen_instances(&project.name)?.into_iter();
            names.extend(seen.map(|seen| (seen.instance.id, seen.instance.name)));
        }
        let mut planned: Vec<PlannedBackup> = plan.backups.iter().cloned().map(PlannedBackup::unlisted).collect();
        for seen in self.ledger.known_backups()? {
            if let Ok(nth) = plan.backups.binary_search(&seen.backup) {
                planned[nth].instance = names.get(&seen.instance).map(ToString::to_string);
                planned[nth].seen = Some(seen);
            }
        }
        planned.sort_by_key(|of| (of.seen.is_none(), of.seen.as_ref().and_then(|seen| seen.begin)));
        Ok(planned)
    }

    /// Whether what was approved counts: always where one person is enough.
    pub fn is_approved(
        &self,
        config: &Config,
        policy: &PolicyName,
        plan: &RefusedPlan,
        now: DateTime<Utc>,
    ) -> Result<bool, Error> {
        let of_name = |entry: &&PolicyEntry| entry.policy.name == *policy;
        let takes = config
            .policies
            .iter()
            .find(of_name)
            .map(|entry| entry.policy.limits.approvals);
        let takes_two = takes == Some(People::Two) || self.ledger.takes_two_approvals(policy)?;
        Ok(!takes_two || self.ledger.is_approved_by_two(policy, &plan.digest, now)?)
    }

    /// Exempts exactly the backups of this plan from `max_deletions` and `max_percent`; until when.
    pub fn approve(
        &self,
        policy: &PolicyName,
        plan: &RefusedPlan,
        actor: Actor<'_>,
        now: DateTime<Utc>,
    ) -> Result<DateTime<Utc>, Error> {
        let until = now + APPROVABLE_FOR;
        self.ledger.approve_plan(policy, plan, until, actor, now)?;
        Ok(until)
    }
}

/// A backup of a refused plan.
#[derive(Clone, Debug)]
pub struct PlannedBackup {
    /// Its id.
    pub id: BackupId,
    /// As the last listing showed it; `None` where it is no longer listed.
    pub seen: Option<SeenBackup>,
    /// The name of its instance, where that is known.
    pub instance: Option<String>,
}

impl PlannedBackup {
    fn unlisted(id: BackupId) -> Self {
        Self {
            id,
            seen: None,
            instance: None,
        }
    }
}

/// What of a listing was accepted, and the state that was written.
#[derive(Debug)]
pub struct AcceptedListing {
    /// Exactly what runs saw and did not believe.
    pub accepted: Vec<ListingDoubt>,
    /// Backups that the instance listed before and that are not among the accepted entries.
    pub vanished: Vec<SeenBackup>,
    /// The state.
    pub state: PathBuf,
}

/// Accepts what runs saw of an instance's listing, or of a project's list of instances, and did not believe. What is listed later
/// is another matter.
pub fn accept_listing(
    config: &Config,
    target: &str,
    actor: Actor<'_>,
    now: DateTime<Utc>,
) -> Result<AcceptedListing, Error> {
    let ledger = open(config, now)?;
    let accepted = ledger.accept_listing(target, actor, now)?;
    if !accepted.is_empty() {
        return Ok(AcceptedListing {
            vanished: vanished(&ledger, target, &accepted)?,
            accepted,
            state: ledger.path().to_owned(),
        });
    }
    let mut is_known = config.projects.iter().any(|project| project.name.as_str() == target);
    let mut of_that_name = None;
    for project in &config.projects {
        for seen in ledger.seen_instances(&project.name)? {
            is_known |= seen.instance.id.as_str() == target;
            if &*seen.instance.name == target {
                of_that_name = Some(seen.instance.id);
            }
        }
    }
    if is_known {
        return Err(Error::NothingInDoubt(target.to_owned()));
    }
    Err(Error::NoSuchListing {
        typed: target.to_owned(),
        of_that_name,
    })
}

/// What the instance listed when it was believed last, and does not list in what was accepted.
fn vanished(ledger: &Ledger, target: &str, accepted: &[ListingDoubt]) -> Result<Vec<SeenBackup>, Error> {
    let entries = accepted.iter().find(|doubt| doubt.part == ListingPart::Entries);
    let Some(ids) = entries.and_then(|doubt| serde_json::from_str::<HashSet<String>>(&doubt.says).ok()) else {
        return Ok(Vec::new());
    };
    let mut known = ledger.known_backups()?;
    known.retain(|seen| seen.instance.as_str() == target && !ids.contains(seen.backup.as_str()));
    Ok(known)
}
