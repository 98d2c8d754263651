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
mod error;
pub mod grace;
pub mod history;
pub mod holds;
pub mod key_refusals;
pub mod observations;
pub mod observed_backups;
mod open;
mod request_state;
pub mod requests;
pub mod runs;
mod schema;
pub mod settlements;
mod verify;
mod wal;

#[cfg(test)]
mod fixtures;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Utc};
use rusqlite::config::DbConfig;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, Transaction, TransactionBehavior};

pub use approvals::{APPROVABLE_FOR, RefusedPlan};
pub use chain::Verification;
pub use configured::{freeze_key, hold_key};
use continuity::Commit;
pub use continuity::KnownHead;
pub use error::{Error, Fault};
pub use grace::{GraceKey, GracePeriod, GraceSeen, GraceStart, GraceUpdate};
pub use history::{DeletionState, PastDeletion};
pub use holds::{Actor, PlacedFreeze, PlacedHold, Thaw};
pub use key_refusals::KeyRefusal;
pub use observations::{Believed, BelievedCounts, KnownBackup, SeenBackup, SeenInstance};
pub use observed_backups::{ObservedBackup, REMEMBERED, Remembered};
pub use open::{Access, DeletionLock};
pub use requests::{Intent, IntentResult, LedgerWrite, Listing, OpenItem, OpenRequest, RequestKey, Written};
pub use runs::{FinishedPolicy, LastBegun, LastRuns, LeftOpen, NewRun, RunFilter, RunRow};
pub use settlements::{Pending, Unconfirmed};

/// An open ledger.
#[derive(Debug)]
pub struct Ledger {
    /// What is sent and not settled, while this process deletes. Locked before the connection, never after it.
    under_way: Mutex<request_state::OpenRequests>,
    connection: Mutex<Connection>,
    /// Whether each commit is on disk when it returns (1) or soon (0), as the connection was last told; changed with the
    /// connection locked. Saying it costs as much as a small transaction.
    is_full: AtomicU8,
    /// The state directory, canonical.
    dir: PathBuf,
    path: PathBuf,
    /// The files that are open.
    files: continuity::Files,
    /// The last head that this process knows.
    known: KnownHead,
    /// Opened for reading only.
    reads_only: bool,
    is_new: bool,
    created_at: DateTime<Utc>,
}

impl Ledger {
    /// Where the file lies.
    pub fn path(&self) -> &Path {
        &self.path
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
            tx.prepare_cached("UPDATE meta SET value = CAST(value AS INTEGER) + 1 WHERE key = 'probes'")?
                .execute([])?;
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
        work: impl FnOnce(&Transaction<'_>, &mut request_state::OpenRequests) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut kept = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        let mut under_way = std::mem::take(&mut *kept);
        let done = self.write(|tx| {
            under_way.load(tx)?;
            let done = work(tx, &mut under_way)?;
            under_way.write(tx)?;
            Ok(done)
        })?;
        *kept = under_way;
        Ok(done)
    }

    /// Reads in one snapshot.
    fn read<T>(&self, work: impl FnOnce(&Transaction<'_>) -> Result<T, Error>) -> Result<T, Error> {
        self.transact(TransactionBehavior::Deferred, Durable::Now, work)
    }

    /// One immediate transaction, durable when this returns `Ok`, undone when it returns `Err`.
    fn write<T>(&self, work: impl FnOnce(&Transaction<'_>) -> Result<T, Error>) -> Result<T, Error> {
        self.transact(TransactionBehavior::Immediate, Durable::Now, work)
    }

    /// As [`Self::write`], but on disk only with the next durable transaction. For what a power failure may take, because
    /// losing it only keeps more; a killed process loses nothing.
    fn write_soon<T>(&self, work: impl FnOnce(&Transaction<'_>) -> Result<T, Error>) -> Result<T, Error> {
        self.transact(TransactionBehavior::Immediate, Durable::Soon, work)
    }

    fn transact<T>(
        &self,
        behavior: TransactionBehavior,
        durable: Durable,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        // A panic while it was held rolled its transaction back, so what the lock protects is sound.
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        // What is written into a file that was moved away is lost with it, and a hold in the one that took its place unseen.
        self.files.check(&self.path, self.reads_only)?;
        let writes = matches!(behavior, TransactionBehavior::Immediate);
        let attempt = |connection: &mut Connection| -> Result<T, Error> {
            let (looked, is_touched) = self.files.look(&self.path, connection)?;
            if !writes {
                self.check_log(connection, Commit::Nothing)?;
            }
            let tx = connection.transaction_with_behavior(behavior)?;
            if writes && !self.is_log_good(Commit::Nothing)? {
                return Err(self.log_lost(&tx));
            }
            let (changes, rows) = (tx.total_changes(), chain::noted(&tx)?.0);
            self.known.check(&tx, is_touched)?;
            let value = work(&tx)?;
            let seen = self.known.seen(&tx)?;
            let written = match (tx.total_changes() != changes, chain::noted(&tx)?.0 > rows) {
                (_, true) => Commit::Row,
                (true, false) => Commit::Something,
                (false, false) => Commit::Nothing,
            };
            tx.commit()?;
            self.known.learn(seen);
            if written != Commit::Nothing {
                self.check_log(connection, written)?;
            }
            self.files.accept(&self.path, looked, writes);
            Ok(value)
        };
        // Sure before each write and not put back after it: whatever became of the one before, an intent is on disk before its
        // request.
        let level = match durable {
            Durable::Now => "FULL",
            Durable::Soon => "NORMAL",
        };
        let is_now = durable == Durable::Now;
        let set = || {
            // Unknown until it is said again, should saying it fail.
            let known = self.is_full.swap(UNKNOWN, Ordering::Relaxed);
            if known != u8::from(is_now) {
                connection.pragma_update(None, "synchronous", level)?;
            }
            self.is_full.store(u8::from(is_now), Ordering::Relaxed);
            Ok::<(), Error>(())
        };
        let ready = match behavior {
            TransactionBehavior::Deferred => Ok(()),
            _ => set(),
        };
        ready
            .and_then(|()| attempt(&mut connection))
            .map_err(|error| error.at(&self.path))
    }

    /// Fails where what is committed would not outlast this process. In doubt it looks again while nobody else can write.
    fn check_log(&self, connection: &mut Connection, written: Commit) -> Result<(), Error> {
        if self.is_log_good(written)? {
            return Ok(());
        }
        let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if self.is_log_good(written)? {
            return Ok(());
        }
        Err(self.log_lost(&tx))
    }

    /// What became of it. What is wrong in the log must not be copied into the file when this process ends.
    fn log_lost(&self, tx: &Transaction<'_>) -> Error {
        let _ = tx.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
        // Beside a log that was emptied in order, it is the file that was set back.
        let file = self.known.check(tx, true).err().filter(Error::is_lost);
        file.unwrap_or_else(|| Error::of_file(Fault::Replaced))
    }

    fn is_log_good(&self, written: Commit) -> Result<bool, Error> {
        // Who only reads may have no part in a log.
        if self.reads_only {
            return Ok(true);
        }
        let is_in_file = || {
            let alone = open::open_immutable(&self.path);
            alone.is_ok_and(|(file, _)| {
                file.unchecked_transaction()
                    .is_ok_and(|tx| self.known.check(&tx, false).is_ok())
            })
        };
        let is_good = self.files.is_log_good(&self.path, written, is_in_file);
        is_good.map_err(|error| Error::storage(&self.path, Fault::Io(error)))
    }
}

/// Neither of the two.
const UNKNOWN: u8 = 2;

/// When a transaction is on disk.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Durable {
    /// When it returns.
    Now,
    /// With the next one that must be.
    Soon,
}

/// An instant as the tables keep it: microseconds since 1970, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp(DateTime<Utc>);

impl ToSql for Stamp {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.0.timestamp_micros().into())
    }
}

impl FromSql for Stamp {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let micros = value.as_i64()?;
        DateTime::from_timestamp_micros(micros)
            .map(Self)
            .ok_or(FromSqlError::OutOfRange(micros))
    }
}

/// A number for an INTEGER column; what does not fit (no size or count does not) is the largest.
fn to_column(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A number from an INTEGER column; negative ones are never written.
fn from_column(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
