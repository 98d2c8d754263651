//! The ledger: what was intended, what became of it, and what people asked for, on disk.
//!
//! An intent is committed (and fsynced) before its request leaves; one outcome for each id follows; an accepted id is
//! later confirmed or returned by a listing. These rows, and everything a person does, form a hash chain ([`chain`])
//! that is only ever appended to. Beside it lies plain state that a run needs again: grace, counts that were believed,
//! instances that were seen, keys that are blocked.
//!
//! It is *not* for deciding anything (`retention`), nor for asking the cloud (`rds`), and it knows no sentences for
//! people but those of its errors.
//!
//! The API blocks; callers in async code wrap it (`block_in_place`). One SQLite connection behind a mutex: WAL,
//! `synchronous=FULL`, immediate transactions, so that `hold` or `freeze` in another process can write beside a daemon.
//! Whoever deletes also holds the [`DeletionLock`]; that is a lock of its own, held as long as a run lasts.

pub mod approvals;
mod archive;
pub mod chain;
pub mod configured;
mod continuity;
mod deletion_lock;
mod error;
pub mod grace;
pub mod history;
pub mod holds;
pub mod key_refusals;
mod lease;
pub mod listing_doubts;
mod member;
mod notified;
pub mod observations;
pub mod observed_backups;
mod open;
mod operator_events;
mod postgres;
mod request_state;
pub mod requests;
pub mod runs;
mod schema;
pub mod settlements;
mod sql;
mod sqlite;
mod state_place;
mod ticks;
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

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Utc};

pub use approvals::{APPROVABLE_FOR, RefusedPlan};
pub use chain::Verification;
pub use configured::{freeze_key, hold_key};
pub use continuity::KnownHead;
pub use deletion_lock::DeletionLock;
pub use error::{Error, Fault};
pub use grace::{GraceKey, GracePeriod, GraceSeen, GraceStart, GraceUpdate};
pub use history::{DeletionState, PastDeletion};
pub use holds::{Actor, PlacedFreeze, PlacedHold, Thaw};
pub use key_refusals::{KeyRefusal, KeyTrial, SharedRefusal};
pub use lease::DRAIN;
pub use listing_doubts::{ListingDoubt, ListingDoubts, ListingPart};
pub use member::{Member, ProjectLease, SharedState, host_name};
pub use observations::{Believed, BelievedCounts, KnownBackup, SeenBackup, SeenInstance};
pub use observed_backups::{ObservedBackup, REMEMBERED, Remembered};
pub use open::Access;
pub use operator_events::{OperatorAct, OperatorEvent};
pub use postgres::PostgresAddress;
pub use requests::{Intent, IntentResult, LedgerWrite, Listing, OpenItem, OpenRequest, RequestKey, Written};
pub use runs::{FinishedPolicy, LastBegun, LastRuns, LeftOpen, NewRun, RunFilter, RunRow};
pub use settlements::{Pending, Unconfirmed};
use sql::Tx;
pub use state_place::StatePlace;

use crate::retention::ProjectName;

/// An open ledger.
#[derive(Debug)]
pub struct Ledger {
    /// What is sent and not settled, while this process deletes. Locked before the connection, never after it.
    under_way: Mutex<request_state::OpenRequests>,
    store: StateStore,
    /// The last head that this process knows.
    known: KnownHead,
    is_new: bool,
    created_at: DateTime<Utc>,
}

impl Ledger {
    /// Where the file lies; or what the database is called.
    pub fn path(&self) -> &Path {
        match &self.store {
            StateStore::File(file) => &file.path,
            StateStore::Shared(shared) => &shared.name,
        }
    }

    /// Whether this very `open` made it: then no grace has begun and nothing can be due that needs one.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// The last head that this process knows; for opening the same state again.
    pub fn known_head(&self) -> KnownHead {
        self.known.clone()
    }

    /// When it was made.
    pub fn created_at(&self) -> DateTime<Utc> {
        self.created_at
    }

    /// Writes and commits something trivial: tells a full disk and a read-only state before a run needs them.
    pub fn probe(&self) -> Result<(), Error> {
        self.write(|tx| {
            tx.execute(
                "UPDATE meta SET value = CAST(CAST(value AS BIGINT) + 1 AS TEXT) WHERE key = 'probes'",
                (),
            )?;
            Ok(())
        })
    }

    fn forget_under_way(&self) {
        *self.under_way.lock().unwrap_or_else(PoisonError::into_inner) = request_state::OpenRequests::default();
    }

    /// One transaction that changes what is under way. What is in memory is changed with it; after an error, or a panic, it
    /// is read again, for then it may be ahead of the disk.
    fn change<T>(
        &self,
        work: impl FnOnce(&Tx<'_>, &mut request_state::OpenRequests) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut kept = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        let mut under_way = std::mem::take(&mut *kept);
        let done = self.write(|tx| {
            under_way.keep_while(match tx {
                Tx::Lite(_) => deletion_lock::noted(tx)?.unwrap_or_default(),
                Tx::Shared(_) => lease::taken(tx)?.to_string(),
            });
            under_way.load(tx)?;
            let done = work(tx, &mut under_way)?;
            under_way.write(tx)?;
            Ok(done)
        })?;
        *kept = under_way;
        Ok(done)
    }

    /// Reads in one snapshot.
    fn read<T>(&self, work: impl FnOnce(&Tx<'_>) -> Result<T, Error>) -> Result<T, Error> {
        self.transact(TxPurpose::Read, work)
    }

    /// One immediate transaction, durable when this returns `Ok`, undone when it returns `Err`.
    fn write<T>(&self, work: impl FnOnce(&Tx<'_>) -> Result<T, Error>) -> Result<T, Error> {
        self.transact(TxPurpose::Write, work)
    }

    /// As [`Self::write`], but on disk only with the next durable transaction. For what a power failure may take, because
    /// losing it only keeps more; a killed process loses nothing.
    fn write_soon<T>(&self, work: impl FnOnce(&Tx<'_>) -> Result<T, Error>) -> Result<T, Error> {
        self.transact(TxPurpose::WriteSoon, work)
    }

    fn transact<T>(&self, purpose: TxPurpose, work: impl FnOnce(&Tx<'_>) -> Result<T, Error>) -> Result<T, Error> {
        match &self.store {
            StateStore::File(file) => file.transact(&self.known, purpose, work),
            StateStore::Shared(shared) => shared.transact(&self.known, purpose, work),
        }
    }

    /// Says that this process is a member, with such a configuration. In a file nobody else is.
    pub fn join(&self, host: &str, digest: &str) -> Result<(), Error> {
        let StateStore::Shared(shared) = &self.store else {
            return Ok(());
        };
        let mut member = shared.member.lock().unwrap_or_else(PoisonError::into_inner);
        member::Membership::join(&mut member, &shared.address, host, digest).map_err(|error| error.at(&shared.name))
    }

    /// Says that this process is no member any more; whoever does not is none 30 s after its last heartbeat.
    pub fn leave(&self) {
        if let StateStore::Shared(shared) = &self.store {
            drop(shared.member.lock().unwrap_or_else(PoisonError::into_inner).take());
        }
    }

    /// Whether this process reaches the state: always, where that is a file.
    pub fn is_in_touch(&self) -> bool {
        let StateStore::Shared(shared) = &self.store else {
            return true;
        };
        let member = shared.member.lock().unwrap_or_else(PoisonError::into_inner);
        member.as_ref().is_none_or(member::Membership::is_in_touch)
    }

    /// Whether several machines share it.
    pub fn is_shared(&self) -> bool {
        matches!(self.store, StateStore::Shared(_))
    }

    /// Writes down which member begins a run.
    fn note_member(&self, tx: &Tx<'_>, run: &str) -> Result<(), Error> {
        let StateStore::Shared(shared) = &self.store else {
            return Ok(());
        };
        if let Some(member) = &*shared.member.lock().unwrap_or_else(PoisonError::into_inner) {
            tx.execute(
                "INSERT INTO run_member (run, member) VALUES (?1, ?2)",
                (run, &member.id),
            )?;
        }
        Ok(())
    }

    /// Fails unless a deletion in the project may be intended now: by the lease, and by what all members have for a configuration.
    fn must_agree(&self, tx: &Tx<'_>, lock: &DeletionLock, project: &ProjectName) -> Result<(), Error> {
        let StateStore::Shared(shared) = &self.store else {
            return Ok(());
        };
        lock.check(tx, project)?;
        match &*shared.member.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(member) => member.check_agreement(tx),
            None => Err(Error::of_file(Fault::NoMember)),
        }
    }

    /// The file under it.
    #[cfg(test)]
    fn file(&self) -> &sqlite::FileEngine {
        match &self.store {
            StateStore::File(file) => file,
            StateStore::Shared(_) => panic!("a test of the file"),
        }
    }
}

/// The database under a ledger.
#[derive(Debug)]
enum StateStore {
    File(Box<sqlite::FileEngine>),
    Shared(Box<postgres::SharedEngine>),
}

/// What a transaction is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum TxPurpose {
    /// To read in one snapshot.
    Read,
    /// To write, on disk when it returns.
    Write,
    /// To write, on disk with the next one that must be.
    WriteSoon,
}

/// A number for an INTEGER column; what does not fit (no size or count does not) is the largest.
fn to_column(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A number from an INTEGER column; negative ones are never written.
fn from_column(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
