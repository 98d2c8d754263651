//! What became of one backup: for `why`, and for the export.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::chain::{Kind, read_time};
use super::records::{IntendedItem, IntentBody, OutcomeBody};
use super::rows::{Chunks, time_of};
use super::sql::Tx;
use super::sql_value::{Parameters, Stamp};
use super::{DeletionState, Error, Ledger, Listing, RequestKey, archive, request_state, rows};
use crate::retention::{BackupId, InstanceId, Outcome, PolicyName, ProjectName};

/// One requested deletion, with all that justified it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PastDeletion {
    /// The backup.
    pub backup: BackupId,
    /// Its name.
    pub backup_name: String,
    /// Its `begin_time`.
    pub begin_time: DateTime<Utc>,
    /// Its size.
    pub size_bytes: u64,
    /// Its status in the listing.
    pub status: String,
    /// Its project.
    pub project: ProjectName,
    /// Its instance.
    pub instance_id: InstanceId,
    /// The instance's name then.
    pub instance_name: String,
    /// The deleting policy.
    pub policy: PolicyName,
    /// Why the policy let it go.
    pub rule: String,
    /// SHA-256 of the configuration.
    pub config_sha256: String,
    /// The run.
    pub run: String,
    /// Which attempt of the run.
    pub attempt: u32,
    /// The listing that was decided on.
    pub listing: Listing,
    /// The intent's row of the chain.
    pub request: RequestKey,
    /// The id that the API gave its answer.
    pub request_id: Option<String>,
    /// When the intent was recorded.
    pub sent_at: DateTime<Utc>,
    /// When the answer was recorded; `None` also of what was withdrawn.
    pub answered_at: Option<DateTime<Utc>>,
    /// The answer.
    #[serde(flatten)]
    pub outcome: Option<Outcome>,
    /// When a listing settled it.
    pub settled_at: Option<DateTime<Utc>>,
    /// Where it stands now.
    pub state: DeletionState,
}

impl PastDeletion {
    /// Whether its request may have reached the API.
    pub fn was_sent(&self) -> bool {
        self.state != DeletionState::Withdrawn
    }
}

impl Ledger {
    /// Calls `visit` with the id and the name of every backup whose deletion was ever intended, the newest request first. Reads the
    /// whole history, for someone who does not know the id.
    pub fn each_intended(&self, mut visit: impl FnMut(&BackupId, &str)) -> Result<(), Error> {
        self.read(|tx| {
            let pieces = Chunks::default();
            tx.each("SELECT seq FROM request ORDER BY seq DESC", (), |row| {
                let intent: IntentBody = serde_json::from_str(&rows::row(tx, &pieces, row.get(0)?)?.body)?;
                intent.items.iter().for_each(|item| visit(&item.backup, &item.name));
                Ok(ControlFlow::Continue(()))
            })
        })
    }

    /// Where the last request that was sent for each of these backups stands; reads the whole history once.
    pub fn last_states(&self, backups: &HashSet<BackupId>) -> Result<HashMap<BackupId, DeletionState>, Error> {
        let mut last = HashMap::new();
        if backups.is_empty() {
            return Ok(last);
        }
        self.read(|tx| {
            let pieces = Chunks::default();
            tx.each("SELECT seq FROM request ORDER BY seq DESC", (), |row| {
                let seq = row.get(0)?;
                let intent: IntentBody = serde_json::from_str(&rows::row(tx, &pieces, seq)?.body)?;
                let states = request_state::states_of(tx, seq)?.unwrap_or_default();
                for (item, (state, _)) in intent.items.into_iter().zip(states) {
                    if state != DeletionState::Withdrawn && backups.contains(&item.backup) {
                        last.entry(item.backup).or_insert(state);
                    }
                }
                Ok(ControlFlow::Continue(()))
            })
        })?;
        Ok(last)
    }

    /// Every deletion that a run requested, oldest first; from the chain's rows.
    pub fn deletions_of_run(&self, run: &str) -> Result<Vec<PastDeletion>, Error> {
        self.deletions("run = ?1", [run])
    }

    /// Every deletion that was requested from one time to before another, oldest first; from the chain's rows.
    pub fn deletions_between(&self, from: DateTime<Utc>, to: DateTime<Utc>) -> Result<Vec<PastDeletion>, Error> {
        self.deletions("at >= ?1 AND at < ?2", (Stamp(from), Stamp(to)))
    }

    fn deletions(&self, which: &str, values: impl Parameters) -> Result<Vec<PastDeletion>, Error> {
        self.read(|tx| {
            let pieces = Chunks::default();
            let sql = format!("SELECT seq FROM request WHERE {which} ORDER BY seq");
            let requests: Vec<i64> = tx.all(&sql, values, |row| row.get(0))?;
            let mut deletions = Vec::new();
            for seq in requests {
                deletions.extend(deletions_of_request(tx, &pieces, seq)?);
            }
            Ok(deletions)
        })
    }

    /// The deletions that were sent last, the newest request first.
    pub fn last_deletions(&self, limit: u32) -> Result<Vec<PastDeletion>, Error> {
        let most = usize::try_from(limit).unwrap_or(usize::MAX);
        self.read(|tx| {
            let pieces = Chunks::default();
            // Each request has at least one id.
            let sql = "SELECT seq FROM request ORDER BY seq DESC LIMIT ?1";
            let requests: Vec<i64> = tx.all(sql, [i64::from(limit)], |row| row.get(0))?;
            let mut deletions = Vec::new();
            for seq in requests {
                deletions.extend(deletions_of_request(tx, &pieces, seq)?);
                deletions.retain(PastDeletion::was_sent);
                if deletions.len() >= most {
                    break;
                }
            }
            deletions.truncate(most);
            Ok(deletions)
        })
    }

    /// Every deletion of this backup that was requested, oldest first; from the chain's rows.
    pub fn backup_history(&self, backup: &BackupId) -> Result<Vec<PastDeletion>, Error> {
        self.read(|tx| {
            let pieces = Chunks::default();
            let mut history = Vec::new();
            for seq in archive::intents_of(tx, backup)? {
                let request = PastRequest::load(tx, &pieces, seq)?;
                let (answered_at, body) = request.answer(tx, &pieces)?;
                let place = request.intent.items.iter().position(|item| item.backup == *backup);
                let place = place.ok_or_else(|| Error::corrupt(format!("row {seq} does not name {backup}")))?;
                let answer = PastAnswer::of(backup, answered_at, body.as_ref());
                history.push(past(tx, &pieces, &request, place, answer)?);
            }
            Ok(history)
        })
    }
}

struct PastRequest {
    seq: i64,
    intent: IntentBody,
    answer: Option<i64>,
    sent_at: DateTime<Utc>,
    /// Of each id of the intent: its state, and the row that gave it.
    states: Vec<(DeletionState, i64)>,
}

impl PastRequest {
    fn load(tx: &Tx<'_>, pieces: &Chunks, seq: i64) -> Result<Self, Error> {
        let answer: Option<Option<i64>> = tx.value("SELECT answer FROM request WHERE seq = ?1", [seq])?;
        let row = rows::row(tx, pieces, seq)?;
        Ok(Self {
            seq,
            intent: serde_json::from_str(&row.body)?,
            answer: answer.flatten(),
            sent_at: read_time(&row.at)?,
            states: request_state::states_of(tx, seq)?.unwrap_or_default(),
        })
    }

    /// What was answered, and when; what was withdrawn has no answer.
    fn answer(&self, tx: &Tx<'_>, pieces: &Chunks) -> Result<(Option<DateTime<Utc>>, Option<OutcomeBody>), Error> {
        let Some(seq) = self.answer else {
            return Ok((None, None));
        };
        let row = rows::row(tx, pieces, seq)?;
        if row.kind != Kind::Outcome.as_str() {
            return Ok((None, None));
        }
        Ok((Some(read_time(&row.at)?), serde_json::from_str(&row.body)?))
    }
}

struct PastAnswer {
    request_id: Option<String>,
    answered_at: Option<DateTime<Utc>>,
    outcome: Option<Outcome>,
}

impl PastAnswer {
    /// What an answer says of one backup.
    fn of(backup: &BackupId, answered_at: Option<DateTime<Utc>>, body: Option<&OutcomeBody>) -> Self {
        let outcome = body.and_then(|body| body.outcomes.iter().find(|found| found.backup == *backup));
        Self {
            request_id: body.and_then(|body| body.api_request_id.clone()),
            answered_at,
            outcome: outcome.map(|found| found.outcome.clone()),
        }
    }
}

/// The deletion of the id at one place of a request.
fn past(
    tx: &Tx<'_>,
    pieces: &Chunks,
    request: &PastRequest,
    place: usize,
    answer: PastAnswer,
) -> Result<PastDeletion, Error> {
    let corrupt = |what: &dyn std::fmt::Display| Error::corrupt(format!("row {} does not name {what}", request.seq));
    let intent = &request.intent;
    let item = intent.items.get(place).ok_or_else(|| corrupt(&place))?;
    let instance = intent.instances.get(&item.instance);
    let instance = instance.ok_or_else(|| corrupt(&item.instance))?;
    let state = request.states.get(place);
    let (state, changed) = *state.ok_or_else(|| Error::corrupt(format!("request {} has no states", request.seq)))?;
    let settled_at = match state {
        DeletionState::Confirmed | DeletionState::Returned => Some(time_of(tx, pieces, changed)?),
        _ => None,
    };
    Ok(PastDeletion {
        backup: item.backup.clone(),
        backup_name: item.name.clone(),
        begin_time: item.begin,
        size_bytes: item.size_bytes,
        status: item.status.clone(),
        project: intent.project.clone(),
        instance_id: item.instance.clone(),
        instance_name: instance.name.clone(),
        policy: item.policy.clone(),
        rule: item.rule.clone(),
        config_sha256: intent.config_sha256.clone(),
        run: intent.run.clone(),
        attempt: intent.attempt,
        listing: instance.listing,
        request: RequestKey(request.seq),
        request_id: answer.request_id,
        sent_at: request.sent_at,
        answered_at: answer.answered_at,
        outcome: answer.outcome,
        settled_at,
        state,
    })
}

/// The deletions that a request asked for.
fn deletions_of_request(tx: &Tx<'_>, pieces: &Chunks, seq: i64) -> Result<Vec<PastDeletion>, Error> {
    let request = PastRequest::load(tx, pieces, seq)?;
    let (answered_at, body) = request.answer(tx, pieces)?;
    let deletion = |(place, item): (usize, &IntendedItem)| {
        let answer = PastAnswer::of(&item.backup, answered_at, body.as_ref());
        past(tx, pieces, &request, place, answer)
    };
    request.intent.items.iter().enumerate().map(deletion).collect()
}

/// The deletions that a row of outcomes is about.
pub(super) fn deletions_of(tx: &Tx<'_>, pieces: &Chunks, outcome: &str) -> Result<Vec<PastDeletion>, Error> {
    let body: OutcomeBody = serde_json::from_str(outcome)?;
    let request = PastRequest::load(tx, pieces, body.request)?;
    let answered_at = request.answer.map(|seq| time_of(tx, pieces, seq)).transpose()?;
    let mut outcomes: HashMap<BackupId, Outcome> = body
        .outcomes
        .into_iter()
        .map(|item| (item.backup, item.outcome))
        .collect();
    let deletion = |(place, item): (usize, &IntendedItem)| {
        let answer = PastAnswer {
            request_id: body.api_request_id.clone(),
            answered_at,
            outcome: outcomes.remove(&item.backup),
        };
        past(tx, pieces, &request, place, answer)
    };
    request.intent.items.iter().enumerate().map(deletion).collect()
}
