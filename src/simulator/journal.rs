//! What arrived at the simulator and what became of it.

use chrono::{DateTime, Utc};

use super::faults::Op;

/// One request, also when a fault answered it or nothing did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Counts from 0 in order of arrival.
    pub number: usize,
    /// None: no such operation.
    pub operation: Option<Op>,
    /// `GET` and the like.
    pub method: String,
    /// Without the query, as sent.
    pub path: String,
    /// As sent.
    pub query: String,
    /// The access key it names, whether or not the signature is right.
    pub claimed: Option<String>,
    /// The access key that signed it, once the signature was found right.
    pub access: Option<String>,
    /// The instance named in the path or the query.
    pub instance: Option<String>,
    /// The backups asked to be deleted.
    pub backup_ids: Vec<String>,
    /// The faults that applied.
    pub faults: Vec<String>,
    /// None: no answer was sent (yet).
    pub status: Option<u16>,
    /// Whether the service did what was asked: for a deletion, that at least one was accepted.
    pub done: bool,
    /// By the simulator's clock.
    pub at: DateTime<Utc>,
}
