//! The answer of `why`: what is known of one backup, what each policy says of it, and its JSON form.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Serialize, Serializer};

use super::inventory::everything;
use crate::config::{Config, PolicyEntry};
use crate::ledger::{DeletionState, KnownBackup, PastDeletion};
use crate::retention::forecast::Expiry;
use crate::retention::policy::selected_engines;
use crate::retention::view::{JsonTime, Reasons, stamp};
use crate::retention::what_if::{Bound, EditedValue};
use crate::retention::{Backup, BackupId, Freezes, Instance, InstanceId, Mode, Policy, PolicyName, Verdict};
use crate::wording::times::interval;

#[expect(clippy::ref_option, reason = "as serde calls it")]
fn longest<S: Serializer>(freezes: &Option<Freezes>, serializer: S) -> Result<S::Ok, S::Error> {
    freezes.as_ref().map(|all| &all.longest).serialize(serializer)
}

/// All there is to say about one backup.
#[derive(Debug, Serialize)]
pub struct Answer {
    /// The moment that was decided at.
    #[serde(serialize_with = "stamp")]
    pub at: DateTime<Utc>,
    /// The backup.
    #[serde(rename = "backup_id")]
    pub id: BackupId,
    /// What the listing shows; `None` when it is not there (any more).
    #[serde(rename = "backup")]
    pub present: Option<Present>,
    /// Deletions that were requested, oldest first; `None` when there is no state to ask.
    #[serde(rename = "deletions")]
    pub past: Option<Vec<PastDeletion>>,
    /// The freezes in force: nothing is deleted meanwhile. JSON shows the one that lasts longest.
    #[serde(serialize_with = "longest")]
    pub freeze: Option<Freezes>,
    /// What the last run that saw it knew.
    #[serde(skip)]
    pub known: Option<KnownBackup>,
    /// How many more instances list this id; the answer is about the first.
    #[serde(skip)]
    pub other_instances: usize,
}

impl Answer {
    /// Of a backup that nothing is known of yet.
    pub fn new(config: &Config, typed: &str, at: DateTime<Utc>) -> Self {
        Self {
            at,
            id: BackupId::from(typed),
            present: None,
            past: None,
            freeze: Freezes::in_force(config.configured_freeze(), [], at),
            known: None,
            other_instances: 0,
        }
    }

    /// The deletions that were requested, as far as they are known.
    pub fn deletions(&self) -> &[PastDeletion] {
        self.past.as_deref().unwrap_or_default()
    }

    fn last_sent(&self) -> Option<&PastDeletion> {
        self.deletions().iter().rfind(|past| past.was_sent())
    }

    /// Whether it is gone for good, so that the API need not be asked.
    pub fn is_gone(&self) -> bool {
        self.last_sent()
            .is_some_and(|last| last.state == DeletionState::Confirmed)
    }

    /// A deletion that was sent and of which no listing has shown the end.
    pub fn under_way(&self) -> Option<&PastDeletion> {
        let open = |state| {
            matches!(
                state,
                DeletionState::Intended | DeletionState::Accepted | DeletionState::Unanswered
            )
        };
        self.last_sent().filter(|last| open(last.state))
    }

    /// What must be gathered to explain it: under which policies, of which instance.
    pub fn wanted(&self, config: &Config) -> (Vec<PolicyEntry>, Option<InstanceId>) {
        let mut policies = config.policies.clone();
        // Also what no policy manages is listed: "nothing deletes it" is an answer.
        let engines = selected_engines(policies.iter().map(|entry| &*entry.policy));
        policies.extend(everything(engines));
        (policies, self.known.as_ref().map(|known| known.instance.clone()))
    }
}

/// What became of a deletion, in few words.
pub fn became(state: DeletionState) -> &'static str {
    match state {
        DeletionState::Confirmed => "deleted",
        DeletionState::Accepted => "deletion accepted, not yet confirmed",
        DeletionState::Rejected => "a deletion was rejected",
        DeletionState::Unanswered => "a deletion was never answered",
        DeletionState::Intended => "a deletion is under way, or its process was killed",
        DeletionState::Withdrawn => "a deletion was planned and not sent",
        DeletionState::Resent => "a deletion was asked for, and asked for again later",
        DeletionState::Returned => "a deletion was asked for, and yet it was still there",
    }
}

/// A backup that is there.
#[derive(Debug)]
pub struct Present {
    /// Its instance.
    pub instance: Arc<Instance>,
    /// The backup.
    pub backup: Backup,
    /// What each policy that has it in its scope says, in the configuration's order.
    pub policies: Vec<PolicyAnswer>,
    /// Policies that select its instance, but not a backup like this one.
    pub passed_by: Vec<PolicyName>,
    /// When a kept one would expire if nothing else changed.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it would go if backups went on being made as of late.
    pub at_this_pace: Option<BackupInterval>,
}

impl Present {
    /// Whether some policy keeps it, or none has it in its scope.
    pub fn is_kept(&self) -> bool {
        self.policies.is_empty() || self.keepers().next().is_some()
    }

    /// Policies that keep it.
    pub fn keepers(&self) -> impl Iterator<Item = &PolicyName> {
        let keeps = |answer: &&PolicyAnswer| matches!(answer.verdict, Verdict::Keep(_));
        self.policies.iter().filter(keeps).map(|answer| &answer.policy.name)
    }
}

impl Serialize for Present {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct View<'a> {
            project: &'a str,
            instance_id: &'a str,
            instance_name: &'a str,
            backup_name: &'a str,
            begin_time: Option<JsonTime>,
            size_bytes: u64,
            status: &'a str,
            fate: &'static str,
            expires_at: Option<JsonTime>,
            at_this_pace: &'a Option<BackupInterval>,
            policies: &'a [PolicyAnswer],
        }
        let Self { instance, backup, .. } = self;
        let view = View {
            project: instance.project.as_str(),
            instance_id: instance.id.as_str(),
            instance_name: &instance.name,
            backup_name: &backup.name,
            begin_time: backup.begin.map(JsonTime),
            size_bytes: backup.size_bytes,
            status: backup.status.as_str(),
            fate: match (self.policies.is_empty(), self.is_kept()) {
                (true, _) => "unmanaged",
                (false, true) => "keep",
                (false, false) => "expired",
            },
            expires_at: self.expires_at.map(JsonTime),
            at_this_pace: &self.at_this_pace,
            policies: &self.policies,
        };
        view.serialize(serializer)
    }
}

/// What backups made at the usual pace would do to a kept one.
#[derive(Debug)]
pub struct BackupInterval {
    /// The usual pace.
    pub every: TimeDelta,
    /// How it goes then; `None` when it stays until the end of the forecast.
    pub departure: Option<Expiry>,
    /// Where the forecast ends.
    pub until: DateTime<Utc>,
}

impl Serialize for BackupInterval {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct View {
            backup_every: String,
            goes_at: Option<JsonTime>,
            looked_until: JsonTime,
        }
        let view = View {
            backup_every: interval(self.every),
            goes_at: self.departure.as_ref().map(|departure| JsonTime(departure.at)),
            looked_until: JsonTime(self.until),
        };
        view.serialize(serializer)
    }
}

/// What one policy says of it, on its own.
#[derive(Debug)]
pub struct PolicyAnswer {
    /// The policy.
    pub policy: Arc<Policy>,
    /// Its decision.
    pub verdict: Verdict,
    /// Of a kept one: the smallest edit that would let it go.
    pub would_go: Option<Result<EditedValue, Bound>>,
    /// Of an expired one: edits that would keep it.
    pub would_stay: Vec<EditedValue>,
    /// Of an expired one: since when, as runs have seen it; `None` also where another policy keeps it, for then no
    /// grace begins.
    pub since: Option<DateTime<Utc>>,
    /// Of an expired one: when its grace is over; counted from the next run where it has not begun. `None` as above.
    pub due_at: Option<DateTime<Utc>>,
    /// The first run that may delete it, or begin its grace.
    pub next_run: Option<DateTime<Utc>>,
}

impl PolicyAnswer {
    /// Whether what the policy lets go is deleted.
    pub fn is_enforced(&self) -> bool {
        self.policy.mode == Mode::Enforce
    }
}

impl Serialize for PolicyAnswer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct View<'a> {
            policy: &'a PolicyName,
            mode: Mode,
            decision: &'static str,
            reasons: Reasons<'a>,
            expired_since: Option<JsonTime>,
            due_at: Option<JsonTime>,
            next_run: Option<JsonTime>,
            would_go: Option<&'a EditedValue>,
            would_stay: &'a [EditedValue],
        }
        let view = View {
            policy: &self.policy.name,
            mode: self.policy.mode,
            decision: match self.verdict {
                Verdict::Keep(_) => "keep",
                Verdict::Expire(_) => "expired",
            },
            reasons: Reasons::of_verdict(&self.verdict),
            expired_since: self.since.map(JsonTime),
            due_at: self.due_at.filter(|_| self.is_enforced()).map(JsonTime),
            next_run: self.next_run.map(JsonTime),
            would_go: self.would_go.as_ref().and_then(|change| change.as_ref().ok()),
            would_stay: &self.would_stay,
        };
        view.serialize(serializer)
    }
}

/// That no listing shows the backup, and what may have been meant.
#[derive(Debug)]
pub enum NotFound {
    /// There is no backup at all.
    NothingListed,
    /// It is in no listing, and nothing there is like it.
    Nothing,
    /// It is the id or name of these instances.
    Instances(Vec<InstanceId>),
    /// These backups, each with its id, name and instance, have this name or an id that begins so. More of them may be.
    Backups(Vec<(BackupId, Arc<str>, Arc<str>)>),
}
