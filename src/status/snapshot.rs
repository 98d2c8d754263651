//! What the daemon shows of itself, as one value: `/api/v1/status` and the page are made from it.
//!
//! Plain data in the contract's words; not for collecting it (`shared_status`) nor for showing it (`web`).

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Serialize, Serializer};

use super::recent::Recent;
use crate::ledger::{RunRow, SharedState};
use crate::retention::report::{
    GuardVerdict, InstanceCounts, PolicyReport, RefusalRecord, RunResult, RunSummary, Sent, SkipRecord, Summary, Tally,
};
use crate::retention::{Freeze, Hold, PolicyName, ProjectName, RunReport, Zone};
use crate::run::DueCounts;
use crate::wording::money::Price;
use crate::wording::refusals;
use crate::wording::remedies;
use crate::wording::results::{self, is_in_part, sent_and_held_back};

/// Everything that can be shown.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// The program's version.
    pub version: &'static str,
    /// When this daemon started; `null` where none was asked.
    pub started_at: Option<DateTime<Utc>>,
    /// When this was put together.
    pub at: DateTime<Utc>,
    /// Whether it can do its work: `/readyz`.
    pub ready: bool,
    /// What an operator should look at, the gravest first.
    pub problems: Vec<StatusProblem>,
    /// The configuration in force.
    pub config: ConfigStatus,
    /// The policies, in the configuration's order.
    pub policies: Vec<PolicyStatus>,
    /// The holds in force, those of the configuration first.
    pub holds: Vec<Hold>,
    /// The freeze in force; of several the one that lasts longest.
    pub freeze: Option<Freeze>,
    /// All freezes in force, those of the configuration first.
    pub freezes: Vec<FreezeStatus>,
    /// Instances that no policy claims, as of the last run.
    pub unmanaged: Option<u64>,
    /// Instances by how policies see them, as of the last run.
    pub instances: Option<InstanceCounts>,
    /// When holds, freeze and past runs were last read from the ledger.
    pub ledger_read_at: Option<DateTime<Utc>>,
    /// Deletions, accepted or unanswered, that no listing has confirmed yet, by project.
    pub unconfirmed: BTreeMap<ProjectName, u64>,
    /// What the last runs left alone, and why; the same in several policies is said once.
    pub skipped: Vec<SkipRecord>,
    /// Storage by day (UTC), oldest first, as far as the ledger's last runs tell.
    pub storage: Vec<StorageDay>,
    /// Holds and name patterns that cover nothing, by the last run or reload.
    pub notices: Vec<String>,
    /// Who works on the state, where that is in PostgreSQL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shared: Option<SharedState>,
    /// What storage costs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price: Option<Price>,
    /// The last runs and deletions of the ledger.
    #[serde(skip)]
    pub recent: Recent,
    /// The last run of each policy, whole; with every decision where the fleet is small enough to be kept in memory.
    #[serde(skip)]
    pub reports: BTreeMap<PolicyName, Arc<RunReport>>,
}

impl Status {
    /// How commands call this program with the same configuration.
    pub fn program(&self) -> String {
        remedies::program(&self.config.path)
    }
}

/// A freeze in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FreezeStatus {
    /// Its id; `null` for one in the configuration.
    pub id: Option<String>,
    /// File and line of one in the configuration.
    pub place: Option<String>,
    /// Why, and until when.
    #[serde(flatten)]
    pub freeze: Freeze,
}

/// What one day's runs say of storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct StorageDay {
    /// The day, UTC.
    pub day: NaiveDate,
    /// When the first of its runs began: people read days in the policies' zone.
    #[serde(skip)]
    pub first_run: DateTime<Utc>,
    /// There after the day's last run of each policy, whatever was decided of it.
    pub kept_bytes: u64,
    /// The part of it that is due and was held back by the guard or a freeze.
    pub held_back_bytes: u64,
    /// Deleted by the day's runs and seen to be gone.
    pub freed_bytes: u64,
}

impl StorageDay {
    /// Adds up what past runs of all policies left in the ledger, by day, oldest first; the runs come latest first.
    pub(super) fn of_runs(runs: &[RunRow]) -> Vec<Self> {
        let mut days: BTreeMap<NaiveDate, Self> = BTreeMap::new();
        let mut counted: BTreeSet<(NaiveDate, &PolicyName)> = BTreeSet::new();
        for run in runs {
            let Some(numbers) = run.numbers() else { continue };
            let day = run.started_at.date_naive();
            let entry = days.entry(day).or_insert(Self {
                day,
                first_run: run.started_at,
                kept_bytes: 0,
                held_back_bytes: 0,
                freed_bytes: 0,
            });
            entry.first_run = entry.first_run.min(run.started_at);
            let freed = numbers.sent.values().map(|sent| sent.confirmed_bytes);
            let freed = freed.fold(numbers.settled.bytes, u64::saturating_add);
            if counted.insert((day, &run.policy)) {
                let Summary { keep, wait, .. } = numbers.summary;
                let due = Sent::still_there(numbers.summary.delete, numbers.sent.values());
                for there in [keep, wait, due] {
                    entry.kept_bytes = entry.kept_bytes.saturating_add(there.bytes);
                }
                entry.held_back_bytes = entry.held_back_bytes.saturating_add(numbers.held_back.bytes);
            }
            entry.freed_bytes = entry.freed_bytes.saturating_add(freed);
        }
        days.into_values().collect()
    }
}

/// Something that an operator should look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StatusProblem {
    /// `state`, `configuration`, `project`, `run`, `guard`, `instance` or `stopping`.
    pub about: &'static str,
    /// The policy it concerns, if one.
    pub policy: Option<PolicyName>,
    /// What is wrong, and what to do.
    pub message: String,
}

/// The configuration in force, and how the last reload went.
#[derive(Clone, Debug, Serialize)]
pub struct ConfigStatus {
    /// The main file.
    pub path: PathBuf,
    /// Its fingerprint.
    pub sha256: String,
    /// When it was taken into force.
    pub loaded_at: DateTime<Utc>,
    /// Whether the newest version of the files is the one in force.
    pub last_reload_ok: bool,
    /// Why not.
    pub problems: Vec<String>,
    /// That a newer version of the files waits to be taken, and for what.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<String>,
}

/// One policy.
#[derive(Clone, Debug, Serialize)]
pub struct PolicyStatus {
    /// Its name.
    pub policy: PolicyName,
    /// `enforce` or `dry-run`.
    pub mode: &'static str,
    /// Its schedule as written; `null` for none.
    pub schedule: Option<String>,
    /// The zone of schedule and buckets.
    #[serde(rename = "timezone", serialize_with = "zone_name")]
    pub zone: Zone,
    /// When it is due next, jitter included.
    pub next_run: Option<DateTime<Utc>>,
    /// Whether it is due and waits for its run, or for the ledger.
    pub waiting: bool,
    /// Since when its run has been in progress.
    pub running_since: Option<DateTime<Utc>>,
    /// Its last run.
    pub last_run: Option<LastRun>,
    /// When its last successful run ended.
    pub last_success: Option<DateTime<Utc>>,
    /// What its next run would delete; only where the ledger was asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub goes_next: Option<DueCounts>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn zone_name<S: Serializer>(zone: &Zone, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(zone.name())
}

/// How a run of a policy went.
#[derive(Clone, Debug, Serialize)]
pub struct LastRun {
    /// The run's id; `null` for one that ended before it had one.
    pub run_id: Option<String>,
    /// The one reading of the clock that decided.
    pub at: DateTime<Utc>,
    /// When it ended.
    pub finished_at: DateTime<Utc>,
    /// How it ended.
    pub result: RunResult,
    /// `approved`, `refused`, or `unknown` where nothing of the policy could be read.
    pub verdict: &'static str,
    /// The gravest refusal.
    pub refusal: Option<RefusalStatus>,
    /// All refusals, those of one kind together, by instance name.
    pub refusals: Vec<RefusalRecord>,
    /// Decisions in numbers; `null` where the run could not read the world.
    pub summary: Option<Counts>,
    /// What became of what was sent, by project.
    pub sent: BTreeMap<ProjectName, Sent>,
    /// Approved, but not sent.
    pub left: u64,
    /// Due, and held back by the guard or a freeze.
    pub held_back: Tally,
    /// Backups that no policy has in scope, by project, on instances of which this is the first policy.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub unselected: BTreeMap<ProjectName, u64>,
    /// Why it failed as a whole, where the ledger has nothing of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What it left alone; in the JSON it stands once for all policies.
    #[serde(skip)]
    pub skipped: Vec<SkipRecord>,
    /// The backups that are there, by this run or, where it could not read them, by the last one that could.
    #[serde(skip)]
    pub known: Option<KnownBackups>,
}

/// The backups of a policy as a run read them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownBackups {
    /// By decision.
    pub counts: Counts,
    /// Due, and still there after the run, held back or not.
    pub due: Tally,
    /// Due, and held back by the guard or a freeze.
    pub held_back: Tally,
}

/// Why the guard held something back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RefusalStatus {
    /// The limit's name.
    pub limit: String,
    /// In words.
    pub message: String,
    /// Whether the refused plan waits for approval.
    pub waits: bool,
    /// What `approve --plan` calls the refused ids, while they can be approved.
    pub digest: Option<String>,
}

impl RefusalStatus {
    /// Whether it is by one of the limits that an approval lifts.
    pub fn is_approvable(&self) -> bool {
        self.limit.starts_with("max_")
    }

    /// Whether its plan was approved since.
    pub fn is_approved(&self) -> bool {
        self.is_approvable() && !self.waits
    }
}

/// Decisions in numbers, in the shape of `plan --format json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Kept.
    pub keep: u64,
    /// Expired, in the grace period.
    pub wait: u64,
    /// Due.
    pub delete: u64,
    /// Their sizes.
    pub bytes: Sizes,
}

/// Sizes in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Sizes {
    /// Of the kept.
    pub keep: u64,
    /// Of the waiting.
    pub wait: u64,
    /// Of the due.
    pub delete: u64,
}

impl From<Summary> for Counts {
    fn from(summary: Summary) -> Self {
        let Summary { keep, wait, delete } = summary;
        Self {
            keep: keep.count,
            wait: wait.count,
            delete: delete.count,
            bytes: Sizes {
                keep: keep.bytes,
                wait: wait.bytes,
                delete: delete.bytes,
            },
        }
    }
}

impl Counts {
    /// All backups that were decided on.
    pub fn all(&self) -> u64 {
        self.keep.saturating_add(self.wait).saturating_add(self.delete)
    }
}

impl LastRun {
    /// From the report of a run.
    pub fn of(report: &RunReport, policy: &PolicyReport) -> Self {
        let gravest = policy.refusals.first();
        let counts = policy.has_read().then(|| Counts::from(policy.summary));
        let due = Sent::still_there(policy.summary.delete, policy.sent.values());
        Self {
            known: counts.map(|counts| KnownBackups {
                counts,
                due,
                held_back: policy.held_back,
            }),
            run_id: report.run_id.clone().filter(|id| !id.is_empty()),
            at: report.at,
            finished_at: report.finished_at,
            result: policy.result,
            verdict: policy.verdict().as_str(),
            refusal: gravest.map(|refusal| RefusalStatus {
                limit: refusal.limit().to_owned(),
                message: refusal.to_string(),
                waits: refusal.waits_for_approval(),
                digest: policy.digest.clone().filter(|_| refusal.waits_for_approval()),
            }),
            summary: counts,
            sent: policy.sent.clone(),
            left: policy.left,
            held_back: policy.held_back,
            unselected: policy.unselected.clone(),
            error: None,
            refusals: refusals::records(report, policy),
            skipped: report.skipped.iter().map(|skip| report.record_of(skip)).collect(),
        }
    }

    /// How many ids were sent.
    pub fn sent_ids(&self) -> u64 {
        let fates = self.sent.values().flat_map(|sent| sent.fates.values());
        fates.fold(0, |sum, more| sum.saturating_add(*more))
    }

    /// Whether the guard held back one part and let another go.
    pub fn is_refused_in_part(&self) -> bool {
        let due = self.summary.map_or(Tally::default(), |counts| Tally {
            count: counts.delete,
            bytes: counts.bytes.delete,
        });
        self.result == RunResult::Refused && is_in_part(due, self.held_back, self.sent_ids())
    }

    /// A refusal in words: `refused in part: max_percent; 94 sent, 21 held back`.
    pub fn refusal_in_words(&self, refusal: &RefusalStatus) -> String {
        let in_part = self.is_refused_in_part();
        let word = results::result(RunResult::Refused, in_part);
        let numbers = if in_part {
            format!("; {}", sent_and_held_back(self.sent_ids(), self.held_back))
        } else {
            String::new()
        };
        format!("{word}: {}{numbers}", refusal.limit)
    }

    /// When it began, if a freeze held it back.
    pub fn frozen_at(&self) -> Option<DateTime<Utc>> {
        let is_frozen = self.refusal.as_ref().is_some_and(|refusal| refusal.limit == "freeze");
        is_frozen.then_some(self.at)
    }

    /// From what the ledger remembers; `None` for a run that did not finish.
    pub fn remembered(row: RunRow) -> Option<Self> {
        let (finished_at, result) = (row.finished_at?, row.result?);
        let RunSummary { interrupted, numbers } = row.summary.unwrap_or_default();
        let refusals = numbers.as_ref().map(refusals::remembered).unwrap_or_default();
        let has_read = result.has_read();
        let counts = numbers
            .as_ref()
            .filter(|_| has_read)
            .map(|numbers| numbers.summary.into());
        let held_back = numbers.as_ref().map(|numbers| numbers.held_back).unwrap_or_default();
        let due = numbers
            .as_ref()
            .map(|numbers| Sent::still_there(numbers.summary.delete, numbers.sent.values()));
        let due = due.unwrap_or_default();
        Some(Self {
            known: counts.map(|counts| KnownBackups { counts, due, held_back }),
            run_id: Some(row.run),
            at: row.started_at,
            finished_at,
            result,
            verdict: GuardVerdict::of(!refusals.is_empty(), has_read).as_str(),
            refusal: refusals.first().map(|gravest| RefusalStatus {
                limit: gravest.limit.clone(),
                message: gravest.message.clone(),
                waits: false,
                digest: None,
            }),
            refusals,
            summary: counts,
            left: numbers.as_ref().map_or(0, |numbers| numbers.left),
            held_back,
            error: interrupted.map(|by| format!("interrupted ({by})")),
            sent: numbers.as_ref().map(|numbers| numbers.sent.clone()).unwrap_or_default(),
            unselected: numbers
                .as_ref()
                .map(|numbers| numbers.unselected.clone())
                .unwrap_or_default(),
            skipped: numbers.map(|numbers| numbers.skipped).unwrap_or_default(),
        })
    }
}

#[cfg(test)]
#[path = "snapshot_tests.rs"]
mod tests;
