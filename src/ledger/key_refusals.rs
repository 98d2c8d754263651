//! Keys that the API refused, so that no process, and none that follows, tries one so often that the API locks it.
//!
//! Fingerprints alone are kept, from which no key can be found. Plain state, not in the chain.

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
