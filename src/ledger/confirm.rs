//! What listings say of ids that were sent: gone (confirmed) or still there (returned).

use chrono::{DateTime, Utc};
use rusqlite::Transaction;
use serde::{Deserialize, Serialize};

use super::chain::{self, Kind};
use super::past::DeletionState;
use super::requests::{RequestKey, set_state};
use super::{Error, Ledger, Stamp, from_column};
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

/// An id that a listing settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
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
    /// Its request.
    pub request: RequestKey,
    /// Gone (`true`) or still there.
    pub confirmed: bool,
}

#[derive(Serialize, Deserialize)]
pub(super) struct SettledBody {
    run: String,
    pub(super) backups: Vec<SettledItem>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct SettledItem {
    pub(super) backup: BackupId,
    pub(super) request: i64,
    pub(super) was: DeletionState,
}

impl Ledger {
    /// The ids that were sent and that no listing has settled, oldest request first.
    pub fn unconfirmed(&self) -> Result<Vec<Unconfirmed>, Error> {
        self.read(|tx| {
            let mut statement = tx.prepare_cached(
                "SELECT d.policy, r.project, d.instance, d.backup, d.size_bytes, d.state, r.at, c.at, d.request \
                 FROM deletion d JOIN request r ON r.seq = d.request JOIN chain c ON c.seq = r.answer \
                 WHERE d.state IN ('intended', 'accepted', 'unanswered') AND d.state <> 'intended' \
                 ORDER BY d.request, d.backup",
            )?;
            let mut rows = statement.query([])?;
            let mut unconfirmed = Vec::new();
            while let Some(row) = rows.next()? {
                let answered_at: String = row.get(7)?;
                unconfirmed.push(Unconfirmed {
                    policy: PolicyName::from(row.get::<_, String>(0)?),
                    project: ProjectName::from(row.get::<_, String>(1)?),
                    instance: InstanceId::from(row.get::<_, String>(2)?),
                    backup: BackupId::from(row.get::<_, String>(3)?),
                    size_bytes: from_column(row.get(4)?),
                    pending: match row.get(5)? {
                        DeletionState::Accepted => Pending::Accepted,
                        _ => Pending::Unanswered,
                    },
                    sent_at: row.get::<_, Stamp>(6)?.0,
                    answered_at: super::past::read_time(&answered_at)?,
                    request: RequestKey(row.get(8)?),
                });
            }
            Ok(unconfirmed)
        })
    }

    /// Records what a believed listing says: `confirmed` are gone from it, `returned` are still in it. Ids whose last
    /// request is settled already, or that were never sent, are passed over. A rejected id may be confirmed (the API
    /// says "not found" of what is gone). The grace of what is gone is forgotten.
    pub fn settle(
        &self,
        run: &str,
        now: DateTime<Utc>,
        confirmed: &[BackupId],
        returned: &[BackupId],
    ) -> Result<Vec<Settled>, Error> {
        if confirmed.is_empty() && returned.is_empty() {
            return Ok(Vec::new());
        }
        self.write(|tx| {
            let mut settled = settle_as(tx, run, now, Kind::Confirmed, confirmed)?;
            if super::grace::is_any(tx)? {
                for backup in confirmed {
                    super::grace::forget(tx, backup)?;
                }
            }
            settled.extend(settle_as(tx, run, now, Kind::Returned, returned)?);
            Ok(settled)
        })
    }
}

fn settle_as(
    tx: &Transaction<'_>,
    run: &str,
    now: DateTime<Utc>,
    kind: Kind,
    backups: &[BackupId],
) -> Result<Vec<Settled>, Error> {
    let confirmed = kind == Kind::Confirmed;
    let mut found = Vec::new();
    for backup in backups {
        if let Some((item, was)) = last_request(tx, backup, confirmed)? {
            found.push((item, was));
        }
    }
    let state = if confirmed {
        DeletionState::Confirmed
    } else {
        DeletionState::Returned
    };
    for rows in found.chunks(IDS_A_ROW) {
        let item = |(settled, was): &(Settled, DeletionState)| SettledItem {
            backup: settled.backup.clone(),
            request: settled.request.0,
            was: *was,
        };
        let body = SettledBody {
            run: run.to_owned(),
            backups: rows.iter().map(item).collect(),
        };
        let seq = chain::append(tx, now, kind, &body)?;
        for item in &body.backups {
            set_state(tx, &item.backup, item.request, state, seq)?;
        }
    }
    Ok(found.into_iter().map(|(settled, _)| settled).collect())
}

/// The last request for an id, if a listing can still settle it.
fn last_request(
    tx: &Transaction<'_>,
    backup: &BackupId,
    confirmed: bool,
) -> Result<Option<(Settled, DeletionState)>, Error> {
    let mut statement = tx.prepare_cached(
        "SELECT d.policy, r.project, d.instance, d.size_bytes, d.request, d.state \
         FROM deletion d JOIN request r ON r.seq = d.request WHERE d.backup = ?1 ORDER BY d.request DESC LIMIT 1",
    )?;
    let mut rows = statement.query([backup.as_str()])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let was: DeletionState = row.get(5)?;
    let can_settle = match was {
        DeletionState::Accepted | DeletionState::Unanswered => true,
        // A returned one may go after all; a rejected one may have been gone already.
        DeletionState::Rejected | DeletionState::Returned => confirmed,
        DeletionState::Intended | DeletionState::Confirmed | DeletionState::Resent => false,
    };
    if !can_settle {
        return Ok(None);
    }
    let settled = Settled {
        policy: PolicyName::from(row.get::<_, String>(0)?),
        project: ProjectName::from(row.get::<_, String>(1)?),
        instance: InstanceId::from(row.get::<_, String>(2)?),
        backup: backup.clone(),
        size_bytes: from_column(row.get(3)?),
        request: RequestKey(row.get(4)?),
        confirmed,
    };
    Ok(Some((settled, was)))
}
