//! The ledger in a file: one SQLite connection, what SQLite itself does not notice about its files, and what is on disk when.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, TransactionBehavior};

use super::access::TxPurpose;
use super::continuity::{CheckOperatorRows, Commit, Files};
use super::sql::Tx;
use super::{Error, Fault, KnownHead, chain, connection};

/// An open file.
#[derive(Debug)]
pub(super) struct FileEngine {
    pub(super) connection: Mutex<Connection>,
    /// Whether each commit is on disk when it returns (1) or soon (0), as the connection was last set; changed with the
    /// connection locked. Saying it costs as much as a small transaction.
    is_full: AtomicU8,
    /// The state directory, canonical.
    pub(super) dir: PathBuf,
    pub(super) path: PathBuf,
    /// The files that are open.
    files: Files,
    /// Opened for reading only.
    reads_only: bool,
    check_operator_rows: CheckOperatorRows,
}

impl FileEngine {
    pub(super) fn new(
        connection: Connection,
        dir: PathBuf,
        path: PathBuf,
        reads_only: bool,
        check_operator_rows: CheckOperatorRows,
    ) -> Self {
        Self {
            connection: Mutex::new(connection),
            is_full: AtomicU8::new(UNKNOWN),
            files: Files::of(&path),
            reads_only,
            check_operator_rows,
            dir,
            path,
        }
    }

    /// One transaction: immediate where it writes, undone when `work` fails.
    pub(super) fn transact<T>(
        &self,
        known: &KnownHead,
        purpose: TxPurpose,
        work: impl FnOnce(&Tx<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        // A panic while it was held rolled its transaction back, so what the lock protects is sound.
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        // What is written into a file that was moved away is lost with it, and a hold in the one that took its place unseen.
        self.files.check(&self.path, self.reads_only)?;
        let writes = purpose != TxPurpose::Read;
        let behavior = if writes {
            TransactionBehavior::Immediate
        } else {
            TransactionBehavior::Deferred
        };
        let attempt = |connection: &mut Connection| -> Result<T, Error> {
            let (looked, is_touched) = self.files.look(&self.path, connection)?;
            if !writes {
                self.check_log(known, connection, Commit::Nothing)?;
            }
            let tx = Tx::Lite(connection.transaction_with_behavior(behavior)?);
            if writes && !self.is_log_good(known, Commit::Nothing)? {
                return Err(self.log_lost(known, &tx));
            }
            let (changes, rows) = (tx.changes(), chain::noted(&tx)?.0);
            known.check(&tx, is_touched.then_some(self.check_operator_rows))?;
            let value = work(&tx)?;
            let seen = known.seen(&tx)?;
            let written = match (tx.changes() != changes, chain::noted(&tx)?.0 > rows) {
                (_, true) => Commit::Row,
                (true, false) => Commit::Something,
                (false, false) => Commit::Nothing,
            };
            tx.lite().map_or(Ok(()), rusqlite::Transaction::commit)?;
            known.learn(seen);
            if written != Commit::Nothing {
                self.check_log(known, connection, written)?;
            }
            self.files.accept(&self.path, looked, writes);
            Ok(value)
        };
        let ready = if writes {
            self.set_synchronous(&connection, purpose != TxPurpose::WriteSoon)
        } else {
            Ok(())
        };
        ready
            .and_then(|()| attempt(&mut connection))
            .map_err(|error| error.at(&self.path))
    }

    /// Sure before each write and not put back after it: whatever became of the one before, an intent is on disk before its request.
    fn set_synchronous(&self, connection: &Connection, is_now: bool) -> Result<(), Error> {
        let level = if is_now { "FULL" } else { "NORMAL" };
        // Unknown until it is said again, should saying it fail.
        let known = self.is_full.swap(UNKNOWN, Ordering::Relaxed);
        if known != u8::from(is_now) {
            connection.pragma_update(None, "synchronous", level)?;
        }
        self.is_full.store(u8::from(is_now), Ordering::Relaxed);
        Ok(())
    }

    /// Fails where what is committed would not outlast this process. In doubt it looks again while nobody else can write.
    fn check_log(&self, known: &KnownHead, connection: &mut Connection, written: Commit) -> Result<(), Error> {
        if self.is_log_good(known, written)? {
            return Ok(());
        }
        let tx = Tx::Lite(connection.transaction_with_behavior(TransactionBehavior::Immediate)?);
        if self.is_log_good(known, written)? {
            return Ok(());
        }
        Err(self.log_lost(known, &tx))
    }

    /// What became of it. What is wrong in the log must not be copied into the file when this process ends.
    fn log_lost(&self, known: &KnownHead, tx: &Tx<'_>) -> Error {
        if let Tx::Lite(lite) = tx {
            let _ = lite.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
        }
        // Beside a log that was emptied in order, it is the file that was set back.
        let file = known
            .check(tx, Some(self.check_operator_rows))
            .err()
            .filter(Error::is_lost);
        file.unwrap_or_else(|| Error::of_file(Fault::Replaced))
    }

    fn is_log_good(&self, known: &KnownHead, written: Commit) -> Result<bool, Error> {
        // Who only reads may have no part in a log.
        if self.reads_only {
            return Ok(true);
        }
        let is_in_file = || {
            let alone = connection::open_immutable(&self.path);
            alone.is_ok_and(|(file, _)| {
                file.unchecked_transaction()
                    .is_ok_and(|tx| known.check(&Tx::Lite(tx), None).is_ok())
            })
        };
        let is_good = self.files.is_log_good(&self.path, written, is_in_file);
        is_good.map_err(|error| Error::storage(&self.path, Fault::Io(error)))
    }
}

/// Neither of the two.
const UNKNOWN: u8 = 2;
