//! What listings say of ids that were sent: gone (confirmed) or still there (returned).

use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, Utc};

use super::chain::Kind;
use super::records::{SettledBody, SettledItem};
use super::request_state::{IdState, OpenRequests, RequestState};
use super::rows::{Chunks, time_of};
use super::sql::Tx;
use super::sql_value::to_column;
use super::{DeletionState, Error, Ledger, RequestKey, chain, grace_chain, grace_restart};
use crate::retention::{BackupId, InstanceId, PolicyName, ProjectName};

/// So many ids a row of the chain, so that no row grows with the fleet.
const IDS_A_ROW: usize = 1_000;

/// Why an id waits for a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pending {
    /// The API accepted it.
    Accepted,
    /// It is not known whether the API acted.
    Unanswered,
}

/// An id that was sent and that no listing has settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unconfirmed {
    /// The deleting policy.
    pub policy: PolicyName,
    /// Its project.
    pub project: ProjectName,
    /// Its instance.
    pub instance: InstanceId,
    /// The backup.
    pub backup: BackupId,
    /// Its size.
    pub size_bytes: u64,
    /// What the API said.
    pub pending: Pending,
    /// When its request was intended.
    pub sent_at: DateTime<Utc>,
    /// When its answer was recorded: what the 30 minutes of a returned one count from.
    pub answered_at: DateTime<Utc>,
    /// Its request.
    pub request: RequestKey,
}

impl Ledger {
    /// The ids that were sent and that no listing has settled, oldest request first.
    pub fn unconfirmed(&self) -> Result<Vec<Unconfirmed>, Error> {
        self.read(|tx| {
            let pieces = Chunks::default();
            let mut unconfirmed = Vec::new();
            for request_state in RequestState::unsettled(tx)? {
                let Some(answer) = request_state.answer else { continue };
                let answered_at = time_of(tx, &pieces, answer)?;
                let mut places: Vec<&IdState> = request_state.places.iter().collect();
                places.sort_by(|a, b| a.backup.cmp(&b.backup));
                for place in places {
                    let pending = match place.state {
                        DeletionState::Accepted => Pending::Accepted,
                        DeletionState::Unanswered => Pending::Unanswered,
                        _ => continue,
                    };
                    unconfirmed.push(Unconfirmed {
                        policy: request_state.policy_of(place).clone(),
                        project: request_state.project.clone(),
                        instance: request_state.instance_of(place).clone(),
                        backup: place.backup.clone(),
                        size_bytes: place.size_bytes,
                        pending,
                        sent_at: request_state.at,
                        answered_at,
                        request: RequestKey(request_state.seq),
                    });
                }
            }
            Ok(unconfirmed)
        })
    }

    /// Records what a believed listing says: `confirmed` are gone from it, `returned` are still in it. Ids whose last
    /// request is settled already, or that were never sent, are passed over. A rejected id of this run may be confirmed (the
    /// API says "not found" of what is gone). The grace of what is gone is forgotten. Says how many
    /// were settled.
    pub fn settle(
        &self,
        run: &str,
        now: DateTime<Utc>,
        confirmed: &[BackupId],
        returned: &[BackupId],
    ) -> Result<usize, Error> {
        if confirmed.is_empty() && returned.is_empty() {
            return Ok(0);
        }
        self.change(|tx, under_way| {
            self.must_still_hold(tx)?;
            if grace_restart::is_any(tx)? {
                grace_chain::change_to_keep(tx, now, || {
                    for (request_state, place) in confirmed.iter().filter_map(|backup| under_way.last(backup)) {
                        let place = &request_state.places[place];
                        grace_restart::forget(tx, request_state.instance_of(place), &place.backup)?;
                    }
                    Ok(())
                })?;
            }
            let confirmed_now = settle_as(tx, run, now, Kind::Confirmed, confirmed, under_way)?;
            Ok(confirmed_now + settle_as(tx, run, now, Kind::Returned, returned, under_way)?)
        })
    }
}

fn settle_as(
    tx: &Tx<'_>,
    run: &str,
    now: DateTime<Utc>,
    kind: Kind,
    backups: &[BackupId],
    under_way: &mut OpenRequests,
) -> Result<usize, Error> {
    let confirmed = kind == Kind::Confirmed;
    let state = if confirmed {
        DeletionState::Confirmed
    } else {
        DeletionState::Returned
    };
    let mut once = HashSet::new();
    let waits = backups.iter().filter(|backup| once.insert(*backup));
    let waits = waits.filter(|backup| {
        under_way
            .last(backup)
            .is_some_and(|(request_state, place)| can_settle(request_state.places[place].state, confirmed))
    });
    let waits: Vec<&BackupId> = waits.collect();
    for rows in waits.chunks(IDS_A_ROW) {
        let found: Vec<(&RequestState, usize)> = rows.iter().filter_map(|backup| under_way.last(backup)).collect();
        let item = |(request_state, place): &(&RequestState, usize)| SettledItem {
            backup: request_state.places[*place].backup.clone(),
            request: request_state.seq,
            was: request_state.places[*place].state,
        };
        let body = SettledBody {
            run: run.to_owned(),
            backups: found.iter().map(item).collect(),
        };
        let seq = chain::append(tx, now, kind, &body)?;
        if confirmed {
            let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
            for (request_state, place) in &found {
                let instance = request_state.instance_of(&request_state.places[*place]);
                *counts.entry(instance.as_str()).or_default() += 1;
            }
            tx.insert_each(
                "INSERT INTO confirmed (instance, seq, ids) VALUES (?1, ?2, ?3)",
                counts
                    .into_iter()
                    .map(|(instance, count)| (instance, seq, to_column(count))),
            )?;
        }
        let places: Vec<(i64, usize)> = found
            .iter()
            .map(|(request_state, place)| (request_state.seq, *place))
            .collect();
        for at in places {
            under_way.set(at, state, seq);
        }
    }
    Ok(waits.len())
}

/// Whether a listing can still settle the last request for an id.
fn can_settle(was: DeletionState, confirmed: bool) -> bool {
    match was {
        DeletionState::Accepted | DeletionState::Unanswered => true,
        // A returned one may go after all; a rejected one may have been gone already.
        DeletionState::Rejected | DeletionState::Returned => confirmed,
        DeletionState::Intended | DeletionState::Withdrawn | DeletionState::Confirmed | DeletionState::Resent => false,
    }
}
