//! Requests without an outcome: under way, or left by a process that was killed.

use std::sync::PoisonError;

use chrono::{DateTime, Utc};

use super::request_state::{IdState, RequestState};
use super::requests::record_outcomes;
use super::sql::Tx;
use super::{DeletionLock, DeletionState, Error, Ledger, RequestKey};
use crate::retention::{BackupId, InstanceId, Outcome, PolicyName, ProjectName};

/// One id of a request that has no outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenItem {
    /// The deleting policy.
    pub policy: PolicyName,
    /// The instance.
    pub instance: InstanceId,
    /// The backup.
    pub backup: BackupId,
    /// Its size.
    pub size_bytes: u64,
}

/// An intent without outcomes: under way, or left by a process that was killed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenRequest {
    /// Its name.
    pub request: RequestKey,
    /// The run that intended it.
    pub run: String,
    /// Which attempt it was.
    pub attempt: u32,
    /// The project that was to be asked.
    pub project: ProjectName,
    /// When the intent was recorded.
    pub at: DateTime<Utc>,
    /// Its ids.
    pub items: Vec<OpenItem>,
}

impl Ledger {
    /// The present state of each id of some requests.
    pub fn states_of(&self, requests: &[RequestKey]) -> Result<Vec<DeletionState>, Error> {
        self.read(|tx| {
            let mut states = Vec::new();
            for request in requests {
                let of = super::request_state::states_of(tx, request.0)?.unwrap_or_default();
                states.extend(of.into_iter().map(|(state, _)| state));
            }
            Ok(states)
        })
    }

    /// The intents without outcomes. While another process has the deletion lock they may be its own, under way.
    pub fn open_requests(&self) -> Result<Vec<OpenRequest>, Error> {
        self.read(open_requests)
    }

    /// Closes what a killed process left open: each id is recorded as unanswered, so that a listing settles it. For the
    /// start of a run, before anything is sent: the lock says that no other process's request is among them, and only the
    /// first run under a lock looks, for later ones may have requests under way in the same process.
    pub fn close_open_requests(&self, lock: &DeletionLock, now: DateTime<Utc>) -> Result<Vec<OpenRequest>, Error> {
        self.must_hold(lock)?;
        // Held until it is done: whoever shares the lock sends nothing before that.
        let mut settled = lock.settled.lock().unwrap_or_else(PoisonError::into_inner);
        if *settled {
            return Ok(Vec::new());
        }
        // What other processes sent since this one last deleted is read again.
        self.forget_under_way();
        let mut open = self.write(|tx| {
            super::deletion_lock::note(tx, lock)?;
            open_requests(tx)
        })?;
        // Those of other projects may be others' own, under way.
        open.retain(|request| lock.covers(&request.project));
        if !open.is_empty() {
            self.change(|tx, under_way| {
                self.must_still_hold(tx)?;
                for request in &open {
                    let why = "the process ended before it recorded an answer".to_owned();
                    let lost = |item: &OpenItem| (item.backup.clone(), Outcome::Unanswered { why: why.clone() });
                    let outcomes: Vec<_> = request.items.iter().map(lost).collect();
                    record_outcomes(tx, request.request, now, None, &outcomes, under_way)?;
                }
                Ok(())
            })?;
        }
        *settled = true;
        Ok(open)
    }
}

fn open_requests(tx: &Tx<'_>) -> Result<Vec<OpenRequest>, Error> {
    let item = |request_state: &RequestState, place: &IdState| OpenItem {
        policy: request_state.policy_of(place).clone(),
        instance: request_state.instance_of(place).clone(),
        backup: place.backup.clone(),
        size_bytes: place.size_bytes,
    };
    let request = |request_state: RequestState| OpenRequest {
        request: RequestKey(request_state.seq),
        items: request_state
            .places
            .iter()
            .map(|place| item(&request_state, place))
            .collect(),
        run: request_state.run,
        attempt: request_state.attempt,
        project: request_state.project,
        at: request_state.at,
    };
    let open = RequestState::unsettled(tx)?
        .into_iter()
        .filter(|request_state| request_state.answer.is_none());
    Ok(open.map(request).collect())
}
