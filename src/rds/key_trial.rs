//! What several processes that share a state know of access keys: one of them tries an unproven key at a time.
//!
//! The API locks a key by its refusals in a row, whichever process sent the requests. So before a request that goes alone the process asks
//! for the right to try the key, and takes over what all of them were answered; others are looked at again while it sends. Not for what a
//! refusal means (`key_lockout`), nor for where it is kept (the ledger).

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::credentials::Fingerprint;

/// How often the history of a key that is in use is read again.
pub(super) const REREAD: Duration = Duration::from_secs(1);
/// How long the shared state may be unreachable before a key counts as one that must not be used.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// A refusal of an access key within the last hour, by whichever process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownRefusal {
    /// The fingerprint of access key, secret and token together.
    pub whole: String,
    /// When, by the clock of the process that wrote it down.
    pub at: DateTime<Utc>,
    /// How long ago, by the clock that they share.
    pub age: Duration,
    /// For how long, from then on, it blocks the key.
    pub blocked_for: Option<Duration>,
}

/// What all processes know of a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyHistory {
    /// The refusals of its access key within the last hour.
    pub refusals: Vec<KnownRefusal>,
    /// How often the whole key was refused since it was last proven or blocked.
    pub in_a_row: usize,
}

/// Whether a process may try a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyClaim {
    /// No other process shares the state.
    Local,
    /// Another process is trying it.
    Busy,
    /// The state cannot be reached.
    Unavailable,
    /// It may, until it says what became of it.
    Granted(KeyHistory),
}

/// The state that processes share.
pub trait KeyTrials: Send + Sync {
    /// Asks for the right to try a key.
    fn claim(&self, key: &Fingerprint) -> KeyClaim;
    /// What all know of a key; `None` where no other process shares the state, or it cannot be reached.
    fn read(&self, key: &Fingerprint) -> Option<KeyHistory>;
    /// Gives the right back.
    fn release(&self, key: &Fingerprint, is_proven: bool);
}
