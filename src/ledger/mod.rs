//! The ledger: what was intended, what became of it, and what people asked for, on disk.
//!
//! An intent is committed (and fsynced) before its request leaves; one outcome for each id follows; an accepted id is
//! later confirmed or returned by a listing. These rows, and everything a person does, form a hash chain ([`chain`])
//! that is only ever appended to. Beside it lies plain state that a run needs again: grace, counts that were believed,
//! instances that were seen, keys that are blocked. The chain has sums of what permits a deletion (`grace_chain`, `observed_chain`).
//!
//! It is *not* for deciding anything (`retention`), nor for asking the cloud (`rds`), and it knows no sentences for
//! people but those of its errors.
//!
//! Three tiers; a file imports from its own and from those before it, and no two files import each other:
//!
//! 1. a database and the chain in it: `sql`, `sql_value`, `connection`, `sqlite`, `wal`, `continuity`, `postgres`, `shared_engine`, `lease`,
//!    `member`, `schema`, `chain`, `rows`, `archive`, `records`, `request_state`, `table_sum`, `set_back`, `moved`, `unfinished`; on top of them `store`, an open
//!    [`Ledger`], and `open`.
//! 2. one subject a file: requests, settlements, runs, person, configurations, protection, holds, approvals, grace, observations, …
//! 3. readers of all that: `history`, `recorded_decisions`, `verify`, `chain_check`, `export`, `operator_events`, `shared_state`, `moving`.
//!
//! The API blocks; callers in async code wrap it (`block_in_place`). One SQLite connection behind a mutex: WAL,
//! `synchronous=FULL`, immediate transactions, so that `hold` or `freeze` in another process can write beside a daemon.
//! Whoever deletes also holds the [`DeletionLock`]; that is a lock of its own, held as long as a run lasts.

mod access;
mod actor;
mod anchor_log;
mod anchors;
pub mod approvals;
mod archive;
pub mod chain;
mod chain_check;
mod configurations;
pub mod configured;
mod connection;
mod continuity;
mod decided;
mod deletion_lock;
mod error;
mod export;
mod fault;
pub mod grace;
mod grace_chain;
mod grace_restart;
pub mod history;
mod holder;
pub mod holds;
pub mod key_refusals;
mod lease;
pub mod listing_doubts;
mod member;
mod moved;
mod moving;
mod notified;
pub mod observations;
pub mod observed_backups;
mod observed_chain;
mod open;
mod open_requests;
mod open_runs;
mod operator_events;
mod operator_records;
mod person;
mod postgres;
mod postgres_login;
mod protection;
mod recorded_decisions;
mod records;
mod request_state;
pub mod requests;
mod rows;
pub mod runs;
mod schema;
mod server_check;
mod set_back;
pub mod settlements;
mod shared_engine;
mod shared_state;
mod sql;
mod sql_value;
mod sqlite;
mod state_file;
mod state_place;
mod store;
mod table_sum;
mod ticks;
mod unfinished;
mod verify;
mod wal;

#[cfg(test)]
mod fixtures;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
#[cfg(test)]
#[path = "../../tests/it/postgres_server.rs"]
mod postgres_server;
#[cfg(test)]
mod tests;

pub use access::Access;
pub use actor::Actor;
pub use anchor_log::{AnchorLog, AnchoredHead, Journal, StateKey};
pub use anchors::{key_of_missing, must_be_there};
pub use approvals::{APPROVABLE_FOR, RefusedPlan};
pub use chain_check::Verification;
pub use configurations::{RecordedFile, RunConfiguration};
pub use configured::{freeze_key, hold_key};
pub use continuity::KnownHead;
pub use decided::DecidedOn;
pub use deletion_lock::DeletionLock;
pub use error::Error;
pub use fault::Fault;
pub use grace::{GraceKey, GracePeriod, GraceSeen, GraceStart, GraceUpdate};
pub use history::PastDeletion;
pub use holder::LockSeeker;
pub use holds::{PlacedHold, Thaw};
pub use key_refusals::{KeyRefusal, KeyTrial, SharedRefusal};
pub use lease::DRAIN;
pub use listing_doubts::{ListingDoubt, ListingDoubts, ListingPart};
pub use member::host_name;
pub use moving::MovedState;
pub use observations::{Believed, BelievedCounts, KnownBackup, ObservationWriter, SeenBackup, SeenInstance};
pub use observed_backups::{ObservedBackup, ObservedChanges, REMEMBERED, Remembered};
pub use open_requests::{OpenItem, OpenRequest};
pub use open_runs::OpenRun;
pub use operator_events::{OperatorAct, OperatorEvent};
pub use person::Person;
pub use postgres::PostgresAddress;
pub use protection::{EndResult, Proposed};
pub use recorded_decisions::{IntendedDeletion, RecordedStep};
pub use records::{DeletionState, FinishedPolicy, Listing, PlacedFreeze, RequestKey};
pub use requests::{Intent, IntentResult, LedgerWrite, Written};
pub use runs::{LastBegun, LastRuns, NewRun, RunFilter, RunMark, RunRow};
pub use server_check::ServerRisk;
pub use settlements::{Pending, Unconfirmed};
pub use shared_state::{LiveMember, ProjectLease, SharedState};
pub use state_place::StatePlace;
pub use store::Ledger;
