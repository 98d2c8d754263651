//! `state move`: the whole ledger in another place, with the same chain and the same tables, and the old one closed for good.
//!
//! All of it is one transaction of the original, so that nobody writes there meanwhile. In it the copy is made, read again and compared; that
//! transaction's commit decides (`moved`). Whoever dies before it leaves the original as it was, and perhaps a copy that nothing uses.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use rusqlite::Connection;

use super::chain::{Kind, OPERATOR_ROWS};
use super::chain_check::verify;
use super::moved::{MoveBody, MoveMark, OriginalPlace};
use super::open::create_filled;
use super::operator_records::{FreezeBody, HoldBody};
use super::postgres::{LIMITS, Session};
use super::shared_engine;
use super::sql::{FoundRow, Tx};
use super::sql_value::SqlValue;
use super::state_file::{LEDGER, beside, identity};
use super::table_sum::{Field, TableSum};
use super::{
    Actor, DeletionLock, Error, Fault, Ledger, PostgresAddress, StatePlace, Verification, chain, connection, schema,
    unfinished,
};
use crate::blocking::blocking;
use crate::retention::ProjectName;

/// So many rows are read and written at a time.
const CHUNK: usize = 200;
/// The format that the original says it has afterwards: programs of that format read what it says of the move, not that they are too old.
const OLD_FORMAT: i64 = 3;

/// A state that was moved: the same at both ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MovedState {
    /// How many rows its chain has.
    pub rows: u64,
    /// The last one's hash.
    pub head: String,
}

/// Where a move may be killed, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MoveStep {
    /// The copy is there, and not used.
    Copied,
    /// The original says that it was moved.
    Left,
}

impl Ledger {
    /// Fails where another process has the state of that directory open.
    pub fn must_be_alone(dir: &Path) -> Result<(), Error> {
        let path = dir.join(LEDGER);
        if connection::is_alone(&path).map_err(|error| error.at(&path))? {
            return Ok(());
        }
        Err(Error::storage(&path, Fault::InUse("another process".to_owned())))
    }

    /// The projects of which there ever was a lease, and an error where somebody lives on a shared state.
    pub fn leased_projects(&self) -> Result<Vec<ProjectName>, Error> {
        let Some(shared) = self.shared_state()? else {
            return Ok(Vec::new());
        };
        if !shared.members.is_empty() {
            let hosts: Vec<String> = shared.members.into_iter().map(|member| member.host).collect();
            return Err(Error::storage(self.path(), Fault::InUse(hosts.join(", "))));
        }
        Ok(shared.leases.into_iter().map(|lease| lease.project).collect())
    }

    /// Moves the state, which is at `from`, with the right to delete for all of it.
    pub fn move_to(
        &self,
        from: &StatePlace,
        to: &StatePlace,
        lock: &DeletionLock,
        actor: Actor<'_>,
        now: DateTime<Utc>,
    ) -> Result<MovedState, Error> {
        self.move_in_steps(from, to, lock, actor, now, |_| Ok(()))
    }

    /// The same; `after` is called after each step.
    pub(super) fn move_in_steps(
        &self,
        from: &StatePlace,
        to: &StatePlace,
        lock: &DeletionLock,
        actor: Actor<'_>,
        now: DateTime<Utc>,
        after: impl Fn(MoveStep) -> Result<(), Error>,
    ) -> Result<MovedState, Error> {
        self.must_hold(lock)?;
        let to_name = PathBuf::from(to.to_string());
        let moved = blocking(|| {
            self.write(|tx| {
                be_patient(tx)?;
                let body = MoveBody {
                    from: from.to_string(),
                    to: to.to_string(),
                    by: actor.by.to_owned(),
                    reason: actor.reason.map(str::to_owned),
                    person: actor.person(tx)?,
                };
                chain::append(tx, now, Kind::Move, &body)?;
                let moved = intact(tx)?;
                let left = MoveMark {
                    id: uuid::Uuid::now_v7().to_string(),
                    other: to.to_string(),
                    at: now,
                    created_at: chain::created_at(tx)?,
                    original: None,
                };
                let copied = MoveMark {
                    other: from.to_string(),
                    original: Some(from.into()),
                    ..left.clone()
                };
                put(to, from, |copy| {
                    copy_all(tx, copy)?;
                    if intact(copy)? != moved {
                        return Err(Error::corrupt("the copy is not what was copied"));
                    }
                    copied.write(copy)
                })
                .map_err(|error| error.at(&to_name))?;
                after(MoveStep::Copied)?;
                left.write(tx)?;
                if let Tx::Lite(lite) = tx {
                    lite.pragma_update(None, "user_version", OLD_FORMAT)?;
                }
                Ok(moved)
            })
        })?;
        after(MoveStep::Left)?;
        // Whoever opens the copy next tries again.
        if !unfinished::finish(to) {
            return Err(Error::storage(&to_name, Fault::Unfinished(from.to_string())));
        }
        Ok(moved)
    }
}

/// Copying takes longer than what runs do.
fn be_patient(tx: &Tx<'_>) -> Result<(), Error> {
    if let Tx::Shared(_) = tx {
        for setting in ["idle_in_transaction_session_timeout", "statement_timeout"] {
            let _: Option<String> = tx.value("SELECT set_config(?1, '600000', true)", [setting])?;
        }
    }
    Ok(())
}

/// The chain's length and head, of a ledger without damage.
fn intact(tx: &Tx<'_>) -> Result<MovedState, Error> {
    match verify(tx, None)? {
        Verification::Intact { rows, head } => Ok(MovedState { rows, head }),
        Verification::Broken { row, what } => Err(Error::corrupt(format!("row {row}: {what}"))),
    }
}

/// Makes a ledger there, with what `fill` puts into it. What an earlier attempt to move the same original left there is no state.
fn put(to: &StatePlace, from: &StatePlace, fill: impl FnOnce(&Tx<'_>) -> Result<(), Error>) -> Result<(), Error> {
    let is_leftover = || {
        let mark = unfinished::mark_of(to).ok().flatten();
        mark.is_some_and(|mark| mark.original == Some(OriginalPlace::from(from)))
    };
    let is_made = match to {
        StatePlace::Directory(dir) => {
            let path = dir.join(LEDGER);
            let parts = ["-wal", "-shm", "-journal"].map(|suffix| beside(&path, suffix));
            if identity(&path).is_some() && is_leftover() {
                for part in parts.iter().chain([&path]).filter(|part| identity(part).is_some()) {
                    fs::remove_file(part)?;
                }
            }
            if parts.iter().any(|part| identity(part).is_some()) {
                return Err(Error::of_file(Fault::NotEmpty));
            }
            create_filled(dir, fill)?
        }
        StatePlace::Postgres(address) => put_into_database(address, is_leftover, fill)?,
    };
    if is_made {
        Ok(())
    } else {
        Err(Error::of_file(Fault::NotEmpty))
    }
}

fn put_into_database(
    address: &PostgresAddress,
    is_leftover: impl FnOnce() -> bool,
    fill: impl FnOnce(&Tx<'_>) -> Result<(), Error>,
) -> Result<bool, Error> {
    let session = Session::connect(address)?;
    if !shared_engine::exists(&session)? {
        return shared_engine::create(&session, |tx| {
            be_patient(tx)?;
            fill(tx)
        });
    }
    if !is_leftover() {
        return Ok(false);
    }
    session.batch(&format!("BEGIN; {LIMITS}"))?;
    let tx = Tx::Shared(&session);
    be_patient(&tx)?;
    let mut names: Vec<String> = tables()?.into_iter().map(|(table, _)| quoted(&table)).collect();
    names.push("meta".to_owned());
    tx.execute(&format!("TRUNCATE {} RESTART IDENTITY", names.join(", ")), ())?;
    fill(&tx)?;
    schema::mark_shared(&tx)?;
    session.commit()?;
    Ok(true)
}

/// The tables and their columns. The file's: what only a database has is about who works on it, and is nobody's once it is left.
fn tables() -> Result<Vec<(String, Vec<String>)>, Error> {
    let mut connection = Connection::open_in_memory()?;
    let lite = connection.transaction()?;
    schema::migrate(&lite, 0, schema::STEPS)?;
    let tx = Tx::Lite(lite);
    let sql = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%' AND name <> 'meta' ORDER BY name";
    let names: Vec<String> = tx.all(sql, (), |row| row.get(0))?;
    let columns = |table: String| {
        let columns: Vec<String> = tx.all("SELECT name FROM pragma_table_info(?1)", [&table], |row| row.get(0))?;
        Ok::<_, Error>((table, columns))
    };
    names.into_iter().map(columns).collect()
}

fn quoted(name: &str) -> String {
    format!("\"{name}\"")
}

fn copy_all(from: &Tx<'_>, to: &Tx<'_>) -> Result<(), Error> {
    let (rows, head) = chain::noted(from)?;
    to.execute(
        "INSERT INTO meta (key, value) VALUES ('created_at', ?1), ('rows', ?2), ('head', ?3), ('probes', '0')",
        (chain::created_at(from)?, rows.to_string(), head),
    )?;
    for (table, columns) in tables()? {
        let names = columns
            .iter()
            .map(|column| quoted(column))
            .collect::<Vec<_>>()
            .join(", ");
        let values: Vec<String> = (1..=columns.len()).map(|number| format!("?{number}")).collect();
        // In PostgreSQL `rowid` is a column of its own.
        let order = if table == "key_refusal" { " ORDER BY rowid" } else { "" };
        let table = quoted(&table);
        let select = format!("SELECT {names} FROM {table}{order}");
        let insert = format!("INSERT INTO {table} ({names}) VALUES ({})", values.join(", "));
        let (mut read, mut written) = (TableSum::default(), TableSum::default());
        each_chunk(from, &select, |rows| {
            for row in &rows {
                add(&mut read, row);
            }
            to.execute_each(&insert, rows)
        })?;
        each_chunk(to, &select, |rows| {
            for row in &rows {
                add(&mut written, row);
            }
            Ok(())
        })?;
        if read != written {
            return Err(Error::corrupt(format!(
                "the copy of the table {table} is not what was copied"
            )));
        }
    }
    copy_numbers(from, to)
}

fn add(sum: &mut TableSum, row: &[SqlValue<'_>]) {
    let fields: Vec<&dyn Field> = row.iter().map(|value| value as &dyn Field).collect();
    sum.add(&fields);
}

/// Numbers of holds and freezes are never used again, though the freezes are gone.
fn copy_numbers(from: &Tx<'_>, to: &Tx<'_>) -> Result<(), Error> {
    let (mut hold, mut freeze) = (0, 0);
    from.each(OPERATOR_ROWS, (), |row| {
        let (kind, body): (String, String) = (row.get(2)?, row.get(3)?);
        match Kind::parse(&kind) {
            Some(Kind::Hold) => hold = serde_json::from_str::<HoldBody>(&body)?.number.max(hold),
            Some(Kind::Freeze) => {
                freeze = serde_json::from_str::<FreezeBody>(&body)?
                    .number
                    .unwrap_or(1)
                    .max(freeze);
            }
            _ => {}
        }
        Ok(ControlFlow::Continue(()))
    })?;
    for (table, last) in [("hold", hold), ("freeze", freeze)]
        .into_iter()
        .filter(|(_, last)| *last > 0)
    {
        if let Tx::Lite(_) = to {
            to.execute("DELETE FROM sqlite_sequence WHERE name = ?1", [table])?;
            to.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?1, ?2)", (table, last))?;
        } else {
            to.number(
                "SELECT setval(pg_get_serial_sequence(?1, 'number'), ?2)",
                (quoted(table), last),
            )?;
        }
    }
    Ok(())
}

/// Visits the rows that a query finds, some at a time; a PostgreSQL client would keep all of them in memory.
fn each_chunk(
    tx: &Tx<'_>,
    select: &str,
    mut take: impl FnMut(Vec<Vec<SqlValue<'static>>>) -> Result<(), Error>,
) -> Result<(), Error> {
    if let Tx::Lite(_) = tx {
        let mut chunk = Vec::new();
        tx.each(select, (), |row| {
            chunk.push(owned(row)?);
            if chunk.len() == CHUNK {
                take(std::mem::take(&mut chunk))?;
            }
            Ok(ControlFlow::Continue(()))
        })?;
        return take(chunk);
    }
    tx.execute(&format!("DECLARE moving NO SCROLL CURSOR FOR {select}"), ())?;
    loop {
        let chunk = tx.all(&format!("FETCH {CHUNK} FROM moving"), (), owned)?;
        if chunk.is_empty() {
            tx.execute("CLOSE moving", ())?;
            return Ok(());
        }
        take(chunk)?;
    }
}

fn owned(row: &FoundRow<'_>) -> Result<Vec<SqlValue<'static>>, Error> {
    (0..row.width())
        .map(|column| Ok(row.value(column)?.into_owned()))
        .collect()
}
