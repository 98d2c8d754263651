//! Finishing a move that was killed after the commit that decides: the copy asks its original.

use std::fs;

use rusqlite::{OpenFlags, Transaction, TransactionBehavior};

use super::connection::connect;
use super::moved::{self, MoveMark};
use super::postgres::{LIMITS, Session};
use super::sql::Tx;
use super::state_file::{LEDGER, check_file, io_fault};
use super::{Error, StatePlace};
use crate::blocking::blocking;

/// One transaction at a place that no ledger may be opened at.
fn transact<T>(place: &StatePlace, work: impl FnOnce(&Tx<'_>) -> Result<T, Error>) -> Result<T, Error> {
    match place {
        StatePlace::Directory(dir) => {
            let dir = fs::canonicalize(dir).map_err(|error| Error::storage(dir, io_fault(error)))?;
            let path = dir.join(LEDGER);
            check_file(&path)?;
            let mut connection = connect(&path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
            let tx = Tx::Lite(connection.transaction_with_behavior(TransactionBehavior::Immediate)?);
            let done = work(&tx)?;
            tx.lite().map_or(Ok(()), Transaction::commit)?;
            Ok(done)
        }
        StatePlace::Postgres(address) => blocking(|| {
            let session = Session::connect(address)?;
            session.batch(&format!("BEGIN; {LIMITS}"))?;
            let done = work(&Tx::Shared(&session))?;
            session.commit()?;
            Ok(done)
        }),
    }
}

/// What that end of a move says, if it is one.
pub(super) fn mark_of(place: &StatePlace) -> Result<Option<MoveMark>, Error> {
    transact(place, moved::read)
}

/// Makes a copy the state, if its original says that it was moved. `false` also where that cannot be found out.
pub(super) fn finish(place: &StatePlace) -> bool {
    let finished = || -> Option<()> {
        let mark = mark_of(place).ok()??;
        let original = mark_of(&mark.original.as_ref()?.to_place()?).ok()??;
        if original.original.is_some() || original.id != mark.id {
            return None;
        }
        let taken_away = transact(place, |tx| match moved::read(tx)? {
            Some(now) if now.id == mark.id => now.take_away(tx),
            _ => Ok(()),
        });
        taken_away.ok()
    };
    finished().is_some()
}
