//! Keys that the API refused, so that no process, and none that follows, tries one so often that the API locks it.
//!
//! Fingerprints alone are kept, from which no key can be found. Plain state, not in the chain.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::sql::Tx;
use super::sql_value::Stamp;
use super::{Error, Ledger};

/// A request that was answered 401.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRefusal {
    /// The fingerprint of the access key.
    pub access_key: String,
    /// That of access key, secret and token together.
    pub whole: String,
    /// When.
    pub at: DateTime<Utc>,
    /// Until when the key was blocked because of it, if it was.
    pub blocked_until: Option<DateTime<Utc>>,
}

/// A refusal of an access key, as all members of a shared state know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedRefusal {
    /// The refusal.
    pub refusal: KeyRefusal,
    /// How long ago, by the database's clock.
    pub age: Duration,
    /// The whole key was proven since.
    pub is_settled: bool,
}

/// Whether a process may try a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyTrial {
    /// The state is a file: no other process deletes.
    Local,
    /// Another process is trying it.
    Busy,
    /// It may; these are the access key's refusals within the last hour, in their order.
    Granted(Vec<SharedRefusal>),
}

/// A request takes 20 s; whoever was killed is waited for no longer than that.
const TRIAL: &str = "interval '30 seconds'";

/// Older ones say nothing any more.
const KEPT: TimeDelta = TimeDelta::hours(1);

impl Ledger {
    /// The refusals that still say something at `now`.
    pub fn key_refusals(&self, now: DateTime<Utc>) -> Result<Vec<KeyRefusal>, Error> {
        self.read(|tx| {
            // In PostgreSQL `rowid` is a column of its own.
            let sql = "SELECT access_key, whole, at, blocked_until FROM key_refusal WHERE at > ?1 ORDER BY at, rowid";
            tx.all(sql, [Stamp(now - KEPT)], |row| {
                Ok(KeyRefusal {
                    access_key: row.get(0)?,
                    whole: row.get(1)?,
                    at: row.get::<Stamp>(2)?.0,
                    blocked_until: row.get::<Option<Stamp>>(3)?.map(|until| until.0),
                })
            })
        })
    }

    /// Asks for the right to try an access key, which one process has at a time.
    pub fn try_key(&self, access_key: &str, holder: &str) -> Result<KeyTrial, Error> {
        if !self.is_shared() {
            return Ok(KeyTrial::Local);
        }
        // Lost in a failover it is asked for again.
        self.write_soon(|tx| {
            let taken = tx.execute(
                &format!(
                    "INSERT INTO key_trial (access_key, holder, until) VALUES (?1, ?2, clock_timestamp() + {TRIAL}) \
                     ON CONFLICT (access_key) DO UPDATE SET holder = excluded.holder, until = excluded.until \
                     WHERE key_trial.holder = excluded.holder OR key_trial.until <= clock_timestamp()"
                ),
                (access_key, holder),
            )?;
            if taken == 0 {
                return Ok(KeyTrial::Busy);
            }
            shared_refusals(tx, access_key).map(KeyTrial::Granted)
        })
    }

    /// What all members know of an access key; `None` where the state is a file.
    pub fn shared_key_refusals(&self, access_key: &str) -> Result<Option<Vec<SharedRefusal>>, Error> {
        if !self.is_shared() {
            return Ok(None);
        }
        self.read(|tx| shared_refusals(tx, access_key)).map(Some)
    }

    /// Gives the right to try an access key back; `proven`: the whole key with which a request was answered otherwise.
    pub fn end_key_trial(&self, access_key: &str, holder: &str, proven: Option<&str>) -> Result<(), Error> {
        if !self.is_shared() {
            return Ok(());
        }
        self.write_soon(|tx| {
            if let Some(whole) = proven {
                tx.execute(
                    "UPDATE key_refusal SET settled = 1 WHERE whole = ?1 AND settled = 0",
                    [whole],
                )?;
            }
            tx.execute(
                "DELETE FROM key_trial WHERE access_key = ?1 AND holder = ?2",
                (access_key, holder),
            )?;
            Ok(())
        })
    }

    /// Writes one down.
    pub fn record_key_refusal(&self, refusal: &KeyRefusal, now: DateTime<Utc>) -> Result<(), Error> {
        self.write(|tx| {
            date_back(tx, now)?;
            tx.execute("DELETE FROM key_refusal WHERE at <= ?1", [Stamp(now - KEPT)])?;
            tx.execute(
                "INSERT INTO key_refusal (access_key, whole, at, blocked_until) VALUES (?1, ?2, ?3, ?4)",
                (
                    &refusal.access_key,
                    &refusal.whole,
                    Stamp(refusal.at),
                    refusal.blocked_until.map(Stamp),
                ),
            )?;
            Ok(())
        })
    }
}

/// What is dated ahead of now was noted by a wrong clock: it counts from now on, not until that time has come.
pub(super) fn date_back(tx: &Tx<'_>, now: DateTime<Utc>) -> Result<(), Error> {
    tx.execute(
        "UPDATE key_refusal SET at = ?1, blocked_until = NULL WHERE at > ?1",
        [Stamp(now)],
    )?;
    Ok(())
}

/// The refusals of an access key within the last hour, by the database's clock.
fn shared_refusals(tx: &Tx<'_>, access_key: &str) -> Result<Vec<SharedRefusal>, Error> {
    let sql = "SELECT access_key, whole, at, blocked_until, settled, \
             CAST(EXTRACT(EPOCH FROM clock_timestamp() - noted) * 1000000 AS BIGINT) \
         FROM key_refusal WHERE access_key = ?1 AND noted > clock_timestamp() - interval '1 hour' ORDER BY rowid";
    tx.all(sql, [access_key], |row| {
        Ok(SharedRefusal {
            refusal: KeyRefusal {
                access_key: row.get(0)?,
                whole: row.get(1)?,
                at: row.get::<Stamp>(2)?.0,
                blocked_until: row.get::<Option<Stamp>>(3)?.map(|until| until.0),
            },
            is_settled: row.get(4)?,
            age: Duration::from_micros(super::sql_value::from_column(row.get(5)?)),
        })
    })
}
