//! Holds and the freeze that people placed by command.
//!
//! Those of the configuration are not kept here: `intend` is given them.

use chrono::{DateTime, SubsecRound, Utc};
use rusqlite::{OptionalExtension, Transaction};
use serde::{Deserialize, Serialize};

use super::chain::{self, Kind};
use super::{Error, Ledger, Stamp};
use crate::retention::{BackupId, Freeze, Hold, HoldTarget};

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
}

impl PlacedHold {
    /// Whether it holds at `now`: neither released nor past its end.
    pub fn is_active(&self, now: DateTime<Utc>) -> bool {
        self.released_at.is_none() && self.hold.is_active(now)
    }
}

/// A freeze that was placed by command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlacedFreeze {
    /// The freeze.
    #[serde(flatten)]
    pub freeze: Freeze,
    /// When it was placed.
    pub placed_at: DateTime<Utc>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct HoldBody {
    pub(super) number: i64,
    pub(super) hold: Hold,
    by: String,
}

#[derive(Serialize, Deserialize)]
pub(super) struct ReleaseBody {
    pub(super) number: i64,
    by: String,
}

#[derive(Serialize, Deserialize)]
pub(super) struct FreezeBody {
    pub(super) freeze: Freeze,
    by: String,
}

#[derive(Serialize)]
struct ThawBody<'a> {
    by: &'a str,
}

fn id_of(number: i64) -> String {
    format!("h{number}")
}

/// Every hold with its number, oldest first.
pub(super) fn all(tx: &Transaction<'_>) -> Result<Vec<(i64, PlacedHold)>, Error> {
    let mut statement = tx.prepare_cached(
        "SELECT number, target, reason, owner, until, placed_at, released_at FROM hold ORDER BY number",
    )?;
    let mut rows = statement.query([])?;
    let mut holds = Vec::new();
    while let Some(row) = rows.next()? {
        let number = row.get(0)?;
        let target: String = row.get(1)?;
        let hold = Hold {
            id: Some(id_of(number)),
            target: serde_json::from_str(&target)?,
            reason: row.get(2)?,
            owner: row.get(3)?,
            until: row.get::<_, Option<Stamp>>(4)?.map(|at| at.0),
        };
        let placed = PlacedHold {
            hold,
            placed_at: row.get::<_, Stamp>(5)?.0,
            released_at: row.get::<_, Option<Stamp>>(6)?.map(|at| at.0),
        };
        holds.push((number, placed));
    }
    Ok(holds)
}

/// The holds in force.
pub(super) fn active(tx: &Transaction<'_>, now: DateTime<Utc>) -> Result<Vec<Hold>, Error> {
    let placed = all(tx)?.into_iter().map(|(_, placed)| placed);
    Ok(placed
        .filter(|placed| placed.is_active(now))
        .map(|placed| placed.hold)
        .collect())
}

/// The freeze that was placed and not thawed, ended or not.
pub(super) fn frozen(tx: &Transaction<'_>) -> Result<Option<PlacedFreeze>, Error> {
    Ok(tx
        .prepare_cached("SELECT reason, until, placed_at FROM freeze")?
        .query_row([], |row| {
            Ok(PlacedFreeze {
                freeze: Freeze {
                    reason: row.get(0)?,
                    until: row.get::<_, Option<Stamp>>(1)?.map(|at| at.0),
                },
                placed_at: row.get::<_, Stamp>(2)?.0,
            })
        })
        .optional()?)
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

    /// Places a hold; the hold with its id. `by` is the person or account. The graces of what it covers are forgotten:
    /// a hold's end starts them anew, even when no run saw the hold.
    pub fn add_hold(&self, hold: &Hold, by: &str, now: DateTime<Utc>) -> Result<Hold, Error> {
        self.write(|tx| {
            let mut hold = hold.clone();
            // As precise as the table, so that the chain and the table say the same. Later, never earlier.
            hold.until = hold.until.map(round_up);
            tx.prepare_cached(
                "INSERT INTO hold (target, reason, owner, until, placed_at) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute((
                serde_json::to_string(&hold.target)?,
                &hold.reason,
                &hold.owner,
                hold.until.map(Stamp),
                Stamp(now),
            ))?;
            let number = tx.last_insert_rowid();
            hold.id = Some(id_of(number));
            super::grace::forget_covered(tx, &hold)?;
            let by = by.to_owned();
            let body = HoldBody { number, hold, by };
            chain::append(tx, now, Kind::Hold, &body)?;
            Ok(body.hold)
        })
    }

    /// Ends a hold, named by its id or, where it is the only one that holds exactly that backup, by the backup's.
    pub fn release(&self, name: &str, by: &str, now: DateTime<Utc>) -> Result<Hold, Error> {
        self.write(|tx| {
            let active = all(tx)?.into_iter().filter(|(_, placed)| placed.is_active(now));
            let (by_id, others): (Vec<_>, Vec<_>) =
                active.partition(|(_, placed)| placed.hold.id.as_deref() == Some(name));
            let backup = HoldTarget::Backup(BackupId::from(name));
            let mut found = by_id;
            if found.is_empty() {
                found = others
                    .into_iter()
                    .filter(|(_, placed)| placed.hold.target == backup)
                    .collect();
            }
            if found.len() > 1 {
                return Err(Error::SeveralHolds {
                    backup: name.to_owned(),
                    holds: found.iter().map(|(number, _)| id_of(*number)).collect(),
                });
            }
            let Some((number, placed)) = found.pop() else {
                return Err(Error::NoSuchHold(name.to_owned()));
            };
            tx.prepare_cached("UPDATE hold SET released_at = ?2 WHERE number = ?1")?
                .execute((number, Stamp(now)))?;
            super::grace::forget_covered(tx, &placed.hold)?;
            let by = by.to_owned();
            chain::append(tx, now, Kind::Release, &ReleaseBody { number, by })?;
            Ok(placed.hold)
        })
    }

    /// The freeze that was placed by command and not thawed; it may have ended.
    pub fn freeze(&self) -> Result<Option<PlacedFreeze>, Error> {
        self.read(frozen)
    }

    /// Freezes; a freeze that is there already is replaced.
    pub fn set_freeze(&self, freeze: &Freeze, by: &str, now: DateTime<Utc>) -> Result<(), Error> {
        self.write(|tx| {
            let mut freeze = freeze.clone();
            freeze.until = freeze.until.map(round_up);
            tx.prepare_cached("INSERT OR REPLACE INTO freeze (only, reason, until, placed_at) VALUES (1, ?1, ?2, ?3)")?
                .execute((&freeze.reason, freeze.until.map(Stamp), Stamp(now)))?;
            let by = by.to_owned();
            chain::append(tx, now, Kind::Freeze, &FreezeBody { freeze, by })?;
            Ok(())
        })
    }

    /// Ends the freeze; what it was, or `None` where nothing was frozen by command.
    pub fn thaw(&self, by: &str, now: DateTime<Utc>) -> Result<Option<Freeze>, Error> {
        self.write(|tx| {
            let Some(placed) = frozen(tx)? else { return Ok(None) };
            tx.execute("DELETE FROM freeze", [])?;
            chain::append(tx, now, Kind::Thaw, &ThawBody { by })?;
            Ok(Some(placed.freeze))
        })
    }
}

fn round_up(at: DateTime<Utc>) -> DateTime<Utc> {
    let cut = at.trunc_subsecs(6);
    if cut == at {
        return at;
    }
    cut.checked_add_signed(chrono::TimeDelta::microseconds(1)).unwrap_or(at)
}
