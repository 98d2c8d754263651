//! `audit report --recompute`: decides again, with the program at hand, what runs decided: by the listings, configurations, holds and
//! grace periods that the chain recorded, and by nothing else.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::error::Error;
use crate::config::{self, Config};
use crate::ledger::{DecidedOn, IntendedDeletion, Ledger, RecordedStep};
use crate::retention::policy::Knowledge;
use crate::retention::view::stamp;
use crate::retention::{BackupId, Hold, InstanceId, Mode, Policy, PolicyName, ProjectName, Verdict, decide};
use crate::wording::times::timestamp;

/// What deciding again said of a time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Recomputed {
    /// Deletions of that time, by intent.
    pub deletions: u64,
    /// Of these, decided again as they were.
    pub agreed: u64,
    /// Of these, of runs of a version that recorded no listings: nothing can be said.
    pub unrecorded: u64,
    /// Where it differs.
    pub differences: Vec<RecomputedDifference>,
}

/// A deletion that is not what the record leads to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RecomputedDifference {
    /// The intent's row of the chain.
    pub row: i64,
    /// When it was intended.
    #[serde(serialize_with = "stamp")]
    pub at: DateTime<Utc>,
    /// The run.
    pub run: String,
    /// The policy.
    pub policy: PolicyName,
    /// The instance.
    pub instance: InstanceId,
    /// The backup.
    pub backup: BackupId,
    /// What the row says, and what comes out.
    pub what: String,
}

/// A run, with what its configuration says.
struct RecomputedRun {
    at: DateTime<Utc>,
    config: Option<Arc<Config>>,
    /// It is of a version that records what it decides on.
    is_recorded: bool,
    /// By instance: what each policy lets go, and by which rule. `None`: the record does not fit together.
    decided: HashMap<(ProjectName, InstanceId), Expired>,
}

type Expired = HashMap<(PolicyName, BackupId), Option<String>>;

struct Recomputation {
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    configurations: HashMap<String, Option<Arc<Config>>>,
    /// Runs of different projects go on side by side.
    runs: HashMap<String, RecomputedRun>,
    found: Recomputed,
}

/// Decides the deletions from `from` to before `to` again.
pub fn recompute(ledger: &Ledger, (from, to): (DateTime<Utc>, DateTime<Utc>)) -> Result<Recomputed, Error> {
    let mut all = Recomputation {
        from,
        to,
        configurations: HashMap::new(),
        runs: HashMap::new(),
        found: Recomputed::default(),
    };
    ledger.each_recorded_step(|step| all.take(step))?;
    Ok(all.found)
}

impl Recomputation {
    fn take(&mut self, step: RecordedStep<'_>) {
        match step {
            RecordedStep::Configuration { sha256, files } => {
                if !files.is_empty() {
                    let files: Vec<(String, Option<String>)> = files
                        .iter()
                        .map(|file| (file.name.clone(), file.text.clone()))
                        .collect();
                    let config = config::load_recorded(&files).ok().map(Arc::new);
                    self.configurations.insert(sha256.to_owned(), config);
                }
            }
            RecordedStep::Run { run, at, sha256 } => {
                // No run lasts longer, and what is forgotten too early is a difference.
                self.runs.retain(|_, past| at - past.at < chrono::TimeDelta::days(2));
                let past = RecomputedRun {
                    at,
                    config: self.configurations.get(sha256).cloned().flatten(),
                    is_recorded: !self.configurations.is_empty(),
                    decided: HashMap::new(),
                };
                self.runs.insert(run.to_owned(), past);
            }
            RecordedStep::Decided { run, seen, holds } => {
                if let (Some(past), Some(seen)) = (self.runs.get_mut(run), seen) {
                    past.decide(seen, holds);
                }
            }
            RecordedStep::Intended(intended) if self.from <= intended.at && intended.at < self.to => {
                self.compare(intended);
            }
            RecordedStep::Intended(_) => {}
        }
    }

    fn compare(&mut self, intended: &IntendedDeletion) {
        self.found.deletions += 1;
        let run = self.runs.get(&intended.run);
        if self.configurations.is_empty() || run.is_some_and(|past| !past.is_recorded) {
            self.found.unrecorded += 1;
            return;
        }
        let Some(what) = difference(run, intended) else {
            self.found.agreed += 1;
            return;
        };
        self.found.differences.push(RecomputedDifference {
            row: intended.row,
            at: intended.at,
            run: intended.run.clone(),
            policy: intended.policy.clone(),
            instance: intended.instance.clone(),
            backup: intended.backup.clone(),
            what,
        });
    }
}

impl RecomputedRun {
    fn decide(&mut self, seen: &DecidedOn, holds: Vec<Hold>) {
        let Some(config) = &self.config else { return };
        let (instance, backups) = (seen.instance(), seen.backups());
        let mut all = config.holds.clone();
        all.extend(holds);
        let policies: Vec<Arc<Policy>> = config
            .all_policies()
            .filter(|policy| policy.select.claims(&instance, Knowledge::Full))
            .cloned()
            .collect();
        let decided = decide(&instance, &backups, &all, &policies, self.at);
        let mut rules = Expired::new();
        for (policy, decisions) in policies.iter().zip(decided) {
            for decision in decisions {
                let rule = match decision.verdict {
                    Verdict::Expire(reason) => Some(reason.key().to_owned()),
                    Verdict::Keep(_) => None,
                };
                let backup = backups[decision.backup].id.clone();
                rules.insert((policy.name.clone(), backup), rule);
            }
        }
        self.decided
            .insert((instance.project.clone(), instance.id.clone()), rules);
    }
}

/// What is wrong with a deletion, if anything is.
fn difference(run: Option<&RecomputedRun>, intended: &IntendedDeletion) -> Option<String> {
    let Some(run) = run else {
        return Some("its run never began".to_owned());
    };
    let Some(config) = &run.config else {
        return Some("the configuration of its run is not recorded, or cannot be read by this version".to_owned());
    };
    let key = (intended.project.clone(), intended.instance.clone());
    let Some(decided) = run.decided.get(&key) else {
        return Some("what its run decided on is not recorded, or does not fit together".to_owned());
    };
    let mut policies = config.policies.iter().map(|entry| &entry.policy);
    let Some(policy) = policies.find(|policy| policy.name == intended.policy) else {
        return Some("the configuration of its run has no such policy".to_owned());
    };
    match decided.get(&(intended.policy.clone(), intended.backup.clone())) {
        None => return Some("the policy did not have it in scope, or its run did not list it".to_owned()),
        Some(None) => return Some("the policy keeps it".to_owned()),
        Some(Some(rule)) if *rule != intended.rule => {
            return Some(format!("it expires by {rule}, not by {}", intended.rule));
        }
        Some(Some(_)) if policy.mode == Mode::DryRun => return Some("the policy was in dry-run".to_owned()),
        Some(Some(_)) => {}
    }
    if policy.grace.is_zero() {
        return None;
    }
    let edge = policy.grace.before(run.at, policy.zone);
    match intended.since {
        None => Some("no start of its grace period is recorded".to_owned()),
        Some(since) if edge.is_none_or(|edge| since > edge) => Some(format!(
            "its grace period was not over: it started at {}",
            timestamp(since)
        )),
        Some(_) => None,
    }
}
