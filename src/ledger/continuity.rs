//! That the open file still is the state this process knows: not gone, not replaced, not an older copy of itself.
//!
//! A process remembers the last head that it committed or read. A ledger that does not contain it has lost what came
//! after some earlier point, perhaps a hold; nothing is deleted on its word. What an earlier process knew is not known
//! here.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;

use super::chain::COUNT_OPERATOR_ROWS;
use super::rows::Chunks;
use super::sql::Tx;
use super::state_file::{beside, identity};
use super::wal::Log;
use super::{Error, Fault, chain, moved, rows, set_back};

/// The last head of a state's chain that this process committed or read. Clones share it: give it to every opening of the
/// same state.
#[derive(Clone, Debug, Default)]
pub struct KnownHead(Arc<Mutex<Option<Head>>>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Head {
    seq: i64,
    hash: String,
    /// How many rows of the chain up to this one are operator rows: holds, freezes, approvals.
    operator_rows: i64,
}

impl KnownHead {
    /// Whether this process has had the state open.
    pub fn is_known(&self) -> bool {
        self.lock().is_some()
    }

    /// Its row and hash.
    pub(super) fn row_and_hash(&self) -> Option<(i64, String)> {
        self.lock().as_ref().map(|head| (head.seq, head.hash.clone()))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Head>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fails where the ledger was moved, or does not contain the known head. `touched`: something other than this process has written
    /// the file itself. That is mostly a checkpoint; but a copy written over the file beside a log that was left can mix old
    /// pages with new ones, so then the operator rows are compared, too.
    pub(super) fn check(&self, tx: &Tx<'_>, touched: Option<CheckOperatorRows>) -> Result<(), Error> {
        moved::check(tx)?;
        let Some(known) = self.lock().clone() else {
            return Ok(());
        };
        let rewound = || Err(Error::of_file(Fault::Rewound { row: known.seq }));
        let (rows, head) = chain::noted(tx)?;
        let is_in_it = || {
            let row = rows::row_if_any(tx, &Chunks::default(), known.seq)?;
            Ok::<_, Error>(row.is_some_and(|row| row.hash == known.hash))
        };
        if rows < known.seq || ((rows, &head) != (known.seq, &known.hash) && !is_in_it()?) {
            if !set_back::is_accepted(tx, known.seq, &known.hash)? {
                return rewound();
            }
            // A person goes on without it: what is there now is the state.
            *self.lock() = None;
            return Ok(());
        }
        if let Some(check_operator_rows) = touched {
            if count_operator_rows(tx, 0, known.seq)? != known.operator_rows {
                return rewound();
            }
            chain::tail(tx)?;
            check_operator_rows(tx)?;
        }
        Ok(())
    }

    /// The head as this transaction sees it; to be kept with [`Self::learn`] once the transaction is committed.
    pub(super) fn seen(&self, tx: &Tx<'_>) -> Result<SeenHead, Error> {
        let known = self.lock().clone();
        let (seq, hash) = chain::noted(tx)?;
        let operator_rows = match &known {
            Some(known) if known.seq == seq => known.operator_rows,
            Some(known) => known.operator_rows + count_operator_rows(tx, known.seq, seq)?,
            None => count_operator_rows(tx, 0, seq)?,
        };
        Ok(SeenHead(Head {
            seq,
            hash,
            operator_rows,
        }))
    }

    /// Keeps what a committed transaction saw, unless another one has seen more meanwhile.
    pub(super) fn learn(&self, SeenHead(head): SeenHead) {
        let mut known = self.lock();
        if known.as_ref().is_none_or(|known| known.seq <= head.seq) {
            *known = Some(head);
        }
    }
}

/// Compares the tables of holds, freezes and approvals with the chain ([`super::verify`]).
pub(super) type CheckOperatorRows = fn(&Tx<'_>) -> Result<(), Error>;

/// A head that a transaction saw.
pub(super) struct SeenHead(Head);

/// How many rows after the first and up to the second are operator rows.
fn count_operator_rows(tx: &Tx<'_>, after: i64, to: i64) -> Result<i64, Error> {
    tx.number(COUNT_OPERATOR_ROWS, [after, to])
}

/// What a transaction that has just been committed wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Commit {
    /// Nothing, or there was none.
    Nothing,
    /// Perhaps nothing: SQLite writes no page that stays the same.
    Something,
    /// A row of the chain: the log is longer for it.
    Row,
}

/// The files of an open ledger, as far as the file system tells them apart.
#[derive(Debug)]
pub(super) struct Files {
    /// Device and inode of the file, its log and the log's index. A log that is removed while it is open takes what is
    /// written after that with it, and hides what others write.
    which: [Option<(u64, u64)>; 3],
    /// The file itself as this process last wrote it, or found it good.
    content: Mutex<Content>,
    /// The log as it was last found good, and the file it was then.
    log: Mutex<(Content, Option<Log>)>,
}

impl Files {
    pub(super) fn of(path: &Path) -> Self {
        Self {
            which: which(path),
            content: Mutex::new(content(path)),
            log: Mutex::default(),
        }
    }

    /// Whether a process that opened the ledger after this one is gone would find in the log what this one knows of it, and
    /// after a transaction of its own, that one too. What is not in the log any more must be in the file alone.
    pub(super) fn is_log_good(
        &self,
        path: &Path,
        written: Commit,
        is_in_file: impl FnOnce() -> bool,
    ) -> std::io::Result<bool> {
        // On a file system that cannot hold one there is none.
        if self.which[1].is_none() {
            return Ok(true);
        }
        let log_path = beside(path, "-wal");
        let mut last = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let (before, known) = *last;
        let now = content(&log_path);
        if now == before && written == Commit::Nothing {
            return Ok(true);
        }
        let (found, is_in_it) = match &known {
            // A commit costs the reading of what it wrote, not of the whole log.
            Some(known) if written != Commit::Nothing => (known.read_on(&log_path)?, true),
            _ => Log::read(&log_path, known.as_ref())?,
        };
        let is_good = match (&known, &found) {
            (Some(known), Some(found)) if found.is_same_as(known) => {
                is_in_it && found.is_longer_than(known, written == Commit::Row)
            }
            (Some(known), Some(found)) if found.is_newer_than(known) => true,
            // An older copy: it would be worked into the file again.
            (Some(known), Some(found)) if known.is_newer_than(found) => false,
            (None, Some(found)) => written != Commit::Row || found.has_any(),
            (None, None) if written == Commit::Nothing => true,
            // Emptied or started again by another process, after it moved everything into the file.
            _ => is_in_file(),
        };
        if is_good {
            *last = (now, found);
        }
        Ok(is_good)
    }

    /// Fails where a file is another one now. `reads_only`: a reader has no part in the log's existence.
    pub(super) fn check(&self, path: &Path, reads_only: bool) -> Result<(), Error> {
        let (now, count) = (which(path), if reads_only { 1 } else { 3 });
        if now[..count] == self.which[..count] {
            return Ok(());
        }
        let fault = if now[0].is_none() { Fault::Gone } else { Fault::Replaced };
        Err(Error::storage(path, fault))
    }

    /// The file as it is now, and whether something other than this process has written it. Pages of it that are cached are
    /// dropped then: SQLite does not notice what others than SQLite write.
    pub(super) fn look(&self, path: &Path, connection: &Connection) -> Result<(Content, bool), Error> {
        let now = content(path);
        let is_touched = now != *self.content.lock().unwrap_or_else(PoisonError::into_inner);
        if is_touched {
            connection.release_memory()?;
        }
        Ok((now, is_touched))
    }

    /// The file was good as it was when [`Self::look`] was called; or, after a write, which may have moved the log into it,
    /// as it is now.
    pub(super) fn accept(&self, path: &Path, looked: Content, has_written: bool) {
        let good = if has_written { content(path) } else { looked };
        *self.content.lock().unwrap_or_else(PoisonError::into_inner) = good;
    }
}

fn which(path: &Path) -> [Option<(u64, u64)>; 3] {
    [
        identity(path),
        identity(&beside(path, "-wal")),
        identity(&beside(path, "-shm")),
    ]
}

/// Time of change, which no program can set, and size.
type Content = Option<(i64, i64, u64)>;

fn content(path: &Path) -> Content {
    let found = fs::symlink_metadata(path).ok()?;
    Some((found.ctime(), found.ctime_nsec(), found.size()))
}
