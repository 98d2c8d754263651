//! What became of one backup: for `why`, and for the export.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{OptionalExtension, Transaction};
use serde::{Deserialize, Serialize};

use super::requests::{IntendedItem, IntentBody, Listing, OutcomeBody, RequestKey};
use super::{Error, Ledger, chain};
use crate::retention::{BackupId, InstanceId, Outcome, PolicyName, ProjectName};

/// Where a requested deletion stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeletionState {
    /// On disk, not answered.
    Intended,
    /// The API accepted it.
    Accepted,
    /// The API refused it.
    Rejected,
    /// It is not known whether the API acted.
    Unanswered,
    /// A later request for the same id stands in for it.
    Resent,
    /// Gone from the listing.
    Confirmed,
    /// Accepted, yet still there.
    Returned,
}

impl DeletionState {
    const ALL: [Self; 7] = [
        Self::Intended,
        Self::Accepted,
        Self::Rejected,
        Self::Unanswered,
        Self::Resent,
        Self::Confirmed,
        Self::Returned,
    ];

    /// As tables and reports write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Intended => "intended",
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
            Self::Unanswered => "unanswered",
            Self::Resent => "resent",
            Self::Confirmed => "confirmed",
            Self::Returned => "returned",
        }
    }
}

impl ToSql for DeletionState {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.as_str().into())
    }
}

impl FromSql for DeletionState {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let text = value.as_str()?;
        let state = Self::ALL.into_iter().find(|state| state.as_str() == text);
        state.ok_or_else(|| FromSqlError::Other(format!("unknown state {text:?}").into()))
    }
}

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
    /// When the answer was recorded.
    pub answered_at: Option<DateTime<Utc>>,
    /// The answer.
    #[serde(flatten)]
    pub outcome: Option<Outcome>,
    /// When a listing settled it.
    pub settled_at: Option<DateTime<Utc>>,
    /// Where it stands now.
    pub state: DeletionState,
}

pub(super) fn read_time(text: &str) -> Result<DateTime<Utc>, Error> {
    DateTime::parse_from_rfc3339(text)
        .map(|at| at.to_utc())
        .map_err(|error| Error::corrupt(format!("the time {text:?} in a row: {error}")))
}

fn time_of(tx: &Transaction<'_>, seq: i64) -> Result<DateTime<Utc>, Error> {
    let at: String = tx
        .prepare_cached("SELECT at FROM chain WHERE seq = ?1")?
        .query_row([seq], |row| row.get(0))?;
    read_time(&at)
}

impl Ledger {
    /// Every deletion of this backup that was requested, oldest first; from the chain's rows.
    pub fn backup_history(&self, backup: &BackupId) -> Result<Vec<PastDeletion>, Error> {
        self.read(|tx| {
            let requests: Vec<i64> = tx
                .prepare_cached("SELECT request FROM deletion WHERE backup = ?1 ORDER BY request")?
                .query_map([backup.as_str()], |row| row.get(0))?
                .collect::<Result<_, _>>()?;
            let mut history = Vec::new();
            for request in requests {
                let Request {
                    intent,
                    answer,
                    sent_at,
                } = Request::load(tx, request)?;
                let answer = match answer {
                    Some(seq) => Some((time_of(tx, seq)?, chain::body::<OutcomeBody>(tx, seq)?)),
                    None => None,
                };
                let item = intent.items.iter().find(|item| item.backup == *backup);
                let item = item.ok_or_else(|| Error::corrupt(format!("row {request} does not name {backup}")))?;
                let outcome = answer.as_ref().and_then(|(_, body)| {
                    let mut outcomes = body.outcomes.iter();
                    outcomes
                        .find(|found| found.backup == *backup)
                        .map(|found| found.outcome.clone())
                });
                let answered_at = answer.as_ref().map(|(at, _)| *at);
                let request_id = answer.and_then(|(_, body)| body.api_request_id);
                let answer = Answer {
                    request_id,
                    answered_at,
                    outcome,
                };
                history.push(past(tx, request, sent_at, &intent, item, answer)?);
            }
            Ok(history)
        })
    }
}

struct Request {
    intent: IntentBody,
    answer: Option<i64>,
    sent_at: DateTime<Utc>,
}

impl Request {
    fn load(tx: &Transaction<'_>, seq: i64) -> Result<Self, Error> {
        let answer: Option<Option<i64>> = tx
            .prepare_cached("SELECT answer FROM request WHERE seq = ?1")?
            .query_row([seq], |row| row.get(0))
            .optional()?;
        Ok(Self {
            intent: chain::body(tx, seq)?,
            answer: answer.flatten(),
            sent_at: time_of(tx, seq)?,
        })
    }
}

struct Answer {
    request_id: Option<String>,
    answered_at: Option<DateTime<Utc>>,
    outcome: Option<Outcome>,
}

fn past(
    tx: &Transaction<'_>,
    request: i64,
    sent_at: DateTime<Utc>,
    intent: &IntentBody,
    item: &IntendedItem,
    answer: Answer,
) -> Result<PastDeletion, Error> {
    let instance = intent.instances.get(&item.instance);
    let instance = instance.ok_or_else(|| Error::corrupt(format!("row {request} does not name {}", item.instance)))?;
    let (state, changed): (DeletionState, i64) = tx
        .prepare_cached("SELECT state, changed FROM deletion WHERE backup = ?1 AND request = ?2")?
        .query_row((item.backup.as_str(), request), |row| Ok((row.get(0)?, row.get(1)?)))?;
    let settled_at = match state {
        DeletionState::Confirmed | DeletionState::Returned => Some(time_of(tx, changed)?),
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
        request: RequestKey(request),
        request_id: answer.request_id,
        sent_at,
        answered_at: answer.answered_at,
        outcome: answer.outcome,
        settled_at,
        state,
    })
}

/// The deletions that a row of outcomes is about.
pub(super) fn deletions_of(tx: &Transaction<'_>, outcome: &str) -> Result<Vec<PastDeletion>, Error> {
    let body: OutcomeBody = serde_json::from_str(outcome)?;
    let Request {
        intent,
        answer,
        sent_at,
    } = Request::load(tx, body.request)?;
    let answered_at = answer.map(|seq| time_of(tx, seq)).transpose()?;
    let mut outcomes: HashMap<BackupId, Outcome> = body
        .outcomes
        .into_iter()
        .map(|item| (item.backup, item.outcome))
        .collect();
    let deletion = |item: &IntendedItem| {
        let answer = Answer {
            request_id: body.api_request_id.clone(),
            answered_at,
            outcome: outcomes.remove(&item.backup),
        };
        past(tx, body.request, sent_at, &intent, item, answer)
    };
    intent.items.iter().map(deletion).collect()
}
