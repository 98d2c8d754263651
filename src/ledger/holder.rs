//! Who has the right to delete: taking it, and finding out who has it.

use std::io::ErrorKind;
use std::path::Path;

use super::deletion_lock::{FILE, name_of, noted};
use super::postgres::Session;
use super::sql::Tx;
use super::state_file::{identity, open_file};
use super::store::StateStore;
use super::{DeletionLock, Error, Fault, Ledger, StatePlace, lease};
use crate::blocking::blocking;
use crate::retention::ProjectName;

/// Asks for the right to delete again and again: of a database, on one connection.
#[derive(Debug)]
pub struct LockSeeker {
    place: StatePlace,
    session: Option<Session>,
}

impl LockSeeker {
    /// Of that state.
    pub fn new(place: impl Into<StatePlace>) -> Self {
        Self {
            place: place.into(),
            session: None,
        }
    }

    /// Whether nobody seems to have it; of a file only taking it tells.
    pub fn is_free(&mut self, projects: &[ProjectName]) -> Result<bool, Error> {
        match &self.place {
            StatePlace::Directory(_) => Ok(true),
            StatePlace::Postgres(address) => blocking(|| lease::is_free(address, &mut self.session, projects))
                .map_err(|error| error.at(Path::new(&address.to_string()))),
        }
    }

    /// As [`Ledger::lock_deletions`].
    pub fn take(&mut self, projects: &[ProjectName]) -> Result<Option<DeletionLock>, Error> {
        match &self.place {
            StatePlace::Directory(dir) => DeletionLock::of_file(dir),
            StatePlace::Postgres(address) => DeletionLock::of_lease(address, &mut self.session, projects),
        }
    }
}

impl Ledger {
    /// Takes the right to delete; `None` while another process (or another part of this one) has it.
    ///
    /// In a database it is the right to delete in these projects, all of them or none.
    pub fn lock_deletions(
        place: impl Into<StatePlace>,
        projects: &[ProjectName],
    ) -> Result<Option<DeletionLock>, Error> {
        LockSeeker::new(place).take(projects)
    }

    /// Whether some process has the right to delete at this moment; in doubt it has.
    pub fn is_deleting(&self) -> bool {
        let StateStore::File(file) = &self.store else {
            return self.read(lease::may_be_sending).unwrap_or(true);
        };
        let path = file.dir.join(FILE);
        let is_locked = match open_file(&path) {
            Ok(file) => file.try_lock_shared().is_err(),
            Err(error) => error.kind() != ErrorKind::NotFound,
        };
        is_locked
            || self
                .read(|tx| is_other_holder_open(tx, identity(&path).map(name_of).as_deref()))
                .unwrap_or(true)
    }

    /// Whether requests are open that may be on their way from a process that holds a lock file which this one has replaced.
    pub fn awaits_other_holder(&self, lock: &DeletionLock) -> Result<bool, Error> {
        if !lock.is_file() {
            return Ok(false);
        }
        // A write, for the other process looks at its lock in the transaction of its intent: that one is committed before
        // this, or never.
        self.write(|tx| is_other_holder_open(tx, lock.identity().as_deref()))
    }

    /// Fails where the right to delete of the run that writes is over: until this transaction ends nobody else has it.
    pub(super) fn must_still_hold(&self, tx: &Tx<'_>) -> Result<(), Error> {
        let Some(lock) = &self.fence else { return Ok(()) };
        match &self.store {
            StateStore::File(store) if !lock.is_of(&store.dir) => Err(Error::WrongLock {
                lock: store.dir.join(FILE),
            }),
            StateStore::File(_) => Ok(()),
            StateStore::Shared(_) => lock.check(tx),
        }
    }

    /// Fails unless the lock gives the right to delete here.
    pub(super) fn must_hold(&self, lock: &DeletionLock) -> Result<(), Error> {
        let (state, name) = match &self.store {
            StateStore::File(store) => (&store.dir, store.dir.join(FILE)),
            StateStore::Shared(store) => (&store.name, store.name.clone()),
        };
        if !lock.is_of(state) {
            return Err(Error::WrongLock { lock: name });
        }
        if !lock.is_lasting() {
            return Err(Error::of_file(Fault::LeaseLost));
        }
        Ok(())
    }
}

/// Whether requests are open that were sent under another lock file than this.
fn is_other_holder_open(tx: &Tx<'_>, own: Option<&str>) -> Result<bool, Error> {
    let noted = noted(tx)?;
    if noted.is_none() || noted.as_deref() == own {
        return Ok(false);
    }
    let open = "SELECT seq FROM request WHERE answer IS NULL AND unsettled > 0 LIMIT 1";
    Ok(tx.value::<i64>(open, ())?.is_some())
}
