//! What listings showed is what the chain says: each transaction that changes these tables leaves a row with a sum of each. A run believes
//! nothing of them before it has compared them, so an edit by something other than this program is found before it permits anything.
//!
//! What is remembered of backups is too much to be read before each run. Each instance has a sum of its rows (`seen_sum`), which is compared
//! when they are read, and the chain has a sum of those.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::Error;
use super::chain::{self, Kind, NOT_SEALED};
use super::records::{IntentBody, SettledBody};
use super::rows::{self, Chunks};
use super::sql::Tx;
use super::sql_value::{Parameters, Stamp};
use super::table_sum::{TableSum, changed_by_others};
use crate::retention::InstanceId;

/// A table that runs decide by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ObservedTable {
    SeenInstance,
    Believed,
    LastListing,
    ConfiguredHold,
    SeenSum,
}

impl ObservedTable {
    const ALL: [Self; 5] = [
        Self::SeenInstance,
        Self::Believed,
        Self::LastListing,
        Self::ConfiguredHold,
        Self::SeenSum,
    ];

    fn rows(self) -> &'static str {
        match self {
            Self::SeenInstance => {
                "SELECT project, instance, name, tags, enterprise_project, seen_at, missed, missed_since, missed_last, engine \
                 FROM seen_instance"
            }
            Self::Believed => "SELECT project, instance, count, at, seq, shrunk_since FROM believed",
            Self::LastListing => "SELECT instance, at FROM last_listing",
            Self::ConfiguredHold => "SELECT target, until FROM configured_hold",
            Self::SeenSum => "SELECT instance, sum FROM seen_sum",
        }
    }

    fn subject(self) -> &'static str {
        match self {
            Self::SeenInstance => "the table of instances that were seen",
            Self::Believed => "the table of counts that were believed",
            Self::LastListing => "the table of last listings",
            Self::ConfiguredHold => "the table of the configuration's holds",
            Self::SeenSum => "the table of sums of the backups that were seen",
        }
    }
}

/// The tables after a change.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ObservedBody {
    sums: BTreeMap<ObservedTable, TableSum>,
}

impl ObservedBody {
    fn of_tables(tx: &Tx<'_>) -> Result<Self, Error> {
        let sum = |table: ObservedTable| Ok((table, TableSum::of(tx, table.rows())?));
        let sums = ObservedTable::ALL.into_iter().map(sum);
        Ok(Self {
            sums: sums.collect::<Result<_, Error>>()?,
        })
    }

    fn of(&mut self, table: ObservedTable) -> &mut TableSum {
        self.sums.entry(table).or_default()
    }

    /// The first of these tables that holds something else.
    fn difference(&self, tx: &Tx<'_>, tables: &[ObservedTable]) -> Result<Option<&'static str>, Error> {
        for table in tables {
            if TableSum::of(tx, table.rows())? != self.sums.get(table).copied().unwrap_or_default() {
                return Ok(Some(table.subject()));
            }
        }
        Ok(None)
    }

    fn must_be(&self, tx: &Tx<'_>, tables: &[ObservedTable]) -> Result<(), Error> {
        self.difference(tx, tables)?
            .map_or(Ok(()), |what| Err(changed_by_others(what)))
    }
}

/// What the chain says last. A state of an older format, of which it says nothing, is taken as it is.
fn known(tx: &Tx<'_>) -> Result<ObservedBody, Error> {
    if let Some((_, body)) = chain::last_of(tx, Kind::Observed)? {
        return Ok(body);
    }
    tx.execute("DELETE FROM seen_sum", ())?;
    let mut sums = Vec::new();
    each_sum(tx, |instance, sum| sums.push((instance.to_owned(), sum.to_string())))?;
    tx.insert_each(INSERT_SUM, sums.iter().map(|(instance, sum)| (instance, sum)))?;
    ObservedBody::of_tables(tx)
}

/// Fails unless the tables are what the chain says, before a run decides by them. Those of an older format are recorded.
pub(super) fn begin(tx: &Tx<'_>, now: DateTime<Utc>) -> Result<(), Error> {
    check_confirmed(tx)?;
    if let Some(body) = chain::newest_of::<ObservedBody>(tx, Kind::Observed)? {
        return body.must_be(tx, &ObservedTable::ALL);
    }
    let body = known(tx)?;
    if body.sums.values().any(|sum| *sum != TableSum::default()) {
        chain::append(tx, now, Kind::Observed, &body)?;
    }
    Ok(())
}

/// Takes in what a run's listings showed. What was edited since the run began is found here, before anything is sent.
pub(super) fn observe<T>(tx: &Tx<'_>, now: DateTime<Utc>, work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    check_confirmed(tx)?;
    change(tx, now, &ObservedTable::ALL, work)
}

/// Changes tables, and records it. Fails where one of them is not what the chain says.
pub(super) fn change<T>(
    tx: &Tx<'_>,
    now: DateTime<Utc>,
    tables: &[ObservedTable],
    work: impl FnOnce() -> Result<T, Error>,
) -> Result<T, Error> {
    let mut body = known(tx)?;
    body.must_be(tx, tables)?;
    let before = body.clone();
    let done = work()?;
    for table in tables {
        *body.of(*table) = TableSum::of(tx, table.rows())?;
    }
    if body != before {
        chain::append(tx, now, Kind::Observed, &body)?;
    }
    Ok(done)
}

const INSERT_SUM: &str =
    "INSERT INTO seen_sum (instance, sum) VALUES (?1, ?2) ON CONFLICT (instance) DO UPDATE SET sum = excluded.sum";

/// What a listing changes of what is remembered of one instance's backups.
pub(super) struct InstanceChange<'a> {
    pub(super) instance: &'a InstanceId,
    /// Of the rows that were there and are not any more, and of those that are there now.
    pub(super) gone: TableSum,
    pub(super) there: TableSum,
    /// Whether the listing was at the time of the change, by a clock that is not in doubt.
    pub(super) is_dated: bool,
}

/// Changes what is remembered of the backups of some instances, and records it.
pub(super) fn change_backups(
    tx: &Tx<'_>,
    now: DateTime<Utc>,
    changes: &[InstanceChange<'_>],
    work: impl FnOnce() -> Result<(), Error>,
) -> Result<(), Error> {
    let mut body = known(tx)?;
    let mut sums = Vec::new();
    for change in changes {
        let instance = change.instance.as_str();
        let was = sum_of(tx, change.instance)?;
        let sum = was.unwrap_or_default().minus(change.gone).plus(change.there);
        let of_sums = body.of(ObservedTable::SeenSum);
        *of_sums = of_sums.minus(was.map_or_else(TableSum::default, |was| mark_of(&(instance, was.to_string()))));
        *of_sums = of_sums.plus(mark_of(&(instance, sum.to_string())));
        sums.push((instance, sum.to_string()));
        if change.is_dated {
            let was: Option<Stamp> = tx.value("SELECT at FROM last_listing WHERE instance = ?1", [instance])?;
            let of_listings = body.of(ObservedTable::LastListing);
            *of_listings = of_listings.minus(was.map_or_else(TableSum::default, |was| mark_of(&(instance, was))));
            *of_listings = of_listings.plus(mark_of(&(instance, Stamp(now))));
        }
    }
    work()?;
    tx.insert_each(INSERT_SUM, sums)?;
    chain::append(tx, now, Kind::Observed, &body)?;
    Ok(())
}

/// The backups of an instance; what a sum is made of.
pub(super) const BACKUPS: &str = "SELECT instance, backup, project, name, status, begin, ended, engine, databases, gone_since \
     FROM seen_backup WHERE instance = ?1";

/// The sum of the backups of each instance. No more than one instance is in memory.
fn each_sum(tx: &Tx<'_>, mut each: impl FnMut(&str, TableSum)) -> Result<(), Error> {
    let next = "SELECT instance FROM seen_backup WHERE instance > ?1 ORDER BY instance LIMIT 1";
    let mut last = String::new();
    while let Some(instance) = tx.value::<String>(next, [&last])? {
        let mut sum = TableSum::default();
        tx.each(BACKUPS, [&instance], |row| {
            sum.add_found(row)?;
            Ok(ControlFlow::Continue(()))
        })?;
        each(&instance, sum);
        last = instance;
    }
    Ok(())
}

fn mark_of(row: &impl Parameters) -> TableSum {
    TableSum::of_row(&row.values())
}

fn sum_of(tx: &Tx<'_>, instance: &InstanceId) -> Result<Option<TableSum>, Error> {
    let sum: Option<String> = tx.value("SELECT sum FROM seen_sum WHERE instance = ?1", [instance.as_str()])?;
    sum.map(|sum| sum.parse()).transpose()
}

/// Fails where what was read of an instance's backups has another sum than was written.
pub(super) fn check_backups(tx: &Tx<'_>, instance: &InstanceId, found: TableSum) -> Result<(), Error> {
    let expected = sum_of(tx, instance)?;
    // An older format has no sums, until a run begins.
    let is_good = match expected {
        Some(expected) => expected == found,
        None => found == TableSum::default() || chain::last_of::<ObservedBody>(tx, Kind::Observed)?.is_none(),
    };
    if is_good {
        return Ok(());
    }
    Err(changed_by_others(&format!(
        "what was seen of the backups of instance {instance}"
    )))
}

/// Fails where more backups count as confirmed since the last listing than the chain says: so many fewer may be listed.
fn check_confirmed(tx: &Tx<'_>) -> Result<(), Error> {
    let found: Vec<(String, i64, i64)> =
        tx.all("SELECT instance, seq, ids FROM confirmed ORDER BY seq", (), |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })?;
    let (chunks, mut instances) = (Chunks::default(), HashMap::new());
    for of_row in found.chunk_by(|one, next| one.1 == next.1) {
        let row = rows::row_if_any(tx, &chunks, of_row[0].1)?;
        let row = row.filter(|row| row.kind == Kind::Confirmed.as_str());
        let body: SettledBody = match &row {
            Some(row) if row.is_sealed() => serde_json::from_str(&row.body)?,
            Some(row) => return Err(Error::corrupt(format!("row {}: {NOT_SEALED}", row.seq))),
            None => return Err(changed_by_others(CONFIRMED)),
        };
        let mut confirmed: HashMap<InstanceId, i64> = HashMap::new();
        for item in body.backups {
            if !instances.contains_key(&item.backup) {
                let intent: IntentBody = serde_json::from_str(&rows::row(tx, &chunks, item.request)?.body)?;
                instances.extend(intent.items.into_iter().map(|item| (item.backup, item.instance)));
            }
            if let Some(instance) = instances.get(&item.backup) {
                *confirmed.entry(instance.clone()).or_default() += 1;
            }
        }
        let said = |instance: &str| confirmed.get(instance).copied().unwrap_or_default();
        if of_row.iter().any(|(instance, _, ids)| *ids > said(instance)) {
            return Err(changed_by_others(CONFIRMED));
        }
    }
    Ok(())
}

const CONFIRMED: &str = "the table of what was confirmed since it was counted";

/// What the last change of the chain left, for `audit verify`.
#[derive(Default)]
pub(super) struct ObservedReplay(Option<ObservedBody>);

impl ObservedReplay {
    pub(super) fn take(&mut self, body: ObservedBody) {
        self.0 = Some(body);
    }

    /// What is not what the chain says.
    pub(super) fn difference(&self, tx: &Tx<'_>) -> Result<Option<&'static str>, Error> {
        if check_confirmed(tx).is_err() {
            return Ok(Some(CONFIRMED));
        }
        let Some(body) = &self.0 else { return Ok(None) };
        if let Some(what) = body.difference(tx, &ObservedTable::ALL)? {
            return Ok(Some(what));
        }
        let mut sums = TableSum::default();
        each_sum(tx, |instance, sum| {
            sums = sums.plus(mark_of(&(instance, sum.to_string())));
        })?;
        // An instance of which nothing is left has a sum of nothing.
        let nothing = TableSum::default();
        let written = TableSum::of(
            tx,
            &format!("SELECT instance, sum FROM seen_sum WHERE sum <> '{nothing}'"),
        )?;
        Ok((sums != written).then_some("the table of backups that were seen"))
    }
}
