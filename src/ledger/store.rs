//! An open ledger: the database under it, and its transactions.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};

use super::access::TxPurpose;
use super::request_state::OpenRequests;
use super::shared_engine::SharedEngine;
use super::sql::Tx;
use super::sqlite::FileEngine;
use super::{DeletionLock, Error, Fault, KnownHead, chain, deletion_lock, lease, member, set_back};

/// An open ledger. Clones share it.
#[derive(Clone, Debug)]
pub struct Ledger {
    /// What is sent and not settled, while this process deletes. Locked before the connection, never after it.
    pub(super) under_way: Arc<Mutex<OpenRequests>>,
    pub(super) store: StateStore,
    /// The right to delete of the run that writes by this handle.
    pub(super) fence: Option<Arc<DeletionLock>>,
    /// The last head that this process knows.
    pub(super) known: KnownHead,
    pub(super) is_new: bool,
    pub(super) created_at: DateTime<Utc>,
}

impl Ledger {
    /// Where the file lies; or what the database is called.
    pub fn path(&self) -> &Path {
        match &self.store {
            StateStore::File(file) => &file.path,
            StateStore::Shared(shared) => &shared.name,
        }
    }

    /// The same ledger for a run: what the run writes is refused once the state says that its right to delete is over. What it learned
    /// may be older by then than what another run has written.
    #[must_use]
    pub fn fenced_by(&self, lock: Option<&Arc<DeletionLock>>) -> Self {
        Self {
            fence: lock.map(Arc::clone),
            ..self.clone()
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

    /// The last row's hash.
    pub fn head(&self) -> Result<String, Error> {
        self.read(|tx| Ok(chain::tail(tx)?.1))
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

    pub(super) fn forget_under_way(&self) {
        *self.under_way.lock().unwrap_or_else(PoisonError::into_inner) = OpenRequests::default();
    }

    /// One transaction that changes what is under way, by whoever sent it. What is in memory is changed with it; after an error, or a
    /// panic, it is read again, for then it may be ahead of the disk.
    pub(super) fn change<T>(
        &self,
        work: impl FnOnce(&Tx<'_>, &mut OpenRequests) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut kept = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        let mut under_way = std::mem::take(&mut *kept);
        let done = self.write_unchecked(|tx| {
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
    pub(super) fn read<T>(&self, work: impl FnOnce(&Tx<'_>) -> Result<T, Error>) -> Result<T, Error> {
        self.transact(TxPurpose::Read, work)
    }

    /// One immediate transaction, durable when this returns `Ok`, undone when it returns `Err`.
    pub(super) fn write<T>(&self, work: impl FnOnce(&Tx<'_>) -> Result<T, Error>) -> Result<T, Error> {
        self.transact(TxPurpose::Write, |tx| {
            self.must_still_hold(tx)?;
            work(tx)
        })
    }

    /// The same also after the run's right to delete is over: for what became of its own requests, and of itself.
    pub(super) fn write_unchecked<T>(&self, work: impl FnOnce(&Tx<'_>) -> Result<T, Error>) -> Result<T, Error> {
        self.transact(TxPurpose::Write, work)
    }

    /// As [`Self::write`], but on disk only with the next durable transaction. For what a power failure may take, because
    /// losing it only keeps more; a killed process loses nothing.
    pub(super) fn write_soon<T>(&self, work: impl FnOnce(&Tx<'_>) -> Result<T, Error>) -> Result<T, Error> {
        self.transact(TxPurpose::WriteSoon, |tx| {
            self.must_still_hold(tx)?;
            work(tx)
        })
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
    pub(super) fn note_member(&self, tx: &Tx<'_>, run: &str) -> Result<(), Error> {
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

    /// Fails unless deletions may be intended in this transaction: by the lease, and by what all members have for a configuration.
    pub(super) fn must_agree(&self, tx: &Tx<'_>, lock: &DeletionLock) -> Result<(), Error> {
        let StateStore::Shared(shared) = &self.store else {
            return Ok(());
        };
        if !lock.drains_for().is_zero() {
            return Err(Error::of_file(Fault::Draining));
        }
        lock.check(tx)?;
        set_back::check_noted(tx)?;
        match &*shared.member.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(member) => member.check_agreement(tx),
            None => Err(Error::of_file(Fault::NoMember)),
        }
    }

    /// The file under it.
    #[cfg(test)]
    pub(super) fn file(&self) -> &FileEngine {
        match &self.store {
            StateStore::File(file) => file,
            StateStore::Shared(_) => panic!("a test of the file"),
        }
    }
}

/// The database under a ledger.
#[derive(Clone, Debug)]
pub(super) enum StateStore {
    File(Arc<FileEngine>),
    Shared(Arc<SharedEngine>),
}
