//! The right to delete for one state: a locked file in its directory, or leases in its database.
//!
//! The file may be taken for a stale one, and removed or replaced under the process that holds it. Then another process
//! can lock the new one, and the first finds out in the transaction of its next intent. What it has sent by then may still be
//! on its way: which lock file the last requests were sent under is noted in the ledger, and who holds another one waits.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use rustix::fs::OFlags;

use super::lease::Lease;
use super::postgres::{PostgresAddress, Session};
use super::sql::Tx;
use super::state_file::{check_file, flags, give_away, io_fault, is_at, objection};
use super::{Error, Fault};
use crate::retention::ProjectName;

pub(super) const FILE: &str = "deletions.lock";
/// In `meta`: the lock file of the last process that closed what earlier ones had left open.
const NOTED: &str = "deletions.lock";

/// The right to delete for one state directory; one process has it at a time. Ends when dropped, or with the process.
#[derive(Debug)]
pub struct DeletionLock {
    right: Right,
    /// Whether what earlier holders left open was closed. Runs of one process share a lock, and what is open after the first
    /// of them has begun may be the others' own.
    pub(super) settled: Mutex<bool>,
}

/// By what a process has the right to delete.
#[derive(Debug)]
enum Right {
    /// A locked file; closing it releases the lock.
    File { file: File, path: PathBuf, dir: PathBuf },
    /// Some projects' leases.
    Lease(Lease),
}

impl DeletionLock {
    /// Locks the file of a state directory; `None` while another process has it.
    pub(super) fn of_file(dir: &Path) -> Result<Option<Self>, Error> {
        let fail = |error: std::io::Error| Error::storage(&dir.join(FILE), io_fault(error));
        let dir = &fs::canonicalize(dir).map_err(|error| match error.kind() {
            // Whoever wants the right to delete has had the ledger open.
            ErrorKind::NotFound => Error::storage(dir, Fault::Gone),
            _ => fail(error),
        })?;
        let path = dir.join(FILE);
        check_file(&path)?;
        let file = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(false)
            .mode(0o600)
            // Looked at already; the directory may be another user's, who may have put something else there meanwhile.
            .custom_flags(flags(OFlags::NOFOLLOW | OFlags::NONBLOCK))
            .open(&path)
            .map_err(fail)?;
        let (found, directory) = (file.metadata().map_err(fail)?, fs::metadata(dir).map_err(fail)?);
        if let Some(fault) = objection(&found) {
            return Err(Error::storage(&path, fault));
        }
        give_away(&file, &found, &directory);
        match file.try_lock() {
            // Taken away between opening and locking it: asked for again, there is another.
            Ok(()) if !is_at(&file, &path) => Ok(None),
            Ok(()) => Ok(Some(Self {
                right: Right::File {
                    file,
                    path,
                    dir: dir.clone(),
                },
                settled: Mutex::new(false),
            })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(fail(error)),
        }
    }

    /// Takes these projects' leases, all of them or none.
    pub(super) fn of_lease(
        address: &PostgresAddress,
        kept: &mut Option<Session>,
        projects: &[ProjectName],
    ) -> Result<Option<Self>, Error> {
        let lease = Lease::take(address, kept, projects)?;
        Ok(lease.map(|lease| Self {
            right: Right::Lease(lease),
            settled: Mutex::new(false),
        }))
    }

    /// How long requests of an earlier holder may still be on their way: before that nothing may be sent.
    pub fn drains_for(&self) -> Duration {
        match &self.right {
            Right::File { .. } => Duration::ZERO,
            Right::Lease(lease) => lease.drains_for(),
        }
    }

    /// The projects whose last holder did not give its lease back.
    pub fn taken_over(&self) -> &[ProjectName] {
        match &self.right {
            Right::File { .. } => &[],
            Right::Lease(lease) => &lease.taken_over,
        }
    }

    /// Which file it is: the file system gives no other one the same name while this one is open.
    pub(super) fn identity(&self) -> Option<String> {
        let Right::File { file, .. } = &self.right else {
            return None;
        };
        file.metadata().ok().map(|found| name_of((found.dev(), found.ino())))
    }

    /// Whether it is a locked file, not a lease.
    pub(super) fn is_file(&self) -> bool {
        matches!(self.right, Right::File { .. })
    }

    /// Whether it is for that project.
    pub(super) fn covers(&self, project: &ProjectName) -> bool {
        match &self.right {
            Right::File { .. } => true,
            Right::Lease(lease) => lease.covers(project),
        }
    }

    /// Fails unless the database says that all of its projects are this process's until the transaction ends.
    pub(super) fn check(&self, tx: &Tx<'_>) -> Result<(), Error> {
        match &self.right {
            Right::File { .. } => Ok(()),
            Right::Lease(lease) => lease.check(tx),
        }
    }

    /// Whether it is sure to last for a whole request: a locked file is.
    pub(super) fn is_lasting(&self) -> bool {
        match &self.right {
            Right::File { .. } => true,
            Right::Lease(lease) => lease.is_lasting(),
        }
    }

    /// Waits, a little, until it is sure to last for a whole request: one that begins 5 s after its intent and takes 20 s.
    pub(super) fn wait_until_lasting(&self) {
        if let Right::Lease(lease) = &self.right {
            lease.wait_until_lasting();
        }
    }

    /// Whether it gives the right to delete for that state, still: after its lock file was removed as a stale one, another process can
    /// have a new one.
    pub(super) fn is_of(&self, state: &Path) -> bool {
        match &self.right {
            Right::File { file, path, dir } => dir == state && is_at(file, path),
            Right::Lease(lease) => lease.is_of(state),
        }
    }
}

/// How the ledger calls a lock file.
pub(super) fn name_of((device, inode): (u64, u64)) -> String {
    format!("{device}:{inode}")
}

/// Writes down under which lock file requests are sent from now on.
pub(super) fn note(tx: &Tx<'_>, lock: &DeletionLock) -> Result<(), Error> {
    if let Some(name) = lock.identity() {
        tx.execute(
            "INSERT INTO meta (key, value) VALUES (?1, ?2) \
             ON CONFLICT (key) DO UPDATE SET value = excluded.value WHERE meta.value <> excluded.value",
            (NOTED, name),
        )?;
    }
    Ok(())
}

/// Under which lock file the last requests were sent.
pub(super) fn noted(tx: &Tx<'_>) -> Result<Option<String>, Error> {
    tx.value("SELECT value FROM meta WHERE key = ?1", [NOTED])
}
