//! What became of a batch that was sent once, or that was not sent in time.

use std::time::Duration;

use super::credentials::Fingerprint;
use crate::retention::{BackupId, Outcome};

/// What became of one batch that was sent once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeletionAnswer {
    /// The API answered id by id.
    Results {
        /// Exactly one outcome per id asked, in the order asked.
        outcomes: Vec<(BackupId, Outcome)>,
        /// The API's request id.
        request_id: Option<String>,
    },
    /// 429: nothing happened.
    Throttled {
        /// How long the API wants to be left alone, at most 60 s.
        retry_after: Option<Duration>,
    },
    /// 4xx: the batch was refused as a whole, nothing happened.
    RefusedWhole {
        /// The HTTP status.
        status: u16,
        /// The API's code.
        code: String,
        /// The API's words.
        message: String,
        /// The API's request id.
        request_id: Option<String>,
    },
    /// It may have happened or not: time-out, reset, 5xx, an answer that cannot be read.
    Unanswered {
        /// What happened instead of an answer.
        why: String,
        /// The API's request id, where there was one.
        request_id: Option<String>,
    },
    /// 401 for the first time: nothing happened, and credentials are renewed before a repeat.
    KeyRefused {
        /// The key's, for the repeat's permit.
        fingerprint: Fingerprint,
    },
    /// The request did not begin within five seconds of its intent, or stop was requested before: nothing was sent.
    Late {
        /// What it waited for.
        by: Delay,
    },
}

/// Why a request did not begin after its intent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delay {
    /// It took too long until the intent was on disk.
    Ledger,
    /// There was no connection in time.
    Connection,
    /// Stop was requested before it began.
    Stop,
}

impl Delay {
    /// For logs and the ledger.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ledger => "writing its intent to the ledger took longer than 5 s",
            Self::Connection => "there was no connection within 5 s of its intent",
            Self::Stop => "stop was requested before it began",
        }
    }
}
