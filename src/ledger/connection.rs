//! Connections to a SQLite file: how each is set up, and what is checked at every opening.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::chain::read_time;
use super::sql::Tx;
use super::state_file::beside;
use super::{Error, Fault, chain, moved, schema};

/// Longer than any transaction of this program takes; a command waits this long for a run's.
const BUSY: Duration = Duration::from_secs(10);

pub(super) fn open_to_write(path: &Path) -> Result<(Connection, DateTime<Utc>), Error> {
    let mut connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    check_moved(&connection)?;
    if schema::version(&connection, schema::STEPS)? < i64::try_from(schema::STEPS.len()).unwrap_or(i64::MAX) {
        let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // Asked again: another process may have converted it meanwhile.
        let from = schema::version(&tx, schema::STEPS)?;
        schema::migrate(&tx, from, schema::STEPS)?;
        tx.commit()?;
    }
    let created_at = look_over(&connection)?;
    Ok((connection, created_at))
}

pub(super) fn open_to_read(path: &Path) -> Result<(Connection, DateTime<Utc>), Error> {
    let opened = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY).and_then(|connection| readable(path, connection));
    match opened {
        // A file in WAL mode wants a -shm file beside it. Where none can be made and no log waits to be read, nobody
        // can be writing, and SQLite may read the file as it lies.
        Err(error)
            if matches!(
                error.fault(),
                Some(Fault::Denied(_) | Fault::ReadOnly | Fault::Sqlite(_))
            ) && fs::metadata(beside(path, "-wal")).map_or(true, |log| log.len() == 0) =>
        {
            open_immutable(path).map_err(|_| error)
        }
        result => result,
    }
}

/// Reads the file as it lies, without a lock: only where nobody can be writing.
pub(super) fn open_immutable(path: &Path) -> Result<(Connection, DateTime<Utc>), Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    readable(path, connect_uri(path, flags)?)
}

fn readable(path: &Path, connection: Connection) -> Result<(Connection, DateTime<Utc>), Error> {
    check_moved(&connection)?;
    let found = schema::version(&connection, schema::STEPS)?;
    if found < i64::try_from(schema::STEPS.len()).unwrap_or(i64::MAX) {
        return Err(Error::storage(path, Fault::Older(found)));
    }
    let created_at = look_over(&connection)?;
    Ok((connection, created_at))
}

pub(super) fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, Error> {
    // No symbolic links: the directory is canonical, and root must not be led elsewhere by the directory's owner.
    let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    set_up(Connection::open_with_flags(path, flags)?, flags)
}

fn connect_uri(path: &Path, flags: OpenFlags) -> Result<Connection, Error> {
    use std::fmt::Write as _;
    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' | b'~' => uri.push(char::from(*byte)),
            other => {
                let _ = write!(uri, "%{other:02X}");
            }
        }
    }
    uri.push_str("?immutable=1");
    set_up(
        Connection::open_with_flags(uri, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?,
        flags,
    )
}

fn set_up(connection: Connection, flags: OpenFlags) -> Result<Connection, Error> {
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(64);
    // What SQLite sorts or may have to undo stays in memory: there may be no directory for temporary files that can be
    // written, and it is small.
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    // In KiB. Half of what is usual: rows are appended, or changed a moment after.
    connection.pragma_update(None, "cache_size", -1_024)?;
    if flags.contains(OpenFlags::SQLITE_OPEN_READ_WRITE) {
        // An answer on a file system that cannot hold a WAL is `delete`, which is durable too.
        let _: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
        // In WAL mode NORMAL may lose commits at power loss; an intent must not be lost.
        connection.pragma_update(None, "synchronous", "FULL")?;
        // 16 MB of log before it is worked in: a run of ten thousands of deletions changes the same pages again and again.
        connection.pragma_update(None, "wal_autocheckpoint", 4_000)?;
    }
    Ok(connection)
}

/// Looked at before the format, which is an old one where the state was moved. What is no ledger at all is for that to find.
fn check_moved(connection: &Connection) -> Result<(), Error> {
    match moved::check(&Tx::Lite(connection.unchecked_transaction()?)) {
        Err(error) if matches!(error.fault(), Some(Fault::Moved { .. } | Fault::Unfinished(_))) => Err(error),
        _ => Ok(()),
    }
}

/// Whether no other process has the file open. Closes it again, as the next opening expects it.
pub(super) fn is_alone(path: &Path) -> Result<bool, Error> {
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.busy_timeout(Duration::ZERO)?;
    // Only the only connection can leave the mode in which several read and write.
    match connection.query_row("PRAGMA journal_mode = DELETE", [], |row| row.get::<_, String>(0)) {
        Ok(mode) => Ok(mode == "delete"),
        Err(error) => match Fault::from(error) {
            Fault::Busy => Ok(false),
            fault => Err(Error::of_file(fault)),
        },
    }
}

/// What can be checked at every start, whatever the size: that the chain's end is the one last written. Reading all of
/// it is `audit verify`.
fn look_over(connection: &Connection) -> Result<DateTime<Utc>, Error> {
    let tx = Tx::Lite(connection.unchecked_transaction()?);
    chain::tail(&tx)?;
    read_time(&chain::created_at(&tx)?)
}
