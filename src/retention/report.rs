//! What a run did, as one value: the log line, metrics, ledger, page and JSON are all made from it.

use serde::{Deserialize, Serialize};

/// What became of one id that was sent.
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
