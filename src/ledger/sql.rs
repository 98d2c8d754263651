//! The seam between the ledger's functions and the database under them: SQLite, or PostgreSQL.
//!
//! One text serves both. So no `INSERT OR REPLACE`, `PRAGMA`, `instr`, `NOCASE`, `rowid`, scalar `MIN` or `LIMIT -1`; every conflict
//! names its columns, sums are cast, and `freeze` is quoted. Parameters are `?1`, `?2`, …, numbers and texts alone.

use std::ops::ControlFlow;

use rusqlite::types::{ToSqlOutput, ValueRef};

use super::postgres::Session;
use super::sql_value::{FromColumn, Parameters, SqlValue};
use super::{Error, postgres};

impl rusqlite::ToSql for SqlValue<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Number(number) => ValueRef::Integer(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

/// A row that a query found.
pub(super) enum FoundRow<'r> {
    Lite(&'r rusqlite::Row<'r>),
    Shared(&'r tokio_postgres::Row),
}

impl FoundRow<'_> {
    /// One column. What cannot be read as the type that was written is damage.
    pub(super) fn get<T: FromColumn>(&self, column: usize) -> Result<T, Error> {
        T::from_column(self.value(column)?)
            .ok_or_else(|| Error::corrupt(format!("column {column} of a row holds a value of another type")))
    }

    pub(super) fn value(&self, column: usize) -> Result<SqlValue<'_>, Error> {
        let row = match self {
            Self::Lite(row) => row,
            Self::Shared(row) => return postgres::column(row, column),
        };
        Ok(match row.get_ref(column)? {
            ValueRef::Null => SqlValue::Null,
            ValueRef::Integer(number) => SqlValue::Number(number),
            ValueRef::Text(text) => SqlValue::Text(String::from_utf8_lossy(text)),
            ValueRef::Blob(bytes) => SqlValue::Bytes(bytes.into()),
            ValueRef::Real(_) => return Err(Error::corrupt("a column holds a fraction")),
        })
    }

    pub(super) fn width(&self) -> usize {
        match self {
            Self::Lite(row) => row.as_ref().column_count(),
            Self::Shared(row) => row.len(),
        }
    }
}

/// A transaction.
pub(super) enum Tx<'t> {
    Lite(rusqlite::Transaction<'t>),
    Shared(&'t Session),
}

impl<'t> Tx<'t> {
    /// The transaction of the file, which its engine commits; the other engine commits its own.
    pub(super) fn lite(self) -> Option<rusqlite::Transaction<'t>> {
        match self {
            Self::Lite(tx) => Some(tx),
            Self::Shared(_) => None,
        }
    }

    /// The row of the chain that this transaction appended last, with its hash, where asking for it again costs a round trip.
    pub(super) fn appended(&self) -> Option<(i64, String)> {
        match self {
            Self::Lite(_) => None,
            Self::Shared(session) => session.appended.borrow().clone(),
        }
    }

    /// Takes note of a row that was appended.
    pub(super) fn note_appended(&self, seq: i64, hash: String) {
        if let Self::Shared(session) = self {
            *session.appended.borrow_mut() = Some((seq, hash));
        }
    }

    /// A number that grows with each row of the file that is changed.
    pub(super) fn changes(&self) -> u64 {
        match self {
            Self::Lite(tx) => tx.total_changes(),
            Self::Shared(_) => 0,
        }
    }

    /// Runs several statements without parameters.
    #[cfg(test)]
    pub(super) fn batch(&self, sql: &str) -> Result<(), Error> {
        match self {
            Self::Lite(tx) => Ok(tx.execute_batch(sql)?),
            Self::Shared(session) => session.batch(sql).map(drop),
        }
    }

    /// Runs a statement; how many rows it changed.
    #[expect(clippy::needless_pass_by_value, reason = "a tuple of borrowed values")]
    pub(super) fn execute(&self, sql: &str, values: impl Parameters) -> Result<usize, Error> {
        match self {
            Self::Lite(tx) => Ok(tx
                .prepare_cached(sql)?
                .execute(rusqlite::params_from_iter(values.values()))?),
            Self::Shared(session) => session.execute(sql, &values.values()),
        }
    }

    /// Runs a statement once for each of these.
    pub(super) fn execute_each<P: Parameters>(
        &self,
        sql: &str,
        rows: impl IntoIterator<Item = P>,
    ) -> Result<(), Error> {
        let tx = match self {
            Self::Lite(tx) => tx,
            Self::Shared(session) => return session.execute_each(sql, rows),
        };
        let mut statement = tx.prepare_cached(sql)?;
        for row in rows {
            statement.execute(rusqlite::params_from_iter(row.values()))?;
        }
        Ok(())
    }

    /// Inserts these rows, whose keys all differ, by a statement with one `VALUES (?1, …)`: a server gets many rows a statement.
    pub(super) fn insert_each<P: Parameters>(&self, sql: &str, rows: impl IntoIterator<Item = P>) -> Result<(), Error> {
        match self {
            Self::Lite(_) => self.execute_each(sql, rows),
            Self::Shared(session) => session.insert_each(sql, rows),
        }
    }

    /// Visits the rows that a query finds until one says that it is enough.
    #[expect(clippy::needless_pass_by_value, reason = "a tuple of borrowed values")]
    pub(super) fn each(
        &self,
        sql: &str,
        values: impl Parameters,
        mut visit: impl FnMut(&FoundRow<'_>) -> Result<ControlFlow<()>, Error>,
    ) -> Result<(), Error> {
        let tx = match self {
            Self::Lite(tx) => tx,
            Self::Shared(session) => {
                for row in session.query(sql, &values.values())? {
                    if visit(&FoundRow::Shared(&row))?.is_break() {
                        break;
                    }
                }
                return Ok(());
            }
        };
        let mut statement = tx.prepare_cached(sql)?;
        let mut rows = statement.query(rusqlite::params_from_iter(values.values()))?;
        while let Some(row) = rows.next()? {
            if visit(&FoundRow::Lite(row))?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// All rows that a query finds.
    pub(super) fn all<T>(
        &self,
        sql: &str,
        values: impl Parameters,
        mut read: impl FnMut(&FoundRow<'_>) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        let mut found = Vec::new();
        self.each(sql, values, |row| {
            found.push(read(row)?);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(found)
    }

    /// The first row that a query finds, if any.
    pub(super) fn first<T>(
        &self,
        sql: &str,
        values: impl Parameters,
        read: impl FnOnce(&FoundRow<'_>) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        let (mut found, mut read) = (None, Some(read));
        self.each(sql, values, |row| {
            found = read.take().map(|read| read(row)).transpose()?;
            Ok(ControlFlow::Break(()))
        })?;
        Ok(found)
    }

    /// The number that a statement gives back.
    pub(super) fn number(&self, sql: &str, values: impl Parameters) -> Result<i64, Error> {
        self.value(sql, values)?
            .ok_or_else(|| Error::corrupt("a row that was asked for is not there"))
    }

    /// The only column of the first row that a query finds, if any.
    pub(super) fn value<T: FromColumn>(&self, sql: &str, values: impl Parameters) -> Result<Option<T>, Error> {
        self.first(sql, values, |row| row.get(0))
    }
}
