//! Which ticks have had their run: on a shared state one tick is one run, whichever daemon fires it.

use chrono::{DateTime, Utc};

use super::runs::select;
use super::sql_value::Stamp;
use super::{DeletionLock, Error, Ledger};
use crate::retention::PolicyName;
use crate::retention::report::RunResult;

impl Ledger {
    /// Whether another daemon has run a policy's tick. Asked under the right to delete in its projects: a run that is not finished has
    /// lost that right, and does not count, nor does one that failed, as where its daemon has a key that is refused. On a file there is
    /// no other daemon.
    pub fn has_run_tick(
        &self,
        lock: &DeletionLock,
        policy: &PolicyName,
        tick: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<bool, Error> {
        if !self.is_shared() {
            return Ok(false);
        }
        self.must_hold(lock)?;
        let since = self.read(|tx| {
            select(
                tx,
                "p.policy = ?1 AND p.started_at >= ?2 AND p.started_at <= ?3",
                (policy.as_str(), Stamp(tick), Stamp(now)),
            )
        })?;
        Ok(since
            .iter()
            .any(|run| run.cause != "apply" && run.result.is_some_and(|result| result != RunResult::Failed)))
    }
}
