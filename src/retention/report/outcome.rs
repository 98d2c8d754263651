//! What became of one id that was sent, and how a run ended: the closed sets of the metrics' labels.

use serde::{Deserialize, Serialize};

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

    /// The result of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|result| result.as_str() == name)
    }

    /// Whether a run that ended so has read the world, so that its numbers mean something.
    pub fn has_read(self) -> bool {
        match self {
            Self::Success | Self::Partial | Self::Refused => true,
            Self::Failed | Self::Skipped => false,
        }
    }
}
