//! What people were notified of once: a restart or another process must not repeat it. Plain state, not in the chain.

use chrono::{DateTime, TimeDelta, Utc};

use super::sql_value::Stamp;
use super::{Error, Ledger};

/// What is announced ends within days; older entries say nothing any more.
const KEPT: TimeDelta = TimeDelta::days(60);

impl Ledger {
    /// Takes note of these; of each, whether it is new.
    pub fn note_notified(&self, what: &[String], now: DateTime<Utc>) -> Result<Vec<bool>, Error> {
        const INSERT: &str = "INSERT INTO notified (what, at) VALUES (?1, ?2) ON CONFLICT (what) DO NOTHING";
        self.write(|tx| {
            tx.execute("DELETE FROM notified WHERE at < ?1", [Stamp(now - KEPT)])?;
            let is_new = |what: &String| Ok(tx.execute(INSERT, (what, Stamp(now)))? > 0);
            what.iter().map(is_new).collect()
        })
    }
}
