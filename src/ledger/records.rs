//! What the rows of the chain about runs and requests say, as they are written and read; and the states of a requested deletion.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::person::Person;
use crate::retention::report::{Interruption, RunResult, RunSummary};
use crate::retention::{BackupId, Freeze, InstanceId, Outcome, PolicyName, ProjectName};

/// Where a requested deletion stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeletionState {
    /// On disk, not answered.
    Intended,
    /// The API accepted it.
    Accepted,
    /// The API refused it.
    Rejected,
    /// It is not known whether the API acted.
    Unanswered,
    /// Its request did not begin in time: nothing was sent.
    Withdrawn,
    /// A later request for the same id stands in for it.
    Resent,
    /// Gone from the listing.
    Confirmed,
    /// Accepted, yet still there.
    Returned,
}

impl DeletionState {
    pub(super) const ALL: [Self; 8] = [
        Self::Intended,
        Self::Accepted,
        Self::Rejected,
        Self::Unanswered,
        Self::Withdrawn,
        Self::Resent,
        Self::Confirmed,
        Self::Returned,
    ];

    /// Whether it waits for an answer or a listing.
    pub(super) fn is_unsettled(self) -> bool {
        matches!(self, Self::Intended | Self::Accepted | Self::Unanswered)
    }

    /// As reports write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Intended => "intended",
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
            Self::Unanswered => "unanswered",
            Self::Withdrawn => "withdrawn",
            Self::Resent => "resent",
            Self::Confirmed => "confirmed",
            Self::Returned => "returned",
        }
    }
}

/// The listing that a decision was made on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// How many manual backups it held (its `total_count`).
    pub count: u64,
    /// When it was read.
    pub read_at: DateTime<Utc>,
}

/// Names a recorded intent: its row of the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RequestKey(pub(super) i64);

impl fmt::Display for RequestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct IntentBody {
    pub(super) run: String,
    pub(super) attempt: u32,
    pub(super) config_sha256: String,
    pub(super) project: ProjectName,
    pub(super) instances: BTreeMap<InstanceId, IntendedInstance>,
    pub(super) items: Vec<IntendedItem>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct IntendedInstance {
    pub(super) name: String,
    pub(super) listing: Listing,
}

#[derive(Serialize, Deserialize)]
pub(super) struct IntendedItem {
    pub(super) backup: BackupId,
    pub(super) name: String,
    pub(super) instance: InstanceId,
    pub(super) policy: PolicyName,
    pub(super) rule: String,
    pub(super) begin: DateTime<Utc>,
    pub(super) size_bytes: u64,
    pub(super) status: String,
    /// Earlier requests for the same id that this one stands in for, with the state each was in.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub(super) resends: Vec<(i64, DeletionState)>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct OutcomeBody {
    pub(super) request: i64,
    pub(super) run: String,
    pub(super) api_request_id: Option<String>,
    pub(super) outcomes: Vec<OutcomeItem>,
}

/// A request that did not begin in time, and was not sent.
#[derive(Serialize, Deserialize)]
pub(super) struct WithdrawnBody {
    pub(super) request: i64,
    pub(super) run: String,
    pub(super) why: String,
    pub(super) backups: Vec<BackupId>,
    /// Earlier requests that it stood in for, each with the state that it is in again.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub(super) restored: Vec<(BackupId, i64, DeletionState)>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct OutcomeItem {
    pub(super) backup: BackupId,
    #[serde(flatten)]
    pub(super) outcome: Outcome,
}

pub(super) fn state_of(outcome: &Outcome) -> DeletionState {
    match outcome {
        Outcome::Accepted => DeletionState::Accepted,
        Outcome::Rejected { .. } => DeletionState::Rejected,
        Outcome::Unanswered { .. } => DeletionState::Unanswered,
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct SettledBody {
    pub(super) run: String,
    pub(super) backups: Vec<SettledItem>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct SettledItem {
    pub(super) backup: BackupId,
    pub(super) request: i64,
    pub(super) was: DeletionState,
}

/// How a run ended for one policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FinishedPolicy {
    /// The policy.
    pub policy: PolicyName,
    /// How.
    pub result: RunResult,
    /// The report's numbers.
    pub summary: RunSummary,
}

impl FinishedPolicy {
    /// Of a run that wrote down no numbers.
    pub fn cut_short(policy: PolicyName, interruption: Interruption) -> Self {
        Self {
            policy,
            result: RunResult::Failed,
            summary: RunSummary {
                interrupted: Some(interruption),
                numbers: None,
            },
        }
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct RunBegunBody {
    pub(super) run: String,
    pub(super) cause: String,
    pub(super) config_sha256: String,
    pub(super) policies: BTreeMap<PolicyName, String>,
    /// The program's.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) version: Option<String>,
    /// Who started it, where a person did.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) person: Option<Person>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct RunFinishedBody {
    pub(super) run: String,
    pub(super) policies: Vec<FinishedPolicy>,
}

/// A freeze that was placed by command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlacedFreeze {
    /// `f` and a number.
    pub id: String,
    /// The freeze.
    #[serde(flatten)]
    pub freeze: Freeze,
    /// When it was placed.
    pub placed_at: DateTime<Utc>,
}
