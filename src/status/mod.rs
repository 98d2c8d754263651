//! Layer 4: what a running process knows of itself and of its last runs, and how it is shown.
//!
//! ```text
//! shared_status     written by the daemon, read by `web`; holds and past runs it reads from the ledger
//! daemon_state      what the daemon writes
//! snapshot          one value with everything: `/api/v1/status` and the page are made from it
//! assemble          puts it together
//! at_rest           the same without a daemon, for the terminal
//! recent            the last runs and deletions of the ledger
//! problems          what an operator should look at
//! alerts            the same by cause, with the command that helps, and the headline
//! process_metrics   the metrics of a process, also for `apply --metrics-file`
//! shared_ledger     a ledger that may be closed and opened again
//! new_state         a warning for a new state directory
//! ```

mod alerts;
mod assemble;
mod at_rest;
mod daemon_state;
mod new_state;
mod problems;
pub mod process_metrics;
mod recent;
mod shared_ledger;
mod shared_status;
mod snapshot;

pub use alerts::{Alert, Health, alerts, health};
pub use at_rest::{at_rest, of_state};
pub use daemon_state::{DaemonState, UnreadProject};
pub use new_state::warn_if_new;
pub use recent::Recent;
pub use shared_ledger::SharedLedger;
pub use shared_status::SharedStatus;
pub use snapshot::{
    ConfigStatus, Counts, FreezeStatus, KnownBackups, LastRun, PolicyStatus, RefusalStatus, Sizes, Status,
    StatusProblem, StorageDay,
};
