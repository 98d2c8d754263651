//! Holds and freezes that people placed by command.
//!
//! Those of the configuration are not kept here: `intend` is given them.

use chrono::{DateTime, SubsecRound, Utc};
use serde::Serialize;

use super::chain::Kind;
use super::operator_records::{FreezeBody, HoldBody, ReleaseBody, ThawBody, freeze_id, id_of};
use super::protection::Proposal;
use super::sql::Tx;
use super::sql_value::Stamp;
use super::{Actor, EndResult, Error, Ledger, PlacedFreeze, chain, grace_chain, grace_restart, protection};
use crate::retention::{Freeze, Hold, HoldTarget};

/// A hold that was placed by command, ended or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlacedHold {
    /// The hold; its id is `h` and a number.
    #[serde(flatten)]
    pub hold: Hold,
    /// When it was placed.
    pub placed_at: DateTime<Utc>,
    /// When it was released, if it was.
    pub released_at: Option<DateTime<Utc>>,
    /// Whether nothing can release it before its end.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub compliance: bool,
}

impl PlacedHold {
    /// Whether it holds at `now`: neither released nor past its end. A release of a compliance hold, whoever wrote it, counts for
    /// nothing.
    pub fn is_active(&self, now: DateTime<Utc>) -> bool {
        (self.compliance || self.released_at.is_none()) && self.hold.is_active(now)
    }
}

/// Which freezes a thaw ends, of those that are in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thaw<'a> {
    /// The only one; with several none.
    Only,
    /// The one with this id.
    Id(&'a str),
    /// All of them.
    All,
}

/// Every hold with its number, oldest first.
pub(super) fn all(tx: &Tx<'_>) -> Result<Vec<(i64, PlacedHold)>, Error> {
    let sql =
        "SELECT number, target, reason, owner, until, placed_at, released_at, compliance FROM hold ORDER BY number";
    tx.all(sql, (), |row| {
        let number = row.get(0)?;
        let target: String = row.get(1)?;
        let hold = Hold {
            id: Some(id_of(number)),
            target: serde_json::from_str(&target)?,
            reason: row.get(2)?,
            owner: row.get(3)?,
            until: row.get::<Option<Stamp>>(4)?.map(|at| at.0),
        };
        let placed = PlacedHold {
            hold,
            placed_at: row.get::<Stamp>(5)?.0,
            released_at: row.get::<Option<Stamp>>(6)?.map(|at| at.0),
            compliance: row.get(7)?,
        };
        Ok((number, placed))
    })
}

/// The holds in force.
pub(super) fn active(tx: &Tx<'_>, now: DateTime<Utc>) -> Result<Vec<Hold>, Error> {
    let placed = all(tx)?.into_iter().map(|(_, placed)| placed);
    Ok(placed
        .filter(|placed| placed.is_active(now))
        .map(|placed| placed.hold)
        .collect())
}

/// Every freeze that was placed and not thawed, past its end or not, with its number, oldest first.
pub(super) fn all_freezes(tx: &Tx<'_>) -> Result<Vec<(i64, PlacedFreeze)>, Error> {
    let sql = r#"SELECT number, reason, until, placed_at FROM "freeze" ORDER BY number"#;
    tx.all(sql, (), |row| {
        let number = row.get(0)?;
        let freeze = Freeze {
            reason: row.get(1)?,
            until: row.get::<Option<Stamp>>(2)?.map(|at| at.0),
        };
        let placed = PlacedFreeze {
            id: freeze_id(number),
            freeze,
            placed_at: row.get::<Stamp>(3)?.0,
        };
        Ok((number, placed))
    })
}

/// Whether there ever was a freeze of that id.
fn was_placed(tx: &Tx<'_>, id: &str) -> Result<bool, Error> {
    let bodies: Vec<String> = tx.all("SELECT body FROM chain WHERE kind = 'freeze'", (), |row| row.get(0))?;
    let placed: Vec<FreezeBody> = bodies
        .iter()
        .map(|body| serde_json::from_str(body))
        .collect::<Result<_, _>>()?;
    let mut ids = placed.iter().map(|body| freeze_id(body.number.unwrap_or(1)));
    Ok(ids.any(|placed| placed.eq_ignore_ascii_case(id)))
}

/// The freeze in force at `now`; of several the one that lasts longest.
pub(super) fn frozen(tx: &Tx<'_>, now: DateTime<Utc>) -> Result<Option<Freeze>, Error> {
    let placed = all_freezes(tx)?.into_iter().map(|(_, placed)| placed.freeze);
    Ok(Freeze::longest(placed.filter(|freeze| freeze.is_active(now))))
}

/// The active hold of this id, else the one on the backup of this id.
fn named(tx: &Tx<'_>, name: &str, now: DateTime<Utc>) -> Result<(i64, PlacedHold), Error> {
    let is_this = |id: &str| id.eq_ignore_ascii_case(name);
    let of_backup = |hold: &Hold| matches!(&hold.target, HoldTarget::Backup(id) if is_this(id.as_str()));
    let has_id = |hold: &Hold| hold.id.as_deref().is_some_and(is_this);
    let (active, over): (Vec<_>, Vec<_>) = all(tx)?.into_iter().partition(|(_, placed)| placed.is_active(now));
    let (by_id, others): (Vec<_>, Vec<_>) = active.into_iter().partition(|(_, placed)| has_id(&placed.hold));
    let mut found = by_id;
    if found.is_empty() {
        found = others
            .into_iter()
            .filter(|(_, placed)| of_backup(&placed.hold))
            .collect();
    }
    if found.len() > 1 {
        return Err(Error::SeveralHolds {
            backup: name.to_owned(),
            holds: found.iter().map(|(number, _)| id_of(*number)).collect(),
        });
    }
    found.pop().ok_or_else(|| {
        let was_there = over
            .iter()
            .any(|(_, placed)| has_id(&placed.hold) || of_backup(&placed.hold));
        let error = if was_there {
            Error::HoldIsOver
        } else {
            Error::NoSuchHold
        };
        error(name.to_owned())
    })
}

impl Ledger {
    /// Every hold that was ever placed by command, oldest first.
    pub fn holds(&self) -> Result<Vec<PlacedHold>, Error> {
        self.read(|tx| Ok(all(tx)?.into_iter().map(|(_, placed)| placed).collect()))
    }

    /// Those of them that hold at `now`.
    pub fn active_holds(&self, now: DateTime<Utc>) -> Result<Vec<Hold>, Error> {
        self.read(|tx| active(tx, now))
    }

    /// Places a hold; the hold with its id. `by` is the person or account. The grace periods of what it covers
    /// restart when it has ended, even when no run saw it.
    pub fn add_hold<'a>(&self, hold: &Hold, by: impl Into<Actor<'a>>, now: DateTime<Utc>) -> Result<Hold, Error> {
        self.place_hold(hold, false, by.into(), now)
    }

    /// Places a hold that nothing can release before its end, which it must have.
    pub fn add_compliance_hold<'a>(
        &self,
        hold: &Hold,
        by: impl Into<Actor<'a>>,
        now: DateTime<Utc>,
    ) -> Result<Hold, Error> {
        if hold.until.is_none() {
            return Err(Error::EndlessCompliance);
        }
        self.place_hold(hold, true, by.into(), now)
    }

    fn place_hold(&self, hold: &Hold, compliance: bool, actor: Actor<'_>, now: DateTime<Utc>) -> Result<Hold, Error> {
        self.write(|tx| {
            let mut hold = hold.clone();
            // As precise as the table, so that the chain and the table say the same. Later, never earlier.
            hold.until = hold.until.map(round_up);
            must_end_ahead(tx, hold.until)?;
            let number = tx.number(
                "INSERT INTO hold (target, reason, owner, until, placed_at, compliance) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
                 RETURNING number",
                (
                    serde_json::to_string(&hold.target)?,
                    &hold.reason,
                    &hold.owner,
                    hold.until.map(Stamp),
                    Stamp(now),
                    compliance,
                ),
            )?;
            hold.id = Some(id_of(number));
            grace_chain::change_to_keep(tx, now, || grace_restart::restart_covered(tx, &hold))?;
            let body = HoldBody {
                number,
                hold,
                by: actor.by.to_owned(),
                compliance,
                person: actor.person(tx)?,
            };
            chain::append(tx, now, Kind::Hold, &body)?;
            Ok(body.hold)
        })
    }

    /// Ends a hold, named by its id or, where it is the only one that holds exactly that backup, by the backup's. Ids
    /// are taken in any case, as holds compare them. What another person placed may take a second one: then the first one's
    /// word is kept for that.
    pub fn release<'a>(
        &self,
        name: &str,
        actor: impl Into<Actor<'a>>,
        now: DateTime<Utc>,
    ) -> Result<EndResult<Hold>, Error> {
        let actor = actor.into();
        self.write(|tx| {
            let (number, placed) = named(tx, name, now)?;
            if let (true, Some(until)) = (placed.compliance, placed.hold.until) {
                return Err(Error::ComplianceHold {
                    hold: id_of(number),
                    until,
                });
            }
            let consent = protection::consent(tx, Proposal::Release(number), &actor, now)?;
            if let Some(proposed) = consent.proposed {
                return Ok(EndResult::proposed(placed.hold, proposed, consent.placed_by));
            }
            tx.execute(
                "UPDATE hold SET released_at = ?2 WHERE number = ?1",
                (number, Stamp(now)),
            )?;
            grace_chain::change_to_keep(tx, now, || grace_restart::restart_covered(tx, &placed.hold))?;
            let body = ReleaseBody {
                number,
                by: actor.by.to_owned(),
                reason: actor.reason.map(str::to_owned),
                person: actor.person(tx)?,
            };
            chain::append(tx, now, Kind::Release, &body)?;
            Ok(EndResult::done(placed.hold, consent.placed_by))
        })
    }

    /// The freezes that were placed by command and not thawed, oldest first; some may be past their end.
    pub fn freezes(&self) -> Result<Vec<PlacedFreeze>, Error> {
        self.read(|tx| Ok(all_freezes(tx)?.into_iter().map(|(_, placed)| placed).collect()))
    }

    /// The freeze placed by command that is in force at `now`; of several the one that lasts longest.
    pub fn frozen(&self, now: DateTime<Utc>) -> Result<Option<Freeze>, Error> {
        self.read(|tx| frozen(tx, now))
    }

    /// Freezes; a freeze that is there already stays as it is, so that none ends another one early.
    pub fn set_freeze<'a>(
        &self,
        freeze: &Freeze,
        by: impl Into<Actor<'a>>,
        now: DateTime<Utc>,
    ) -> Result<PlacedFreeze, Error> {
        let actor = by.into();
        self.write(|tx| {
            let mut freeze = freeze.clone();
            freeze.until = freeze.until.map(round_up);
            must_end_ahead(tx, freeze.until)?;
            let number = tx.number(
                r#"INSERT INTO "freeze" (reason, until, placed_at) VALUES (?1, ?2, ?3) RETURNING number"#,
                (&freeze.reason, freeze.until.map(Stamp), Stamp(now)),
            )?;
            let body = FreezeBody {
                number: Some(number),
                freeze,
                by: actor.by.to_owned(),
                person: actor.person(tx)?,
            };
            chain::append(tx, now, Kind::Freeze, &body)?;
            Ok(PlacedFreeze {
                id: freeze_id(number),
                freeze: body.freeze,
                placed_at: now,
            })
        })
    }

    /// Ends freezes that are in force; what they were, none where nothing was frozen by command. As for [`Self::release`], it may take a
    /// second person.
    pub fn thaw<'a>(
        &self,
        which: Thaw<'_>,
        actor: impl Into<Actor<'a>>,
        now: DateTime<Utc>,
    ) -> Result<Vec<EndResult<PlacedFreeze>>, Error> {
        let actor = actor.into();
        self.write(|tx| {
            let mut found = all_freezes(tx)?;
            found.retain(|(_, placed)| placed.freeze.is_active(now));
            match which {
                Thaw::Only if found.len() > 1 => {
                    return Err(Error::SeveralFreezes(
                        found.into_iter().map(|(_, placed)| placed).collect(),
                    ));
                }
                Thaw::Only | Thaw::All => {}
                Thaw::Id(id) => {
                    found.retain(|(_, placed)| placed.id.eq_ignore_ascii_case(id));
                    if found.is_empty() {
                        let error = if was_placed(tx, id)? {
                            Error::FreezeIsOver
                        } else {
                            Error::NoSuchFreeze
                        };
                        return Err(error(id.to_owned()));
                    }
                }
            }
            let mut ended = Vec::new();
            for (number, placed) in found {
                let consent = protection::consent(tx, Proposal::Thaw(number), &actor, now)?;
                if let Some(proposed) = consent.proposed {
                    ended.push(EndResult::proposed(placed, proposed, consent.placed_by));
                    continue;
                }
                tx.execute(r#"DELETE FROM "freeze" WHERE number = ?1"#, [number])?;
                let body = ThawBody {
                    number: Some(number),
                    by: actor.by.to_owned(),
                    reason: actor.reason.map(str::to_owned),
                    person: actor.person(tx)?,
                };
                chain::append(tx, now, Kind::Thaw, &body)?;
                ended.push(EndResult::done(placed, consent.placed_by));
            }
            Ok(ended)
        })
    }
}

/// Fails where it would be over by the clock of whoever wrote last: a machine whose clock is behind would place what never holds.
fn must_end_ahead(tx: &Tx<'_>, until: Option<DateTime<Utc>>) -> Result<(), Error> {
    let newest: Option<String> = tx.value("SELECT at FROM chain ORDER BY seq DESC LIMIT 1", ())?;
    let newest = newest.map(|at| chain::read_time(&at)).transpose()?;
    match until.zip(newest) {
        Some((until, newest)) if until < newest => Err(Error::EndsBeforeNow { until, newest }),
        _ => Ok(()),
    }
}

fn round_up(at: DateTime<Utc>) -> DateTime<Utc> {
    let cut = at.trunc_subsecs(6);
    if cut == at {
        return at;
    }
    cut.checked_add_signed(chrono::TimeDelta::microseconds(1)).unwrap_or(at)
}
