//! A ledger in PostgreSQL that is open: whose it is, and one transaction at a time.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Utc};

use super::access::TxPurpose;
use super::member::{Membership, host_name};
use super::postgres::{LIMITS, Session, column};
use super::sql::Tx;
use super::sql_value::SqlValue;
use super::{Access, Error, Fault, KnownHead, PostgresAddress, chain, moved, schema, set_back};
use crate::blocking::blocking;

/// The oldest server that has all that is used here.
const OLDEST: i64 = 140_000;

/// A shared ledger that is open.
#[derive(Debug)]
pub(super) struct SharedEngine {
    pub(super) address: PostgresAddress,
    /// As messages call it.
    pub(super) name: PathBuf,
    session: Mutex<Option<Session>>,
    /// This process as a member, once it is one.
    pub(super) member: Mutex<Option<Membership>>,
}

impl SharedEngine {
    fn new(address: &PostgresAddress) -> Self {
        Self {
            name: PathBuf::from(address.to_string()),
            address: address.clone(),
            session: Mutex::new(None),
            member: Mutex::new(None),
        }
    }

    /// Opens the database's ledger; whether it was made, and when.
    pub(super) fn open(
        address: &PostgresAddress,
        access: Access,
        is_known: bool,
        now: DateTime<Utc>,
    ) -> Result<(Self, bool, DateTime<Utc>), Error> {
        let engine = Self::new(address);
        let found = blocking(|| engine.look(access, is_known, now));
        let (is_new, created_at) = found.map_err(|error| error.at(&engine.name))?;
        Ok((engine, is_new, created_at))
    }

    fn look(&self, access: Access, is_known: bool, now: DateTime<Utc>) -> Result<(bool, DateTime<Utc>), Error> {
        let mut kept = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let session = kept.insert(Session::connect(&self.address)?);
        let version = session.query("SELECT current_setting('server_version_num')::bigint", &[])?;
        let version = version.first().map(|row| column(row, 0)).transpose()?;
        if !matches!(version, Some(SqlValue::Number(version)) if version >= OLDEST) {
            return Err(Error::of_file(Fault::OldServer));
        }
        let is_new = if exists(session)? {
            false
        } else if is_known {
            return Err(Error::of_file(Fault::Gone));
        } else if access == Access::Create {
            create(session, |tx| chain::begin(tx, now))?
        } else {
            return Err(Error::Missing {
                path: self.name.clone(),
            });
        };
        session.batch("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")?;
        session.batch(LIMITS)?;
        let tx = Tx::Shared(session);
        moved::check(&tx)?;
        schema::check_shared(&tx)?;
        chain::tail(&tx)?;
        let created_at = chain::read_time(&chain::created_at(&tx)?)?;
        session.commit()?;
        Ok((is_new, created_at))
    }

    /// One transaction, undone when `work` fails.
    pub(super) fn transact<T>(
        &self,
        known: &KnownHead,
        purpose: TxPurpose,
        work: impl FnOnce(&Tx<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut kept = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        // Taken out, so that one whose transaction failed or panicked is never used again.
        let session = kept.take();
        let done = blocking(|| {
            let session = begin(session, &self.address, purpose)?;
            let (value, seen) = {
                let tx = Tx::Shared(&session);
                known.check(&tx, None)?;
                let value = work(&tx)?;
                (value, known.seen(&tx)?)
            };
            session.commit()?;
            known.learn(seen);
            Ok((value, session))
        });
        let (value, session) = done.map_err(|error: Error| self.stop_others(known, error).at(&self.name))?;
        *kept = Some(session);
        Ok(value)
    }
}

impl SharedEngine {
    /// Where this process knows a head that the database lost, every other one is to stop, too.
    fn stop_others(&self, known: &KnownHead, error: Error) -> Error {
        let (Some(Fault::Rewound { .. }), Some((row, hash))) = (error.fault(), known.row_and_hash()) else {
            return error;
        };
        let host = host_name();
        let noted = blocking(|| {
            let session = begin(None, &self.address, TxPurpose::Write)?;
            set_back::note(&Tx::Shared(&session), row, &hash, &host)?;
            session.commit()
        });
        if let Err(error) = noted {
            tracing::warn!(%error, "the database was set back, and other daemons could not be stopped: this one deletes nothing");
        }
        Error::of_file(Fault::SetBackFor { host, row })
    }
}

/// Begins a transaction, on another connection where the one that was there is gone.
fn begin(session: Option<Session>, address: &PostgresAddress, purpose: TxPurpose) -> Result<Session, Error> {
    let sql = match purpose {
        TxPurpose::Read => format!("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {LIMITS}"),
        TxPurpose::Write | TxPurpose::WriteSoon => {
            let wait = if purpose == TxPurpose::Write { "on" } else { "off" };
            format!(
                "BEGIN ISOLATION LEVEL READ COMMITTED; {LIMITS}; SET LOCAL synchronous_commit = {wait}; \
                 SELECT value FROM meta WHERE key = 'rows' FOR UPDATE"
            )
        }
    };
    if let Some(session) = session.filter(|session| !session.is_closed()) {
        match session.batch(&sql) {
            Ok(_) => return Ok(session),
            // A server that was restarted closed it; nothing of this transaction has been asked.
            Err(error) if matches!(error.fault(), Some(Fault::Unreachable(_))) => {}
            Err(error) => return Err(error),
        }
    }
    let session = Session::connect(address)?;
    session.batch(&sql)?;
    Ok(session)
}

pub(super) fn exists(session: &Session) -> Result<bool, Error> {
    // Not by `to_regclass`, which remembers from before a wait for a lock that there was none.
    let sql = "SELECT COUNT(*) FROM pg_catalog.pg_class \
         WHERE relname IN ('meta', 'chain') AND relkind = 'r' AND relnamespace = current_schema()::regnamespace";
    match session.query(sql, &[])?.first().map(|row| column(row, 0)).transpose()? {
        Some(SqlValue::Number(0)) => Ok(false),
        Some(SqlValue::Number(2)) => Ok(true),
        _ => Err(Error::of_file(Fault::Foreign)),
    }
}

/// Makes the tables, with what `fill` puts into them; `false` when another process was faster.
pub(super) fn create(session: &Session, fill: impl FnOnce(&Tx<'_>) -> Result<(), Error>) -> Result<bool, Error> {
    session.batch(&format!(
        "BEGIN; {LIMITS}; SELECT pg_advisory_xact_lock({})",
        schema::APPLICATION_ID
    ))?;
    let is_new = !exists(session)?;
    if is_new {
        session.batch(schema::SHARED)?;
        let tx = Tx::Shared(session);
        fill(&tx)?;
        schema::mark_shared(&tx)?;
    }
    session.commit()?;
    Ok(is_new)
}
