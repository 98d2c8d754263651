//! Which ticks were taken: on a shared state one tick is one run, whichever daemon fires it.

use chrono::{DateTime, TimeDelta, Utc};

use super::sql_value::Stamp;
use super::{Error, Ledger};
use crate::retention::PolicyName;

/// No daemon is that late.
const KEPT: TimeDelta = TimeDelta::days(400);

impl Ledger {
    /// Takes a policy's tick; `false` where another daemon has run it, or is about to. On a file there is no other. A tick whose run was
    /// interrupted can be taken again.
    pub fn claim_tick(&self, policy: &PolicyName, tick: DateTime<Utc>, now: DateTime<Utc>) -> Result<bool, Error> {
        if !self.is_shared() {
            return Ok(true);
        }
        let is_first = self.write(|tx| {
            tx.execute("DELETE FROM tick WHERE at < ?1", [Stamp(now - KEPT)])?;
            let taken = tx.execute(
                "INSERT INTO tick (policy, at) VALUES (?1, ?2) ON CONFLICT (policy, at) DO NOTHING",
                (policy.as_str(), Stamp(tick)),
            )?;
            Ok(taken == 1)
        })?;
        Ok(is_first || self.last_begun(policy, now)?.is_some_and(|last| last.is_interrupted))
    }
}
