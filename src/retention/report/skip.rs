//! What a run left alone, and why.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

use crate::retention::{InstanceId, ProjectName, Refusal};

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
