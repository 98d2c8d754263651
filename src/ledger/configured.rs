//! When holds and the freeze of a configuration were first seen here. Not the holds themselves: those are read from the
//! configuration.

use chrono::{DateTime, Utc};

use super::grace_chain;
use super::grace_restart::periods;
use super::observed_chain::{self, ObservedTable};
use super::sql::Tx;
use super::sql_value::Stamp;
use super::{Error, Ledger};
use crate::retention::{Freeze, Hold};

/// What a hold is known by: its target and its end, not its words.
pub fn hold_key(hold: &Hold) -> String {
    format!("hold {:?} {:?}", hold.target, hold.until)
}

/// What a freeze is known by: its end.
pub fn freeze_key(freeze: &Freeze) -> String {
    format!("freeze {:?}", freeze.until)
}

impl Ledger {
    /// Remembers those with an end that were not seen before.
    pub fn remember_configured(
        &self,
        holds: &[Hold],
        freeze: Option<&Freeze>,
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        let holds = holds.iter().filter(|hold| hold.until.is_some()).map(hold_key);
        let freeze = freeze.filter(|freeze| freeze.until.is_some()).map(freeze_key);
        let keys: Vec<String> = holds.chain(freeze).collect();
        let is_known = |key: &String| Ok::<_, Error>(self.first_seen(key)?.is_some());
        let mut new = Vec::new();
        for key in keys {
            if !is_known(&key)? {
                new.push(key);
            }
        }
        if new.is_empty() {
            return Ok(());
        }
        self.write(|tx| {
            tx.execute_each(
                "INSERT INTO first_seen (what, at) VALUES (?1, ?2) ON CONFLICT (what) DO NOTHING",
                new.iter().map(|key| (key, Stamp(now))),
            )
        })
    }

    /// Whether this state saw it while its end was still to come. Runs of a version that remembered nothing count as having
    /// seen everything.
    pub fn was_seen_before(&self, key: &str, until: DateTime<Utc>) -> Result<bool, Error> {
        let seen = self.first_seen(key)?.is_some_and(|at| at < until);
        Ok(seen || self.first_seen("")?.is_some_and(|last| until <= last))
    }

    fn first_seen(&self, key: &str) -> Result<Option<DateTime<Utc>>, Error> {
        self.read(|tx| {
            let at: Option<Stamp> = tx.value("SELECT at FROM first_seen WHERE what = ?1", [key])?;
            Ok(at.map(|at| at.0))
        })
    }
}

impl Ledger {
    /// The holds of the configuration that was read last.
    pub fn configured_holds(&self) -> Result<Vec<Hold>, Error> {
        self.read(configured)
    }

    /// Takes in the holds of the configuration, whenever one is read to act by it. Every grace period that they or the
    /// ones before them have covered restarts: a hold may come and go between two runs.
    pub fn note_configured_holds(&self, holds: &[Hold], now: DateTime<Utc>) -> Result<(), Error> {
        let before = self.configured_holds()?;
        if before.is_empty() && holds.is_empty() {
            return Ok(());
        }
        self.write(|tx| {
            grace_chain::change_to_keep(tx, now, || {
                for period in periods(tx)? {
                    if before.iter().chain(holds).any(|hold| period.restarts_by(hold)) {
                        period.restart(tx)?;
                    }
                }
                Ok(())
            })?;
            observed_chain::change(tx, now, &[ObservedTable::ConfiguredHold], || {
                write_configured(tx, holds)
            })
        })
    }
}

fn write_configured(tx: &Tx<'_>, holds: &[Hold]) -> Result<(), Error> {
    tx.execute("DELETE FROM configured_hold", ())?;
    let targets = holds.iter().map(|hold| serde_json::to_string(&hold.target));
    let targets = targets.collect::<Result<Vec<_>, _>>()?;
    tx.execute_each(
        "INSERT INTO configured_hold (target, until) VALUES (?1, ?2)",
        targets
            .iter()
            .zip(holds)
            .map(|(target, hold)| (target, hold.until.map(Stamp))),
    )
}

pub(super) fn configured(tx: &Tx<'_>) -> Result<Vec<Hold>, Error> {
    tx.all("SELECT target, until FROM configured_hold", (), |row| {
        Ok(Hold {
            id: None,
            target: serde_json::from_str(&row.get::<String>(0)?)?,
            reason: String::new(),
            owner: None,
            until: row.get::<Option<Stamp>>(1)?.map(|at| at.0),
        })
    })
}
