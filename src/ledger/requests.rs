//! Intent before the request, one outcome for each id after it.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, Utc};

use super::chain::Kind;
use super::records::{IntendedInstance, IntendedItem, IntentBody, OutcomeBody, OutcomeItem, WithdrawnBody, state_of};
use super::request_state::{OpenRequests, RequestState};
use super::sql::Tx;
use super::{DeletionLock, DeletionState, Error, Fault, Ledger, Listing, RequestKey, chain, rows};
use crate::retention::plan::PlannedDeletion;
use crate::retention::{BackupId, Batch, ExpireReason, Freeze, Freezes, Hold, InstanceId, Outcome, ProjectName};

/// What goes with a batch into the record of its intent.
#[derive(Clone, Copy, Debug)]
pub struct Intent<'a> {
    /// The right to delete.
    pub lock: &'a DeletionLock,
    /// The run's id.
    pub run: &'a str,
    /// 1 for the first time these ids are sent in the run; [`LedgerWrite::Intent`] says it for each batch.
    pub attempt: u32,
    /// SHA-256 of the configuration that decided.
    pub config_sha256: &'a str,
    /// The present: by it holds and freezes are in force or over.
    pub now: DateTime<Utc>,
    /// The configuration's holds, as they are at present.
    pub config_holds: &'a [Hold],
    /// The configuration's freeze, as it is at present, with its file and line.
    pub config_freeze: Option<&'a (Freeze, String)>,
    /// The listing of every instance in the batch.
    pub listings: &'a HashMap<InstanceId, Listing>,
    /// The word that reports use for a reason (`not_kept`, `max_age`, …).
    pub rule: fn(&ExpireReason) -> &'static str,
}

/// Whether a batch may be sent.
#[derive(Debug)]
#[must_use = "only a cleared batch may be sent"]
pub enum IntentResult {
    /// The intent is on disk: send what is left of the batch, then enter the answer.
    Cleared {
        /// For its answer.
        request: RequestKey,
        /// What was held meanwhile and is no longer in the batch.
        dropped: Vec<(BackupId, Hold)>,
    },
    /// Nothing was recorded; nothing may be sent.
    Frozen(Freezes),
    /// Everything was held meanwhile; nothing was recorded and the batch is empty.
    Empty {
        /// What was held.
        dropped: Vec<(BackupId, Hold)>,
    },
}

/// What is to be entered in a transaction that it may share with others.
#[derive(Debug)]
pub enum LedgerWrite {
    /// A batch that is to be sent.
    Intent {
        /// 1 for the first time these ids are sent in the run.
        attempt: u32,
        /// The batch.
        batch: Batch,
    },
    /// What became of a request.
    Answer {
        /// The request.
        request: RequestKey,
        /// When the answer came.
        at: DateTime<Utc>,
        /// The id that the API gave its answer.
        api_request_id: Option<String>,
        /// Exactly one outcome for each id of the intent.
        outcomes: Vec<(BackupId, Outcome)>,
    },
    /// A request that did not begin: nothing was sent.
    Withdrawal {
        /// The request.
        request: RequestKey,
        /// When that was certain.
        at: DateTime<Utc>,
        /// What it waited for.
        why: String,
    },
}

/// An entry that is on disk.
#[derive(Debug)]
#[must_use = "only a cleared batch may be sent"]
pub enum Written {
    /// A batch without what was dropped of it, and whether it may be sent.
    Intent(Batch, IntentResult),
    /// The outcomes as they were given.
    Answer(Vec<(BackupId, Outcome)>),
    /// A request that was withdrawn.
    Withdrawal,
}

/// One at a time, for tests.
#[cfg(any(test, fuzzing))]
impl Ledger {
    pub(super) fn intend(&self, intent: &Intent<'_>, batch: &mut Batch) -> Result<IntentResult, Error> {
        let clearance = self.change(|tx, under_way| self.clear(tx, under_way, intent, batch, &mut None))?;
        drop_held(batch, &clearance);
        Ok(clearance)
    }

    pub(super) fn record(
        &self,
        request: RequestKey,
        now: DateTime<Utc>,
        api_request_id: Option<&str>,
        outcomes: &[(BackupId, Outcome)],
    ) -> Result<(), Error> {
        self.change(|tx, under_way| record_outcomes(tx, request, now, api_request_id, outcomes, under_way))
    }
}

impl Ledger {
    /// Enters batches that are to be sent and answers to what was, in the order given, in one transaction that is on disk
    /// when this returns: it costs as much of a disk's time as one of them would.
    ///
    /// A batch is cleared for sending: holds and freeze are read again, what is held is dropped from it, and the intent is
    /// recorded with every id that is left. Of an answer exactly one outcome is recorded for each id of its intent.
    ///
    /// Of what is an error nothing was recorded, and nothing may be sent. It harms no other: each is then tried by itself,
    /// except that no batch is where it was the disk that failed.
    pub fn enter(&self, intent: &Intent<'_>, entries: Vec<LedgerWrite>) -> Vec<Result<Written, Error>> {
        if entries.iter().any(|entry| matches!(entry, LedgerWrite::Intent { .. })) {
            intent.lock.wait_until_lasting();
        }
        let together = self.change(|tx, under_way| {
            let mut in_force = None;
            let one = |entry: &LedgerWrite| self.enter_one(tx, under_way, intent, entry, &mut in_force);
            entries.iter().map(one).collect::<Result<Vec<_>, Error>>()
        });
        let failed = match together {
            Ok(cleared) => {
                let both = entries.into_iter().zip(cleared);
                return both.map(|(entry, of)| Ok(entered(entry, of))).collect();
            }
            Err(error) if entries.len() == 1 => return vec![Err(error)],
            // One that is lost says so to each.
            Err(error)
                if error.is_lost() || matches!(error.fault(), Some(Fault::LeaseLost | Fault::MembersDiffer(_))) =>
            {
                None
            }
            Err(error) => error.fault().map(|_| error.to_string()),
        };
        let alone = |entry: LedgerWrite| {
            if let (LedgerWrite::Intent { .. }, Some(why)) = (&entry, &failed) {
                return Err(Error::NotTried(why.clone()));
            }
            let of = self.change(|tx, under_way| self.enter_one(tx, under_way, intent, &entry, &mut None))?;
            Ok(entered(entry, of))
        };
        entries.into_iter().map(alone).collect()
    }

    /// Whether a batch is cleared; `None` for an answer or a withdrawal.
    fn enter_one(
        &self,
        tx: &Tx<'_>,
        under_way: &mut OpenRequests,
        intent: &Intent<'_>,
        entry: &LedgerWrite,
        in_force: &mut Option<InForce>,
    ) -> Result<Option<IntentResult>, Error> {
        match entry {
            LedgerWrite::Intent { attempt, batch } => {
                let intent = Intent {
                    attempt: *attempt,
                    ..*intent
                };
                self.clear(tx, under_way, &intent, batch, in_force).map(Some)
            }
            LedgerWrite::Answer {
                request,
                at,
                api_request_id,
                outcomes,
            } => record_outcomes(tx, *request, *at, api_request_id.as_deref(), outcomes, under_way).map(|()| None),
            LedgerWrite::Withdrawal { request, at, why } => {
                record_withdrawal(tx, *request, *at, why, under_way).map(|()| None)
            }
        }
    }

    fn clear(
        &self,
        tx: &Tx<'_>,
        under_way: &mut OpenRequests,
        intent: &Intent<'_>,
        batch: &Batch,
        in_force: &mut Option<InForce>,
    ) -> Result<IntentResult, Error> {
        self.must_hold(intent.lock)?;
        if !intent.lock.covers(batch.project()) {
            return Err(Error::of_file(Fault::LeaseLost));
        }
        let InForce { freezes, holds } = if let Some(in_force) = in_force {
            in_force
        } else {
            self.must_agree(tx, intent.lock)?;
            in_force.insert(InForce::read(tx, intent)?)
        };
        if let Some(freezes) = freezes {
            return Ok(IntentResult::Frozen(freezes.clone()));
        }
        let mut dropped = Vec::new();
        let mut left = Vec::new();
        for item in batch.items() {
            let candidate = &item.candidate;
            let covers =
                |hold: &&Hold| hold.covers_names(candidate.instance.id.as_str(), &candidate.id, &candidate.name);
            match holds.iter().find(covers) {
                Some(hold) => dropped.push((candidate.id.clone(), hold.clone())),
                None => left.push(item),
            }
        }
        if left.is_empty() {
            return Ok(IntentResult::Empty { dropped });
        }
        let request = record_intent(tx, intent, batch.project(), &left, under_way)?;
        Ok(IntentResult::Cleared { request, dropped })
    }
}

/// Takes out of a batch what was held; only then it may be sent.
fn drop_held(batch: &mut Batch, clearance: &IntentResult) {
    if let IntentResult::Cleared { dropped, .. } | IntentResult::Empty { dropped } = clearance
        && !dropped.is_empty()
    {
        let dropped: HashSet<&BackupId> = dropped.iter().map(|(id, _)| id).collect();
        batch.retain(|item| !dropped.contains(&item.candidate.id));
    }
}

fn entered(entry: LedgerWrite, cleared: Option<IntentResult>) -> Written {
    match entry {
        LedgerWrite::Intent { mut batch, .. } => {
            let clearance = cleared.unwrap_or(IntentResult::Empty { dropped: Vec::new() });
            drop_held(&mut batch, &clearance);
            Written::Intent(batch, clearance)
        }
        LedgerWrite::Answer { outcomes, .. } => Written::Answer(outcomes),
        LedgerWrite::Withdrawal { .. } => Written::Withdrawal,
    }
}

/// What holds and freezes when a batch is cleared; the same for all batches of one transaction, which nobody else changes meanwhile.
struct InForce {
    freezes: Option<Freezes>,
    holds: Vec<Hold>,
}

impl InForce {
    fn read(tx: &Tx<'_>, intent: &Intent<'_>) -> Result<Self, Error> {
        let placed = super::holds::all_freezes(tx)?.into_iter();
        let placed = placed.map(|(_, placed)| (placed.freeze, placed.id));
        let freezes = Freezes::in_force(intent.config_freeze.cloned(), placed, intent.now);
        let mut holds = super::holds::active(tx, intent.now)?;
        let configured = intent.config_holds.iter();
        holds.extend(configured.filter(|hold| hold.is_active(intent.now)).cloned());
        Ok(Self { freezes, holds })
    }
}

/// Records an intent, and that earlier requests for the same ids are sent again by it.
fn record_intent(
    tx: &Tx<'_>,
    intent: &Intent<'_>,
    project: &ProjectName,
    left: &[&PlannedDeletion],
    under_way: &mut OpenRequests,
) -> Result<RequestKey, Error> {
    let mut body = IntentBody {
        run: intent.run.to_owned(),
        attempt: intent.attempt,
        config_sha256: intent.config_sha256.to_owned(),
        project: project.clone(),
        instances: BTreeMap::new(),
        items: Vec::with_capacity(left.len()),
    };
    for item in left {
        let (candidate, instance) = (&item.candidate, &item.candidate.instance);
        let Some(listing) = intent.listings.get(&instance.id) else {
            return Err(Error::NoListing(instance.id.clone()));
        };
        body.instances
            .entry(instance.id.clone())
            .or_insert_with(|| IntendedInstance {
                name: instance.name.to_string(),
                listing: *listing,
            });
        body.items.push(IntendedItem {
            backup: candidate.id.clone(),
            name: candidate.name.to_string(),
            instance: instance.id.clone(),
            policy: item.policy.clone(),
            rule: (intent.rule)(&candidate.reason).to_owned(),
            begin: candidate.begin,
            size_bytes: candidate.size_bytes,
            status: candidate.status.as_str().to_owned(),
            resends: unsettled_request(under_way, &candidate.id)?.into_iter().collect(),
        });
    }
    let seq = chain::append(tx, intent.now, Kind::Intent, &body)?;
    let mut request_state = RequestState::new(seq, intent.run, intent.attempt, project, intent.now);
    for item in body.items.iter().filter(|item| !item.resends.is_empty()) {
        if let Some((earlier, place)) = under_way.last(&item.backup) {
            let earlier = (earlier.seq, place);
            under_way.set(earlier, DeletionState::Resent, seq);
        }
    }
    request_state.fill(body.items, std::iter::repeat((DeletionState::Intended, seq)))?;
    under_way.enter(request_state);
    Ok(RequestKey(seq))
}

/// The earlier request for an id that is answered but not settled. One that is not even answered is an error.
fn unsettled_request(under_way: &OpenRequests, backup: &BackupId) -> Result<Option<(i64, DeletionState)>, Error> {
    let Some((request_state, place)) = under_way.last(backup) else {
        return Ok(None);
    };
    match request_state.places[place].state {
        DeletionState::Intended => Err(Error::StillOpen {
            backup: backup.clone(),
            request: request_state.seq,
        }),
        state @ (DeletionState::Accepted | DeletionState::Unanswered) => Ok(Some((request_state.seq, state))),
        DeletionState::Rejected
        | DeletionState::Withdrawn
        | DeletionState::Resent
        | DeletionState::Confirmed
        | DeletionState::Returned => Ok(None),
    }
}

/// Records one outcome for each id of a request.
pub(super) fn record_outcomes(
    tx: &Tx<'_>,
    RequestKey(request): RequestKey,
    now: DateTime<Utc>,
    api_request_id: Option<&str>,
    outcomes: &[(BackupId, Outcome)],
    under_way: &mut OpenRequests,
) -> Result<(), Error> {
    let Some(request_state) = under_way
        .request_state(tx, request)?
        .filter(|request_state| request_state.answer.is_none())
    else {
        return Err(Error::NotOpen(request));
    };
    let differ = |what: String| Error::OutcomesDiffer { request, what };
    let mut awaited: HashMap<&BackupId, usize> = HashMap::with_capacity(request_state.places.len());
    awaited.extend(
        request_state
            .places
            .iter()
            .enumerate()
            .map(|(index, place)| (&place.backup, index)),
    );
    let mut answered = Vec::with_capacity(outcomes.len());
    for (backup, outcome) in outcomes {
        let Some(index) = awaited.remove(backup) else {
            return Err(differ(format!("{backup} was not asked, or has two outcomes")));
        };
        answered.push((index, state_of(outcome)));
    }
    if let Some(backup) = awaited.into_keys().min() {
        return Err(differ(format!("{backup} has none")));
    }
    let body = OutcomeBody {
        request,
        run: request_state.run.clone(),
        api_request_id: api_request_id.map(str::to_owned),
        outcomes: outcomes
            .iter()
            .map(|(backup, outcome)| OutcomeItem {
                backup: backup.clone(),
                outcome: outcome.clone(),
            })
            .collect(),
    };
    let seq = chain::append(tx, now, Kind::Outcome, &body)?;
    request_state.answer = Some(seq);
    for (index, state) in answered {
        (request_state.places[index].state, request_state.places[index].changed) = (state, seq);
    }
    under_way.changed(request);
    Ok(())
}

/// Records that a request was not sent: earlier ones that it stood in for are again what they were.
fn record_withdrawal(
    tx: &Tx<'_>,
    RequestKey(request): RequestKey,
    now: DateTime<Utc>,
    why: &str,
    under_way: &mut OpenRequests,
) -> Result<(), Error> {
    let request_state = under_way
        .request_state(tx, request)?
        .filter(|request_state| request_state.answer.is_none());
    let run = request_state.ok_or(Error::NotOpen(request))?.run.clone();
    let intent: IntentBody = rows::body(tx, request)?;
    let stood_in = |item: &IntendedItem| {
        let one = |(earlier, was): &(i64, DeletionState)| (item.backup.clone(), *earlier, *was);
        item.resends.iter().map(one).collect::<Vec<_>>()
    };
    let body = WithdrawnBody {
        request,
        run,
        why: why.to_owned(),
        restored: intent.items.iter().flat_map(stood_in).collect(),
        backups: intent.items.into_iter().map(|item| item.backup).collect(),
    };
    let row = chain::append(tx, now, Kind::Withdrawn, &body)?;
    under_way.withdraw(tx, (request, row), &body.restored)
}
