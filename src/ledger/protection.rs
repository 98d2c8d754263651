//! Ending what another person placed: whether one person may, or a second one must agree.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::approvals::APPROVABLE_FOR;
use super::chain::{self, Kind, OPERATOR_ROWS, read_time};
use super::operator_records::{FreezeBody, HoldBody, freeze_id, id_of};
use super::sql::Tx;
use super::{Actor, Error, Person};
use crate::retention::People;

/// What is to be ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Proposal {
    /// A hold, by its number.
    Release(i64),
    /// A freeze, by its number.
    Thaw(i64),
}

impl Proposal {
    pub(super) fn id(self) -> String {
        match self {
            Self::Release(number) => id_of(number),
            Self::Thaw(number) => freeze_id(number),
        }
    }
}

/// A first person's word.
#[derive(Serialize, Deserialize)]
pub(super) struct ProposeBody {
    pub(super) end: Proposal,
    pub(super) by: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) person: Option<Person>,
    pub(super) until: DateTime<Utc>,
}

/// What became of a hold or freeze that a person wanted to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndResult<T> {
    /// The hold or freeze.
    pub what: T,
    /// Another person must agree first: it is still in force.
    pub awaits: Option<Proposed>,
    /// Who placed it, where that was another person.
    pub placed_by: Option<String>,
}

impl<T> EndResult<T> {
    pub(super) fn done(what: T, placed_by: Option<String>) -> Self {
        Self {
            what,
            awaits: None,
            placed_by,
        }
    }

    pub(super) fn proposed(what: T, proposed: Proposed, placed_by: Option<String>) -> Self {
        Self {
            what,
            awaits: Some(proposed),
            placed_by,
        }
    }
}

/// A word that another person's must follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposed {
    /// Until when.
    pub until: DateTime<Utc>,
    /// A configuration that runs begin with and that says so.
    pub says_two: Option<String>,
}

/// Whether one person may end it.
pub(super) struct Consent {
    /// `None`: it may be ended.
    pub(super) proposed: Option<Proposed>,
    /// Who placed it, where that was another person.
    pub(super) placed_by: Option<String>,
}

/// Asks whether the actor alone may end it; if not, their word is written down for 48 hours.
pub(super) fn consent(tx: &Tx<'_>, end: Proposal, actor: &Actor<'_>, now: DateTime<Utc>) -> Result<Consent, Error> {
    let rows: Vec<(String, String, String)> =
        tx.all(OPERATOR_ROWS, (), |row| Ok((row.get(1)?, row.get(2)?, row.get(3)?)))?;
    let person = actor.person(tx)?;
    let (placer, by) = placed_by(&rows, end)?;
    let is_own = person
        .as_ref()
        .zip(placer.as_ref())
        .is_some_and(|(one, other)| one.is_same_as(other));
    let placed_by = (!is_own).then_some(by);
    // Whoever types it may have brought a configuration of their own.
    let says_two = super::configurations::protect(tx)?;
    let takes_one = actor.protect == People::One && says_two.is_none();
    if is_own || takes_one || agrees(&rows, end, person.as_ref(), now)? {
        return Ok(Consent {
            proposed: None,
            placed_by,
        });
    }
    let until = now + APPROVABLE_FOR;
    let body = ProposeBody {
        end,
        by: actor.by.to_owned(),
        reason: actor.reason.map(str::to_owned),
        person,
        until,
    };
    chain::append(tx, now, Kind::Propose, &body)?;
    Ok(Consent {
        proposed: Some(Proposed { until, says_two }),
        placed_by,
    })
}

/// Who placed it, by the chain: what is known of them, and their name.
fn placed_by(rows: &[(String, String, String)], end: Proposal) -> Result<(Option<Person>, String), Error> {
    let mut found = (None, "unknown".to_owned());
    for (_, kind, body) in rows {
        match (Kind::parse(kind), end) {
            (Some(Kind::Hold), Proposal::Release(wanted)) => {
                let body: HoldBody = serde_json::from_str(body)?;
                if body.number == wanted {
                    found = (body.person, body.by);
                }
            }
            (Some(Kind::Freeze), Proposal::Thaw(wanted)) => {
                let body: FreezeBody = serde_json::from_str(body)?;
                if body.number.unwrap_or(1) == wanted {
                    found = (body.person, body.by);
                }
            }
            _ => {}
        }
    }
    Ok(found)
}

/// Whether another person has proposed the same within the last 48 hours.
fn agrees(
    rows: &[(String, String, String)],
    end: Proposal,
    person: Option<&Person>,
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    let Some(person) = person else { return Ok(false) };
    for (at, _, body) in rows.iter().filter(|(_, kind, _)| kind == Kind::Propose.as_str()) {
        let body: ProposeBody = serde_json::from_str(body)?;
        let counts = body.end == end && read_time(at)? <= now && now < body.until && body.until <= now + APPROVABLE_FOR;
        if counts && body.person.is_some_and(|first| first.is_other_than(person)) {
            return Ok(true);
        }
    }
    Ok(false)
}
