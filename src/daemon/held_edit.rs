//! A newer configuration that keeps less and waits: it is applied when its files are closed and have been left alone.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::Instant;

/// How often the files of a held edit are checked.
pub(super) const CHECK_EVERY: Duration = Duration::from_millis(500);

/// A configuration that waits. It is read again before it is applied.
#[derive(Debug)]
pub(super) struct HeldEdit {
    pub(super) sha256: String,
    /// Its files and those of the configuration applied last, as they are now.
    pub(super) fingerprints: BTreeMap<PathBuf, Option<u64>>,
    pub(super) quiet_since: Instant,
    pub(super) next_check: Instant,
}
