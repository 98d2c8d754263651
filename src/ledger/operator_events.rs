//! What people did: holds, releases, freezes, thaws, approvals. From the chain's rows, which are never packed.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::approvals::ApproveBody;
use super::chain::{Kind, LAST_OPERATOR_ROWS, read_time};
use super::listing_doubts::ApproveListingBody;
use super::moved::MoveBody;
use super::operator_records::{FreezeBody, HoldBody, ReleaseBody, ThawBody, freeze_id, id_of};
use super::protection::ProposeBody;
use super::set_back::AcceptRewindBody;
use super::{Error, Ledger, Person};
use crate::retention::{HoldTarget, PolicyName};

/// What a person did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OperatorEvent {
    /// When.
    pub at: DateTime<Utc>,
    /// What.
    #[serde(flatten)]
    pub act: OperatorAct,
    /// Who: by the login; what older versions wrote is what was claimed.
    pub by: String,
    /// What is known of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub person: Option<Person>,
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
        /// Whether nothing can release it before its end.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        compliance: bool,
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
    /// A hold or a freeze of another person was to be ended, which takes a second person.
    Propose {
        /// Its id.
        id: String,
        /// Until when a second person can agree.
        until: DateTime<Utc>,
    },
    /// A state that was set back was accepted as it is.
    AcceptRewind {
        /// How many anchored heads are not in it.
        missing: usize,
    },
    /// The state was moved here.
    Move {
        /// From where.
        from: String,
        /// Here.
        to: String,
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
        self.read(|tx| {
            tx.all(LAST_OPERATOR_ROWS, [i64::from(limit)], |row| {
                event(&row.get::<String>(0)?, &row.get::<String>(1)?, &row.get::<String>(2)?)
            })
        })
    }
}

/// What a row says was done, who did it by name, the reason, and what is known of them.
type Done = (OperatorAct, String, Option<String>, Option<Person>);

fn event(at: &str, kind: &str, body: &str) -> Result<OperatorEvent, Error> {
    let parsed = Kind::parse(kind);
    let done = match protecting(parsed, body)? {
        Some(done) => Some(done),
        None => permitting(parsed, body)?,
    };
    let (act, by, reason, person) =
        done.ok_or_else(|| Error::corrupt(format!("a row of kind {kind:?} is no act of a person")))?;
    Ok(OperatorEvent {
        at: read_time(at)?,
        act,
        by,
        person,
        reason,
    })
}

/// Of holds and freezes.
fn protecting(kind: Option<Kind>, body: &str) -> Result<Option<Done>, Error> {
    Ok(Some(match kind {
        Some(Kind::Hold) => {
            let body: HoldBody = serde_json::from_str(body)?;
            let act = OperatorAct::Hold {
                id: id_of(body.number),
                target: body.hold.target,
                until: body.hold.until,
                owner: body.hold.owner,
                compliance: body.compliance,
            };
            (act, body.by, Some(body.hold.reason), body.person)
        }
        Some(Kind::Release) => {
            let body: ReleaseBody = serde_json::from_str(body)?;
            let id = id_of(body.number);
            (OperatorAct::Release { id }, body.by, body.reason, body.person)
        }
        Some(Kind::Freeze) => {
            let body: FreezeBody = serde_json::from_str(body)?;
            let (id, until) = (freeze_id(body.number.unwrap_or(1)), body.freeze.until);
            let act = OperatorAct::Freeze { id, until };
            (act, body.by, Some(body.freeze.reason), body.person)
        }
        Some(Kind::Thaw) => {
            let body: ThawBody = serde_json::from_str(body)?;
            let id = freeze_id(body.number.unwrap_or(1));
            (OperatorAct::Thaw { id }, body.by, body.reason, body.person)
        }
        Some(Kind::Propose) => {
            let body: ProposeBody = serde_json::from_str(body)?;
            let (id, until) = (body.end.id(), body.until);
            (OperatorAct::Propose { id, until }, body.by, body.reason, body.person)
        }
        _ => return Ok(None),
    }))
}

/// Of approvals, and of what is to be gone on with.
fn permitting(kind: Option<Kind>, body: &str) -> Result<Option<Done>, Error> {
    Ok(Some(match kind {
        Some(Kind::Approve) => {
            let body: ApproveBody = serde_json::from_str(body)?;
            let act = OperatorAct::Approve {
                policy: body.policy,
                backups: body.backups.len(),
                digest: body.digest,
                until: body.until,
            };
            (act, body.by, body.reason, body.person)
        }
        Some(Kind::ApproveListing) => {
            let body: ApproveListingBody = serde_json::from_str(body)?;
            let act = OperatorAct::ApproveListing { target: body.target };
            (act, body.by, body.reason, body.person)
        }
        Some(Kind::AcceptRewind) => {
            let body: AcceptRewindBody = serde_json::from_str(body)?;
            let missing = body.missing.len();
            (OperatorAct::AcceptRewind { missing }, body.by, body.reason, body.person)
        }
        Some(Kind::Move) => {
            let body: MoveBody = serde_json::from_str(body)?;
            let (from, to) = (body.from, body.to);
            (OperatorAct::Move { from, to }, body.by, body.reason, body.person)
        }
        _ => return Ok(None),
    }))
}
