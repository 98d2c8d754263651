//! Where each id of a request stands: one row a request, because a row an id was most of what a large run cost.
//!
//! The ids are in the intent's row of the chain. `request.states` says of each, in the same order, its state (a letter)
//! and the row of the chain that gave it: `a7 a7 c12`. Whoever deletes holds the lock, so what a run sends it alone
//! changes: [`OpenRequests`] keeps that in memory, by id.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};

use super::records::{IntendedItem, IntentBody};
use super::sql::{FoundRow, Tx};
use super::sql_value::Stamp;
use super::{DeletionState, Error, rows};
use crate::retention::{BackupId, InstanceId, PolicyName, ProjectName};

/// One id of a request. A large run has as many in memory as it deletes.
#[derive(Clone, Debug)]
pub(super) struct IdState {
    pub(super) backup: BackupId,
    pub(super) size_bytes: u64,
    /// The row of the chain that gave it its state.
    pub(super) changed: i64,
    pub(super) state: DeletionState,
    /// Which of the sheet's instances and policies.
    instance: u16,
    policy: u16,
}

/// One request and where its ids stand.
#[derive(Clone, Debug)]
pub(super) struct RequestState {
    /// The intent's row of the chain.
    pub(super) seq: i64,
    pub(super) run: String,
    pub(super) attempt: u32,
    pub(super) project: ProjectName,
    pub(super) at: DateTime<Utc>,
    /// The row of the chain with the outcomes, or with the withdrawal.
    pub(super) answer: Option<i64>,
    pub(super) places: Vec<IdState>,
    instances: Vec<InstanceId>,
    policies: Vec<PolicyName>,
}

const COLUMNS: &str = "seq, run, attempt, project, at, answer, states";

fn letter(state: DeletionState) -> char {
    match state {
        DeletionState::Intended => 'i',
        DeletionState::Accepted => 'a',
        DeletionState::Rejected => 'r',
        DeletionState::Unanswered => 'u',
        DeletionState::Withdrawn => 'w',
        DeletionState::Resent => 's',
        DeletionState::Confirmed => 'c',
        DeletionState::Returned => 'b',
    }
}

/// Where a value is in a list that holds each once.
fn place_of<T: PartialEq>(list: &mut Vec<T>, value: T) -> Result<u16, Error> {
    let place = list.iter().position(|known| *known == value).unwrap_or_else(|| {
        list.push(value);
        list.len() - 1
    });
    u16::try_from(place).map_err(|_| Error::corrupt("a request of more instances or policies than one can have"))
}

/// The columns `states` and `unsettled`.
fn written(states: impl Iterator<Item = (DeletionState, i64)>) -> (String, i64) {
    let (mut text, mut unsettled) = (String::new(), 0);
    for (state, changed) in states {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push(letter(state));
        text.push_str(&changed.to_string());
        unsettled += i64::from(state.is_unsettled());
    }
    (text, unsettled)
}

fn read_states(text: &str) -> Result<Vec<(DeletionState, i64)>, Error> {
    let one = |word: &str| {
        let state = DeletionState::ALL
            .into_iter()
            .find(|state| word.starts_with(letter(*state)))?;
        Some((state, word[1..].parse().ok()?))
    };
    let read: Option<Vec<_>> = text.split_ascii_whitespace().map(one).collect();
    read.ok_or_else(|| Error::corrupt(format!("a request's states: {text:?}")))
}

/// The states of a request's ids, in the order of its intent; `None` when there is no such request. An error too where
/// the number of those that wait is not what the row says.
pub(super) fn states_of(tx: &Tx<'_>, seq: i64) -> Result<Option<Vec<(DeletionState, i64)>>, Error> {
    let found: Option<(String, i64)> =
        tx.first("SELECT states, unsettled FROM request WHERE seq = ?1", [seq], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    let Some((text, unsettled)) = found else {
        return Ok(None);
    };
    let states = read_states(&text)?;
    if written(states.iter().copied()) != (text, unsettled) {
        return Err(Error::corrupt(format!(
            "request {seq}: not {unsettled} of its ids wait"
        )));
    }
    Ok(Some(states))
}

impl RequestState {
    /// A request that has just been intended.
    pub(super) fn new(seq: i64, run: &str, attempt: u32, project: &ProjectName, at: DateTime<Utc>) -> Self {
        Self {
            seq,
            run: run.to_owned(),
            attempt,
            project: project.clone(),
            at,
            answer: None,
            places: Vec::new(),
            instances: Vec::new(),
            policies: Vec::new(),
        }
    }

    /// Takes in the ids of its intent, each with its state and the row that gave it.
    pub(super) fn fill(
        &mut self,
        items: Vec<IntendedItem>,
        states: impl Iterator<Item = (DeletionState, i64)>,
    ) -> Result<(), Error> {
        self.places.reserve_exact(items.len());
        for (item, (state, changed)) in items.into_iter().zip(states) {
            let place = IdState {
                instance: place_of(&mut self.instances, item.instance)?,
                policy: place_of(&mut self.policies, item.policy)?,
                backup: item.backup,
                size_bytes: item.size_bytes,
                changed,
                state,
            };
            self.places.push(place);
        }
        self.instances.shrink_to_fit();
        Ok(())
    }

    /// The instance of one of its ids.
    pub(super) fn instance_of(&self, place: &IdState) -> &InstanceId {
        &self.instances[usize::from(place.instance)]
    }

    /// The deleting policy of one of its ids.
    pub(super) fn policy_of(&self, place: &IdState) -> &PolicyName {
        &self.policies[usize::from(place.policy)]
    }

    fn read(tx: &Tx<'_>, row: &FoundRow<'_>) -> Result<Self, Error> {
        let (seq, states): (i64, String) = (row.get(0)?, row.get(6)?);
        let states = read_states(&states)?;
        let intent: IntentBody = rows::body(tx, seq)?;
        if intent.items.len() != states.len() {
            return Err(Error::corrupt(format!(
                "request {seq} has states of {} ids",
                states.len()
            )));
        }
        let (run, project): (String, String) = (row.get(1)?, row.get(3)?);
        let mut request_state = Self::new(seq, &run, row.get(2)?, &project.into(), row.get::<Stamp>(4)?.0);
        request_state.answer = row.get(5)?;
        request_state.fill(intent.items, states.into_iter())?;
        Ok(request_state)
    }

    /// Every request of which something waits for an answer or a listing, in order.
    pub(super) fn unsettled(tx: &Tx<'_>) -> Result<Vec<Self>, Error> {
        let sql = format!("SELECT {COLUMNS} FROM request WHERE unsettled > 0 ORDER BY seq");
        tx.all(&sql, (), |row| Self::read(tx, row))
    }

    fn load(tx: &Tx<'_>, seq: i64) -> Result<Option<Self>, Error> {
        let sql = format!("SELECT {COLUMNS} FROM request WHERE seq = ?1");
        tx.first(&sql, [seq], |row| Self::read(tx, row))
    }

    /// Writes the rows of requests, new or as they now stand.
    fn write_all(tx: &Tx<'_>, request_states: &[&Self]) -> Result<(), Error> {
        let rows = request_states.iter().map(|of| {
            let (states, unsettled) = written(of.places.iter().map(|place| (place.state, place.changed)));
            let (run, project) = (of.run.as_str(), of.project.as_str());
            (
                of.seq,
                run,
                of.attempt,
                project,
                Stamp(of.at),
                of.answer,
                states,
                unsettled,
            )
        });
        tx.insert_each(
            "INSERT INTO request (seq, run, attempt, project, at, answer, states, unsettled) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (seq) DO UPDATE \
             SET answer = excluded.answer, states = excluded.states, unsettled = excluded.unsettled",
            rows,
        )
    }

    /// Whether no later row of the chain can change it, but for a withdrawal of what was sent again.
    fn is_over(&self) -> bool {
        let over = |place: &IdState| {
            matches!(
                place.state,
                DeletionState::Confirmed | DeletionState::Resent | DeletionState::Withdrawn
            )
        };
        self.places.iter().all(over)
    }
}

/// What a run has sent, and what earlier runs sent that nothing has settled.
///
/// Changed inside of a transaction, and kept only when that is on disk ([`super::Ledger::change`]).
#[derive(Debug, Default)]
pub(super) struct OpenRequests {
    is_loaded: bool,
    /// Who had the right to delete when it was read (which lock file, or how often leases had been taken): whoever got it since may have
    /// changed what is here.
    holder: String,
    request_states: HashMap<i64, RequestState>,
    /// The last request for an id, and its place there.
    last: HashMap<BackupId, (i64, usize)>,
    /// Requests that are not on disk as they stand here.
    changed: BTreeSet<i64>,
}

impl OpenRequests {
    /// Forgets all where another process got the right to delete since it was read.
    pub(super) fn keep_while(&mut self, holder: String) {
        if self.holder != holder {
            *self = Self {
                holder,
                ..Self::default()
            };
        }
    }

    /// Reads it from the tables, unless that was done.
    pub(super) fn load(&mut self, tx: &Tx<'_>) -> Result<(), Error> {
        if !self.is_loaded {
            for request_state in RequestState::unsettled(tx)? {
                self.know(request_state);
            }
            self.is_loaded = true;
        }
        Ok(())
    }

    /// Takes in a new request.
    pub(super) fn enter(&mut self, request_state: RequestState) {
        self.changed.insert(request_state.seq);
        self.know(request_state);
    }

    fn know(&mut self, request_state: RequestState) {
        let sent = |place: &&(usize, &IdState)| place.1.state != DeletionState::Withdrawn;
        for (index, place) in request_state.places.iter().enumerate().filter(|place| sent(&place)) {
            let last = self
                .last
                .entry(place.backup.clone())
                .or_insert((request_state.seq, index));
            if last.0 <= request_state.seq {
                *last = (request_state.seq, index);
            }
        }
        self.request_states.insert(request_state.seq, request_state);
    }

    /// The last request for an id, and the id's place in it.
    pub(super) fn last(&self, backup: &BackupId) -> Option<(&RequestState, usize)> {
        let (seq, index) = self.last.get(backup)?;
        Some((self.request_states.get(seq)?, *index))
    }

    /// One request; from the tables where it is not known. Whoever changes it says so by [`Self::changed`].
    pub(super) fn request_state(&mut self, tx: &Tx<'_>, seq: i64) -> Result<Option<&mut RequestState>, Error> {
        if !self.request_states.contains_key(&seq)
            && let Some(request_state) = RequestState::load(tx, seq)?
        {
            self.know(request_state);
        }
        Ok(self.request_states.get_mut(&seq))
    }

    /// A request is to be written.
    pub(super) fn changed(&mut self, seq: i64) {
        self.changed.insert(seq);
    }

    /// A row of the chain gives one id of a request another state.
    pub(super) fn set(&mut self, (seq, index): (i64, usize), state: DeletionState, row: i64) {
        if let Some(place) = self
            .request_states
            .get_mut(&seq)
            .and_then(|request_state| request_state.places.get_mut(index))
        {
            (place.state, place.changed) = (state, row);
            self.changed.insert(seq);
        }
    }

    /// A request was never sent: the last one for each of its ids is again the one before it, which for the ids in `restored` is again
    /// in the state it had (the request, and that state).
    pub(super) fn withdraw(
        &mut self,
        tx: &Tx<'_>,
        (seq, row): (i64, i64),
        restored: &[(BackupId, i64, DeletionState)],
    ) -> Result<(), Error> {
        let Some(request_state) = self.request_state(tx, seq)? else {
            return Ok(());
        };
        request_state.answer = Some(row);
        for place in &mut request_state.places {
            (place.state, place.changed) = (DeletionState::Withdrawn, row);
        }
        let ids: Vec<BackupId> = request_state.places.iter().map(|place| place.backup.clone()).collect();
        self.changed.insert(seq);
        for (backup, earlier, state) in restored {
            let Some(request_state) = self.request_state(tx, *earlier)? else {
                continue;
            };
            let answer = request_state.answer.unwrap_or(*earlier);
            for place in request_state.places.iter_mut().filter(|place| place.backup == *backup) {
                (place.state, place.changed) = (*state, answer);
            }
            self.changed.insert(*earlier);
        }
        for backup in ids {
            let of = |(earlier, request_state): (&i64, &RequestState)| {
                let place = request_state.places.iter().position(|place| place.backup == backup)?;
                (*earlier < seq && request_state.places[place].state != DeletionState::Withdrawn)
                    .then_some((*earlier, place))
            };
            match self.request_states.iter().filter_map(of).max() {
                Some(earlier) => self.last.insert(backup, earlier),
                None => self.last.remove(&backup),
            };
        }
        Ok(())
    }

    /// Writes what has changed, each request once, and forgets what no later row can change.
    pub(super) fn write(&mut self, tx: &Tx<'_>) -> Result<(), Error> {
        let changed = std::mem::take(&mut self.changed);
        let known: Vec<&RequestState> = changed.iter().filter_map(|seq| self.request_states.get(seq)).collect();
        RequestState::write_all(tx, &known)?;
        for seq in changed {
            let Some(request_state) = self.request_states.get(&seq) else {
                continue;
            };
            if request_state.is_over()
                && let Some(request_state) = self.request_states.remove(&seq)
            {
                for place in &request_state.places {
                    if self.last.get(&place.backup).is_some_and(|(last, _)| *last == seq) {
                        self.last.remove(&place.backup);
                    }
                }
            }
        }
        Ok(())
    }
}
