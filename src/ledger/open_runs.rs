//! Runs of which nobody wrote down yet how they went: under way, or cut short.

use std::sync::PoisonError;

use chrono::{DateTime, Utc};

use super::runs::{finish, select};
use super::sql::Tx;
use super::{DeletionLock, Error, FinishedPolicy, Ledger, member};
use crate::retention::PolicyName;
use crate::retention::report::Interruption;

/// A run of which nobody wrote down yet how it went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenRun {
    /// Its id.
    pub run: String,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// Its policies.
    pub policies: Vec<PolicyName>,
    /// Whether it is under way, for all that is known, and not the rest of a killed one.
    pub is_running: bool,
}

impl Ledger {
    /// Closes, as failed, the runs that killed processes left open, once for each lock: what is open after the first run under
    /// it has begun may be that run.
    pub fn close_interrupted_runs(&self, lock: &DeletionLock, now: DateTime<Utc>) -> Result<Vec<OpenRun>, Error> {
        self.must_hold(lock)?;
        // Held until it is done: no run begins under the lock before that.
        let settled = lock.settled.lock().unwrap_or_else(PoisonError::into_inner);
        if *settled {
            return Ok(Vec::new());
        }
        // On a shared state those of a process that lives go on; of a file this one has the lock.
        let cut_short = |tx: &Tx<'_>| {
            let mut open = open_runs(tx, false)?;
            open.retain(|run| !run.is_running);
            Ok(open)
        };
        if self.read(cut_short)?.is_empty() {
            return Ok(Vec::new());
        }
        // Read again: another member may have closed them meanwhile.
        self.write(|tx| {
            let open = cut_short(tx)?;
            open.iter().try_for_each(|run| close(tx, run, now))?;
            Ok(open)
        })
    }

    /// The runs of which nobody wrote down yet how they went: those under way, and those that were cut short and that no later run has
    /// closed.
    pub fn open_runs(&self) -> Result<Vec<OpenRun>, Error> {
        let is_deleting = !self.is_shared() && self.is_deleting();
        self.read(|tx| open_runs(tx, is_deleting))
    }

    /// Whether a run that is not finished is under way, and not the rest of a killed one.
    pub fn is_running(&self, run: &str) -> Result<bool, Error> {
        if self.is_shared() {
            return self.read(|tx| member::is_run_alive(tx, run));
        }
        Ok(self.is_deleting())
    }
}

/// `is_deleting`: of a file, whether a process has the right to delete.
fn open_runs(tx: &Tx<'_>, is_deleting: bool) -> Result<Vec<OpenRun>, Error> {
    let open = select(tx, "r.finished IS NULL ORDER BY r.begun, p.policy", ())?;
    let runs = open
        .chunk_by(|a, b| a.run == b.run)
        .filter_map(|rows| Some((rows.first()?, rows)));
    runs.map(|(first, rows)| {
        Ok(OpenRun {
            run: first.run.clone(),
            started_at: first.started_at,
            policies: rows.iter().map(|row| row.policy.clone()).collect(),
            is_running: match tx {
                Tx::Lite(_) => is_deleting,
                Tx::Shared(_) => member::is_run_alive(tx, &first.run)?,
            },
        })
    })
    .collect()
}

fn close(tx: &Tx<'_>, run: &OpenRun, now: DateTime<Utc>) -> Result<(), Error> {
    let failed = |policy: &PolicyName| FinishedPolicy::cut_short(policy.clone(), Interruption::Killed);
    finish(tx, &run.run, now, run.policies.iter().map(failed).collect())?;
    Ok(())
}
