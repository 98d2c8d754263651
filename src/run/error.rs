//! Why a run could not be made.

use crate::ledger;
use crate::retention::PolicyName;

/// Why a run could not be made. What went wrong with single projects and instances is in the report instead.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The ledger could not be read or written. Nothing is sent after that.
    #[error(transparent)]
    Ledger(#[from] ledger::Error),
    /// A policy that the configuration does not have.
    #[error("no policy is named `{name}`; the configuration has: {known}")]
    NoSuchPolicy {
        /// What was asked for.
        name: PolicyName,
        /// What there is.
        known: String,
    },
    /// An apply without a ledger.
    #[error("a run needs the ledger, and there is none")]
    NoLedger,
    /// The ledger's writer ended before the batches did.
    #[error("the part of the run that writes the ledger ended; nothing more is sent")]
    LedgerWriterGone,
    /// A task of the run panicked; its run fails, the program goes on.
    #[error("a part of the run panicked: {0}")]
    Panicked(#[from] tokio::task::JoinError),
}
