//! What people did: holds, releases, freezes, thaws, approvals. From the chain's rows, which are never packed.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::approvals::ApproveBody;
use super::chain::{Kind, read_time};
use super::holds::{FreezeBody, HoldBody, ReleaseBody, ThawBody, freeze_id, id_of};
use super::listing_doubts::ApproveListingBody;
use super::{Error, Ledger};
use crate::retention::{HoldTarget, PolicyName};

/// What a person did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OperatorEvent {
    /// When.
    pub at: DateTime<Utc>,
    /// What.
    #[serde(flatten)]
    pub act: OperatorAct,
    /// Who, as they named themselves.
    pub by: String,
    /// Why, where they said it.
    pub reason: Option<String>,
}

/// What was done, to what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum OperatorAct {
    /// Backups were held.
    Hold {
        /// The hold's id.
        id: String,
        /// What it holds.
        target: HoldTarget,
        /// When it ends.
        until: Option<DateTime<Utc>>,
        /// Who asked for it.
        owner: Option<String>,
    },
    /// A hold was ended.
    Release {
        /// Its id.
        id: String,
    },
    /// All deletions were stopped.
    Freeze {
        /// The freeze's id.
        id: String,
        /// When it ends.
        until: Option<DateTime<Utc>>,
    },
    /// A freeze was ended.
    Thaw {
        /// Its id.
        id: String,
    },
    /// A refused plan was approved.
    Approve {
        /// Whose.
        policy: PolicyName,
        /// How many backups.
        backups: usize,
        /// What the plan is called.
        digest: Option<String>,
        /// Until when the approval lasts.
        until: DateTime<Utc>,
    },
    /// A listing that was not believed was accepted.
    ApproveListing {
        /// The instance, or the project.
        target: String,
    },
}

impl Ledger {
    /// What people did, the newest first, at most so much.
    pub fn operator_events(&self, limit: u32) -> Result<Vec<OperatorEvent>, Error> {
        let sql = "SELECT at, kind, body FROM chain \
                   WHERE kind IN ('hold', 'release', 'freeze', 'thaw', 'approve', 'approve_listing') ORDER BY seq DESC LIMIT ?1";
        self.read(|tx| {
            tx.all(sql, [i64::from(limit)], |row| {
                event(&row.get::<String>(0)?, &row.get::<String>(1)?, &row.get::<String>(2)?)
            })
        })
    }
}

fn event(at: &str, kind: &str, body: &str) -> Result<OperatorEvent, Error> {
    let (act, by, reason) = match Kind::parse(kind) {
        Some(Kind::Hold) => {
            let HoldBody { number, hold, by } = serde_json::from_str(body)?;
            let act = OperatorAct::Hold {
                id: id_of(number),
                target: hold.target,
                until: hold.until,
                owner: hold.owner,
            };
            (act, by, Some(hold.reason))
        }
        Some(Kind::Release) => {
            let ReleaseBody { number, by, reason } = serde_json::from_str(body)?;
            (OperatorAct::Release { id: id_of(number) }, by, reason)
        }
        Some(Kind::Freeze) => {
            let FreezeBody { number, freeze, by } = serde_json::from_str(body)?;
            let act = OperatorAct::Freeze {
                id: freeze_id(number.unwrap_or(1)),
                until: freeze.until,
            };
            (act, by, Some(freeze.reason))
        }
        Some(Kind::Thaw) => {
            let ThawBody { number, by, reason } = serde_json::from_str(body)?;
            let id = freeze_id(number.unwrap_or(1));
            (OperatorAct::Thaw { id }, by, reason)
        }
        Some(Kind::Approve) => {
            let body: ApproveBody = serde_json::from_str(body)?;
            let act = OperatorAct::Approve {
                policy: body.policy,
                backups: body.backups.len(),
                digest: body.digest,
                until: body.until,
            };
            (act, body.by, body.reason)
        }
        Some(Kind::ApproveListing) => {
            let body: ApproveListingBody = serde_json::from_str(body)?;
            (
                OperatorAct::ApproveListing { target: body.target },
                body.by,
                body.reason,
            )
        }
        _ => return Err(Error::corrupt(format!("a row of kind {kind:?} is no act of a person"))),
    };
    Ok(OperatorEvent {
        at: read_time(at)?,
        act,
        by,
        reason,
    })
}
