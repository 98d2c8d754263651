//! What a run found and did, as one value: the log line, metrics, ledger, page, tables and JSON are all made from it.
//!
//! Not for words: reasons stay typed here, sentences are made where they are shown.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::iter::Sum;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize, Serializer};

use super::orphan::Orphan;
use super::{
    Backup, BackupId, ExpireReason, Instance, InstanceId, KeepReason, KeepRule, Mode, Policy, PolicyName, ProjectName,
    Refusal, Zone,
};

/// What the API said of one id that was sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// The deletion task was accepted (code `0`). Not yet gone: only a listing confirms that.
    Accepted,
    /// The API refused this id; its code and message, verbatim.
    Rejected {
        /// `DBS.200054` and the like.
        code: String,
        /// The API's words.
        message: String,
    },
    /// It is not known whether the API acted: time-out, reset, 5xx, an answer that says nothing of this id.
    Unanswered {
        /// What happened instead of an answer.
        why: String,
    },
}

/// What is known of one sent id when the run ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// What the API said, not yet seen in a listing.
    Answered(Outcome),
    /// Gone from the listing.
    Confirmed,
    /// Still COMPLETED half an hour after it was accepted.
    Returned,
}

impl Fate {
    /// The outcome's name in JSON and in `deletions_total`.
    pub fn key(&self) -> &'static str {
        match self {
            Self::Answered(Outcome::Accepted) => "accepted",
            Self::Answered(Outcome::Rejected { .. }) => "rejected",
            Self::Answered(Outcome::Unanswered { .. }) => "unanswered",
            Self::Confirmed => "confirmed",
            Self::Returned => "returned",
        }
    }

    /// Every name [`Self::key`] can give: the closed set of the metric's label.
    pub const KEYS: [&'static str; 5] = ["accepted", "rejected", "unanswered", "confirmed", "returned"];
}

/// How a run of a policy ended: the closed set of `runs_total`'s label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunResult {
    /// Everything that was approved was done, also when there was nothing to do.
    Success,
    /// Something was left undone.
    Partial,
    /// The world could not be read, or nothing is allowed.
    Failed,
    /// The guard held something back.
    Refused,
    /// It did not run, because another run was under way.
    Skipped,
}

impl RunResult {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Success, Self::Partial, Self::Failed, Self::Refused, Self::Skipped];

    /// The name in metrics and the ledger.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Partial => "partial",
            Self::Failed => "failed",
            Self::Refused => "refused",
            Self::Skipped => "skipped",
        }
    }

    /// Whether a run that ended so has read the world, so that its numbers mean something.
    pub fn has_read(self) -> bool {
        match self {
            Self::Success | Self::Partial | Self::Refused => true,
            Self::Failed | Self::Skipped => false,
        }
    }
}

/// A number of backups and their size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// How many.
    pub count: u64,
    /// Their size.
    pub bytes: u64,
}

impl Tally {
    /// Counts one more.
    pub fn add(&mut self, bytes: u64) {
        self.count += 1;
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            count: self.count + other.count,
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }
}

/// A policy's decisions in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Kept.
    pub keep: Tally,
    /// Expired, their grace not over.
    pub wait: Tally,
    /// Due.
    pub delete: Tally,
}

impl Summary {
    /// The number in which such a decision is counted.
    pub fn of(&mut self, action: &Action) -> &mut Tally {
        match action {
            Action::Keep(_) => &mut self.keep,
            Action::Wait { .. } => &mut self.wait,
            Action::Delete(_) => &mut self.delete,
        }
    }

    /// How many backups were decided on.
    pub fn count(&self) -> u64 {
        self.keep.count + self.wait.count + self.delete.count
    }
}

/// A decision with grace taken into account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// It stays.
    Keep(Vec<KeepReason>),
    /// It expired; its grace is not over.
    Wait {
        /// Why it expired.
        reason: ExpireReason,
        /// When its grace began; `None` where no run has begun it (plan, dry-run).
        since: Option<DateTime<Utc>>,
        /// When its grace will be over, counted from now where it has not begun.
        due_at: Option<DateTime<Utc>>,
    },
    /// It is due.
    Delete(ExpireReason),
}

impl Action {
    /// The name in reports and metrics.
    pub fn key(&self) -> &'static str {
        match self {
            Self::Keep(_) => "keep",
            Self::Wait { .. } => "wait",
            Self::Delete(_) => "delete",
        }
    }
}

/// One backup in a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its instance.
    pub instance: Arc<Instance>,
    /// The backup.
    pub backup: Backup,
    /// What happens to it.
    pub action: Action,
    /// When a kept one would expire if nothing else changed.
    pub expires_at: Option<DateTime<Utc>>,
    /// What became of it, if it was sent. Shared, for most of a run's ids have one of a few fates.
    pub fate: Option<Arc<Fate>>,
}

/// One policy's decisions on one instance in numbers.
#[derive(Clone, Debug)]
pub struct InstanceSummary {
    /// The instance.
    pub instance: Arc<Instance>,
    /// The decisions in numbers.
    pub summary: Summary,
    /// When the oldest kept backup was begun; `None` where none is kept that says when.
    pub oldest_kept: Option<DateTime<Utc>>,
}

impl InstanceSummary {
    /// Of an instance of which nothing was decided yet.
    pub fn new(instance: Arc<Instance>) -> Self {
        Self {
            instance,
            summary: Summary::default(),
            oldest_kept: None,
        }
    }

    /// Counts one decision.
    pub fn add(&mut self, action: &Action, backup: &Backup) {
        self.summary.of(action).add(backup.size_bytes);
        if matches!(action, Action::Keep(_)) {
            self.oldest_kept = [self.oldest_kept, backup.begin].into_iter().flatten().min();
        }
    }
}

/// Why a grace period that had started does not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Restart {
    /// A hold has covered the backup since.
    HoldEnded,
    /// No enforcing run of the policy has seen it expired for too long.
    NotSeen,
    /// It is dated ahead of now.
    StartAhead,
}

impl Restart {
    /// The name in JSON and logs.
    pub fn key(&self) -> &'static str {
        match self {
            Self::HoldEnded => "hold_ended",
            Self::NotSeen => "not_seen",
            Self::StartAhead => "start_ahead",
        }
    }
}

/// What one policy found and did.
#[derive(Clone, Debug)]
pub struct PolicyReport {
    /// Its name.
    pub policy: PolicyName,
    /// Whether it acts.
    pub mode: Mode,
    /// The zone it decided in.
    pub zone: Zone,
    /// How it ended.
    pub result: RunResult,
    /// What the guard held back, the gravest first; empty means that it held back nothing.
    pub refusals: Vec<Refusal>,
    /// What `approve --plan` calls the ids that `max_deletions` or `max_percent` held back, where a run was refused them.
    pub digest: Option<String>,
    /// Its decisions in numbers.
    pub summary: Summary,
    /// The same by instance; instances without a backup in its scope are left out.
    pub instances: Vec<InstanceSummary>,
    /// Backups that no policy has in scope, by project, on instances of which this is the first policy.
    pub unselected: BTreeMap<ProjectName, u64>,
    /// Its keep rules, to say of an expired backup what it lacks.
    pub rules: Vec<KeepRule>,
    /// Its decisions, where they were asked for.
    pub rows: Vec<Row>,
    /// What became of what was sent, by project.
    pub sent: BTreeMap<ProjectName, Sent>,
    /// Grace periods that this run restarts, or would, by why.
    pub restarted: BTreeMap<Restart, u64>,
    /// Approved, but not sent in this run (time budget, stop, a project that stopped answering, held meanwhile).
    pub left: u64,
    /// How many of the due the guard let pass.
    pub approved: u64,
    /// Due, and held back by the guard or a freeze.
    pub held_back: Tally,
    /// Of a dry-run policy: what the guard would hold back if the policy were enforced and every grace period were over.
    pub when_enforced: Option<Vec<Refusal>>,
}

/// What the guard said of a policy's plan, as reports call it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuardVerdict {
    /// It held nothing back.
    Approved,
    /// It held something back, or all of it.
    Refused,
    /// There was no plan to ask about: nothing of the policy could be read.
    Unknown,
}

impl GuardVerdict {
    /// Of what was refused, by a run that ended so.
    pub fn of(is_refused: bool, has_read: bool) -> Self {
        match (has_read, is_refused) {
            (false, _) => Self::Unknown,
            (true, true) => Self::Refused,
            (true, false) => Self::Approved,
        }
    }

    /// The name in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Approved => "approved",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
        }
    }
}

impl PolicyReport {
    /// Of a policy that ended so, and found and did nothing.
    pub fn new(policy: PolicyName, mode: Mode, zone: Zone, result: RunResult) -> Self {
        Self {
            policy,
            mode,
            zone,
            result,
            refusals: Vec::new(),
            digest: None,
            summary: Summary::default(),
            instances: Vec::new(),
            unselected: BTreeMap::new(),
            rules: Vec::new(),
            rows: Vec::new(),
            sent: BTreeMap::new(),
            restarted: BTreeMap::new(),
            left: 0,
            approved: 0,
            held_back: Tally::default(),
            when_enforced: None,
        }
    }

    /// What the guard said of its plan.
    pub fn verdict(&self) -> GuardVerdict {
        GuardVerdict::of(!self.refusals.is_empty(), self.result.has_read())
    }

    /// Whether the guard let nothing of what is due pass.
    pub fn is_wholly_refused(&self) -> bool {
        !self.refusals.is_empty() && self.approved == 0 && self.summary.delete.count > 0
    }

    /// Whether it has read the world, so that its numbers mean something. A run that lost its state has none.
    pub fn has_read(&self) -> bool {
        let lost = |refusal: &Refusal| matches!(refusal, Refusal::Ledger { .. } | Refusal::Members { .. });
        self.result.has_read() && !self.refusals.iter().any(lost)
    }
}

/// What became of the ids a policy sent to one project.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// By the name of their final outcome in this run.
    pub fates: BTreeMap<String, u64>,
    /// Rejected ones by the API's code.
    pub codes: BTreeMap<String, u64>,
    /// Size of the confirmed ones.
    pub confirmed_bytes: u64,
}

/// Why an instance, or a whole project, was left alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SkipReason {
    /// Its listing did not agree with itself, or could not be read.
    Listing,
    /// Its listing fell by more than half.
    Shrink,
    /// The API does not allow it, or the credentials do not work.
    NotAllowed,
    /// The API could not be reached, or answers nonsense.
    Unreachable,
    /// The project cannot be asked as it is configured: IAM knows none or several of its region, the endpoint is another one.
    Configuration,
    /// The run's time budget was over, or stop was requested.
    Budget,
    /// The API refused or throttled a batch so that sending more made no sense.
    Refused,
    /// The guard.
    Guard(Box<Refusal>),
}

impl SkipReason {
    /// The name in reports.
    pub fn key(&self) -> &'static str {
        match self {
            Self::Listing => "listing",
            Self::Shrink => "shrink",
            Self::NotAllowed => "not_allowed",
            Self::Unreachable => "unreachable",
            Self::Configuration => "configuration",
            Self::Budget => "budget",
            Self::Refused => "refused",
            Self::Guard(refusal) => refusal.limit(),
        }
    }
}

/// An instance, or a whole project, that was left alone; as JSON in the contract's form.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Skip {
    /// The project.
    pub project: ProjectName,
    /// The instance; `None` for the whole project.
    #[serde(rename = "instance_id")]
    pub instance: Option<InstanceId>,
    /// Why.
    #[serde(serialize_with = "by_key")]
    pub reason: SkipReason,
    /// The details, for a reader.
    pub message: String,
}

fn by_key<S: Serializer>(reason: &SkipReason, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(reason.key())
}

/// What was left alone, as the ledger keeps it and status shows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SkipRecord {
    /// The project.
    pub project: ProjectName,
    /// The instance; `None` for the whole project.
    pub instance_id: Option<InstanceId>,
    /// The instance's name, where the run knew it.
    pub instance_name: Option<String>,
    /// Why: the name of a [`SkipReason`].
    pub reason: String,
    /// The details, for a reader.
    pub message: String,
}

impl SkipRecord {
    /// Of what a run left alone.
    pub fn of(report: &RunReport, skip: &Skip) -> Self {
        let name = skip.instance.as_ref().map(|id| report.name_of(id).to_string());
        Self {
            project: skip.project.clone(),
            instance_id: skip.instance.clone(),
            instance_name: name.filter(|name| skip.instance.as_ref().is_some_and(|id| id.as_str() != name)),
            reason: skip.reason.key().to_owned(),
            message: skip.message.clone(),
        }
    }
}

impl fmt::Display for SkipRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.instance_name, &self.instance_id) {
            (Some(name), _) => write!(f, "{name} ({})", self.project)?,
            (None, Some(id)) => write!(f, "instance {id} ({})", self.project)?,
            (None, None) => write!(f, "project {}", self.project)?,
        }
        write!(f, ": {}: {}", self.reason, self.message)
    }
}

/// Policies that claim the same instances.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Overlap {
    /// Their names, in the configuration's order.
    pub policies: Vec<PolicyName>,
    /// How many instances they share.
    pub instances: u64,
}

/// The instances of a project by how policies see them; the gauge `instances` is the sum over the projects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceCounts {
    /// Claimed by at least one policy.
    pub managed: u64,
    /// Claimed by none.
    pub unmanaged: u64,
    /// Claimed by more than one.
    pub overlapping: u64,
    /// Left alone because their backups could not be read.
    pub failed: u64,
}

impl<'a> Sum<&'a Self> for InstanceCounts {
    fn sum<I: Iterator<Item = &'a Self>>(counts: I) -> Self {
        counts.fold(Self::default(), |sum, one| Self {
            managed: sum.managed + one.managed,
            unmanaged: sum.unmanaged + one.unmanaged,
            overlapping: sum.overlapping + one.overlapping,
            failed: sum.failed + one.failed,
        })
    }
}

/// A deletion of an earlier run that this run's listing settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// The policy that deleted it.
    pub policy: PolicyName,
    /// Its project.
    pub project: ProjectName,
    /// Confirmed or returned.
    pub fate: Fate,
    /// Its size.
    pub size_bytes: u64,
}

/// One run: every policy that ran in it, and what concerned them all.
#[derive(Clone, Debug)]
pub struct RunReport {
    /// Its id (UUID version 7); `None` for `plan`, which is no run.
    pub run_id: Option<String>,
    /// The one reading of the clock that decided.
    pub at: DateTime<Utc>,
    /// When it ended.
    pub finished_at: DateTime<Utc>,
    /// What each policy found and did, in the configuration's order.
    pub policies: Vec<PolicyReport>,
    /// Instances that no policy claims.
    pub unmanaged: Vec<Arc<Instance>>,
    /// Policies that share instances.
    pub overlaps: Vec<Overlap>,
    /// What was left alone, and why.
    pub skipped: Vec<Skip>,
    /// Instances in numbers, by project: those of the projects whose list was believed.
    pub instances: BTreeMap<ProjectName, InstanceCounts>,
    /// Deletions, accepted or unanswered, that no listing has confirmed yet, by project, earlier runs included.
    pub unconfirmed: BTreeMap<ProjectName, u64>,
    /// Requests made to the API.
    pub calls: u64,
    /// The ledger's head hash after the run, for `audit verify --head`.
    pub ledger_head: Option<String>,
    /// Deletions of earlier runs that this run's listings settled.
    pub settled_earlier: Vec<Settled>,
    /// The names of the instances that were left alone, where their list was believed.
    pub names: HashMap<InstanceId, Arc<str>>,
    /// Deleted instances whose backups remain.
    pub orphans: Vec<Orphan>,
    /// Holds and name patterns that cover nothing, by the last believed listings. In words: they are for people alone.
    pub notices: Vec<String>,
    /// What became of the ids that were sent, where single decisions are wanted and the report holds no rows of them.
    pub fates: HashMap<BackupId, Arc<Fate>>,
}

impl RunReport {
    /// At this moment, with nothing found and done.
    pub fn new(at: DateTime<Utc>) -> Self {
        Self {
            run_id: None,
            at,
            finished_at: at,
            policies: Vec::new(),
            unmanaged: Vec::new(),
            overlaps: Vec::new(),
            skipped: Vec::new(),
            instances: BTreeMap::new(),
            unconfirmed: BTreeMap::new(),
            calls: 0,
            ledger_head: None,
            settled_earlier: Vec::new(),
            names: HashMap::new(),
            orphans: Vec::new(),
            notices: Vec::new(),
            fates: HashMap::new(),
        }
    }

    /// The report of a run that has none of its own: every policy ended like this.
    pub fn failed_report<'p>(
        policies: impl Iterator<Item = &'p Policy>,
        (at, finished_at): (DateTime<Utc>, DateTime<Utc>),
        result: RunResult,
        refusal: Option<&Refusal>,
    ) -> Self {
        let of = |policy: &Policy| PolicyReport {
            refusals: refusal.cloned().into_iter().collect(),
            ..PolicyReport::new(policy.name.clone(), policy.mode, policy.zone, result)
        };
        Self {
            // It may have had one, which went down with it; the metrics count what has one.
            run_id: Some(String::new()),
            finished_at,
            policies: policies.map(of).collect(),
            ..Self::new(at)
        }
    }

    /// An instance's name as the run knows it, else its id.
    pub fn name_of(&self, instance: &InstanceId) -> Arc<str> {
        let of_policies = || {
            let mut all = self.policies.iter().flat_map(|policy| &policy.instances);
            let of = all.find(|of| of.instance.id == *instance)?;
            Some(Arc::clone(&of.instance.name))
        };
        let name = self.names.get(instance).map(Arc::clone).or_else(of_policies);
        name.unwrap_or_else(|| instance.as_str().into())
    }

    /// Ids sent in this run whose final outcome has this name.
    pub fn sent(&self, fate: &str) -> u64 {
        self.policies
            .iter()
            .flat_map(|policy| policy.sent.values())
            .filter_map(|sent| sent.fates.get(fate))
            .sum()
    }

    /// What became of a backup that was sent, for the rows of every policy that shows it.
    pub fn mark(&mut self, fates: &HashMap<BackupId, Arc<Fate>>) {
        for row in self.policies.iter_mut().flat_map(|policy| &mut policy.rows) {
            row.fate = fates.get(&row.backup.id).cloned();
        }
    }
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
