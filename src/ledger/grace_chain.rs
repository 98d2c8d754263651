//! The table of grace periods is what the chain says: each transaction that changes it leaves a row with what started and a sum of the
//! table for each policy. So a period that was moved, put in or taken out by something else is found before it permits anything.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::Error;
use super::chain::{self, Kind};
use super::sql::Tx;
use super::table_sum::{TableSum, changed_by_others};
use crate::retention::{BackupId, InstanceId, PolicyName, ProjectName};

/// Backups whose period started at the row's time, by policy, project and instance.
pub(super) type Started = BTreeMap<PolicyName, BTreeMap<ProjectName, BTreeMap<InstanceId, Vec<BackupId>>>>;

/// A change of the table.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct GraceBody {
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub(super) started: Started,
    /// What had started before the chain knew of grace periods, and when, in microseconds.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub(super) before: Unrecorded,
    /// Of the table as it is then; a policy without periods has none.
    pub(super) sums: BTreeMap<PolicyName, TableSum>,
}

const OF_ALL: &str = "SELECT policy, project, instance, backup, name, since, seen, restarts FROM grace";

/// The sums of the table as it is.
fn sums(tx: &Tx<'_>) -> Result<BTreeMap<PolicyName, TableSum>, Error> {
    let mut sums: BTreeMap<PolicyName, TableSum> = BTreeMap::new();
    tx.each(OF_ALL, (), |row| {
        let policy = PolicyName::from(row.get::<String>(0)?);
        sums.entry(policy).or_default().add_found(row)?;
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(sums)
}

/// The last change; `None` where an older format's periods were not changed since.
fn last(tx: &Tx<'_>) -> Result<Option<(i64, GraceBody)>, Error> {
    chain::last_of(tx, Kind::Grace)
}

/// Fails unless the table is what the chain says.
pub(super) fn check(tx: &Tx<'_>) -> Result<(), Error> {
    let Some(body) = chain::newest_of::<GraceBody>(tx, Kind::Grace)? else {
        return Ok(());
    };
    if sums(tx)? != body.sums {
        return Err(changed_by_others("the table of grace periods"));
    }
    Ok(())
}

/// Changes the table, and records it. Fails where it is not what the chain says.
pub(super) fn change(
    tx: &Tx<'_>,
    now: DateTime<Utc>,
    work: impl FnOnce() -> Result<Started, Error>,
) -> Result<(), Error> {
    check(tx)?;
    let before = unrecorded(tx)?;
    let started = work()?;
    record(tx, now, started, before)
}

/// The same for what only keeps, and is done also where the table is not what the chain says. Then it is not recorded: the next run finds
/// it.
pub(super) fn change_to_keep(
    tx: &Tx<'_>,
    now: DateTime<Utc>,
    work: impl FnOnce() -> Result<(), Error>,
) -> Result<(), Error> {
    let is_good = check(tx).is_ok();
    let before = unrecorded(tx)?;
    work()?;
    if is_good {
        record(tx, now, Started::new(), before)?;
    }
    Ok(())
}

type Unrecorded = Vec<(PolicyName, ProjectName, InstanceId, BackupId, i64)>;

/// The periods of an older format, where no row of the chain is about any.
fn unrecorded(tx: &Tx<'_>) -> Result<Unrecorded, Error> {
    if last(tx)?.is_some() {
        return Ok(Unrecorded::new());
    }
    tx.all(
        "SELECT policy, project, instance, backup, since FROM grace",
        (),
        |row| {
            let [policy, project, instance, backup] = [0, 1, 2, 3].map(|column| row.get::<String>(column));
            Ok((
                policy?.into(),
                project?.into(),
                instance?.into(),
                backup?.into(),
                row.get(4)?,
            ))
        },
    )
}

fn record(tx: &Tx<'_>, now: DateTime<Utc>, started: Started, before: Unrecorded) -> Result<(), Error> {
    let body = GraceBody {
        started,
        before,
        sums: sums(tx)?,
    };
    let is_as_before = match last(tx)? {
        Some((_, last)) => last.sums == body.sums,
        None => body.sums.is_empty() && body.before.is_empty(),
    };
    if !is_as_before || !body.started.is_empty() {
        chain::append(tx, now, Kind::Grace, &body)?;
    }
    Ok(())
}

/// What the last change of the chain left, for `audit verify`.
#[derive(Default)]
pub(super) struct GraceReplay(Option<BTreeMap<PolicyName, TableSum>>);

impl GraceReplay {
    pub(super) fn take(&mut self, body: GraceBody) {
        self.0 = Some(body.sums);
    }

    pub(super) fn differs(&self, tx: &Tx<'_>) -> Result<bool, Error> {
        Ok(match &self.0 {
            Some(expected) => sums(tx)? != *expected,
            None => false,
        })
    }
}
