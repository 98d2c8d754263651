//! Layer 4: what a running process knows of itself and of its last runs, and how it is shown.
//!
//! ```text
//! shared_status     written by the daemon, read by `web`; holds and past runs it reads from the ledger
//! daemon_state      what the daemon writes
//! snapshot          one value with everything: `/api/v1/status` and the page are made from it
//! problems          what an operator should look at
//! process_metrics   the metrics of a process, also for `apply --metrics-file`
//! shared_ledger     a ledger that may be closed and opened again
//! new_state         a warning for a new state directory
//! ```

mod daemon_state;
mod new_state;
mod problems;
pub mod process_metrics;
mod shared_ledger;
mod shared_status;
mod snapshot;

pub use daemon_state::DaemonState;
pub use new_state::warn_if_new;
pub use shared_ledger::SharedLedger;
pub use shared_status::SharedStatus;
pub use snapshot::{
    ConfigStatus, Counts, FreezeStatus, LastRun, PolicyStatus, Problem, RefusalStatus, Sizes, Status, StorageDay,
};
