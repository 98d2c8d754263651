//! Opening the ledger: who may make it, and whose files they are.
//!
//! A new file is built beside its place and renamed into it, complete, so that an empty or half-made file under the
//! ledger's name is always damage and never "new": a new ledger has forgotten every hold.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::ErrorKind;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, chown, fchown};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};
use rustix::fs::OFlags;

use super::postgres::SharedEngine;
use super::sql::Tx;
use super::sqlite::FileEngine;
use super::state_place::StatePlace;
use super::{Error, Fault, KnownHead, Ledger, StateStore, chain, history, schema};

const FILE: &str = "ledger.sqlite3";
/// Longer than any transaction of this program takes; a command waits this long for a run's.
const BUSY: Duration = Duration::from_secs(10);

/// What the caller may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// `run`, `apply`: reads and writes; makes the directory (mode 0700) and the file where there is none.
    Create,
    /// `hold`, `freeze`, `approve` and the like: reads and writes, [`Error::Missing`] where there is none.
    Existing,
    /// `plan`, `history`, `why`: reads, [`Error::Missing`] where there is none.
    ReadOnly,
}

impl Ledger {
    /// Opens the ledger of a state directory or of a database. `now` dates a ledger that is made.
    pub fn open(place: impl Into<StatePlace>, access: Access, now: DateTime<Utc>) -> Result<Self, Error> {
        Self::open_known(place, access, now, &KnownHead::default())
    }

    /// The same for a process that may have had it open before: then none is made, and one that does not contain the known
    /// head is refused.
    pub fn open_known(
        place: impl Into<StatePlace>,
        access: Access,
        now: DateTime<Utc>,
        known: &KnownHead,
    ) -> Result<Self, Error> {
        match place.into() {
            StatePlace::Directory(dir) => Self::open_file(&dir, access, now, known),
            StatePlace::Postgres(address) => {
                let (engine, is_new, created_at) = SharedEngine::open(&address, access, known.is_known(), now)?;
                let ledger = Self {
                    under_way: Mutex::default(),
                    store: StateStore::Shared(Box::new(engine)),
                    known: known.clone(),
                    is_new,
                    created_at,
                };
                ledger.read(|_| Ok(()))?;
                Ok(ledger)
            }
        }
    }

    fn open_file(dir: &Path, access: Access, now: DateTime<Utc>, known: &KnownHead) -> Result<Self, Error> {
        let path = dir.join(FILE);
        let missing = |path: PathBuf| {
            if known.is_known() {
                Error::storage(&path, Fault::Gone)
            } else {
                Error::Missing { path }
            }
        };
        let may_create = access == Access::Create && !known.is_known();
        if may_create {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(dir)
                .map_err(|error| Error::storage(dir, io_fault(error)))?;
        }
        let dir = match fs::canonicalize(dir) {
            Ok(dir) => dir,
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(missing(path)),
            Err(error) => return Err(Error::storage(dir, io_fault(error))),
        };
        let path = dir.join(FILE);
        let mut is_new = false;
        if !exists(&path).map_err(|error| Error::storage(&path, io_fault(error)))? {
            if !may_create {
                return Err(missing(path));
            }
            is_new = create(&dir, &path, now).map_err(|error| error.at(&path))?;
        }
        check_files(&dir)?;
        let opened = match access {
            Access::ReadOnly => open_to_read(&path),
            Access::Create | Access::Existing => open_to_write(&path),
        };
        let (connection, created_at) = opened.map_err(|error| error.at(&path))?;
        give_to_owner(&dir);
        let ledger = Self {
            under_way: Mutex::default(),
            store: StateStore::File(Box::new(FileEngine::new(
                connection,
                dir,
                path,
                access == Access::ReadOnly,
            ))),
            known: known.clone(),
            is_new,
            created_at,
        };
        // From here on the head is known, or it is not the known state.
        ledger.read(|_| Ok(()))?;
        Ok(ledger)
    }
}

/// Device and inode of the file of that name.
pub(super) fn identity(path: &Path) -> Option<(u64, u64)> {
    let found = fs::symlink_metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}

/// Opens a file of the state for reading, without following a link, and without waiting for the writer of a pipe put in its place.
pub(super) fn open_file(path: &Path) -> std::io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(flags(OFlags::NOFOLLOW | OFlags::NONBLOCK))
        .open(path)
}

/// Whether an open file is the one of that name.
pub(super) fn is_at(file: &File, path: &Path) -> bool {
    file.metadata()
        .is_ok_and(|open| identity(path) == Some((open.dev(), open.ino())))
}

/// Whether something has that name, be it a link to nowhere: its ledger is elsewhere, and only not there now.
fn exists(path: &Path) -> std::io::Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

pub(super) fn io_fault(error: std::io::Error) -> Fault {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Fault::Full,
        ErrorKind::ReadOnlyFilesystem => Fault::ReadOnly,
        ErrorKind::PermissionDenied => Fault::Denied(error.to_string()),
        _ => Fault::Io(error),
    }
}

/// Makes the file, complete; `false` when another process was faster.
fn create(dir: &Path, path: &Path, now: DateTime<Utc>) -> Result<bool, Error> {
    let fail = |error: std::io::Error| Error::storage(path, io_fault(error));
    // The directory itself is the lock, so that two first starts make one ledger.
    let directory = File::open(dir).map_err(fail)?;
    directory.lock().map_err(fail)?;
    if exists(path).map_err(fail)? {
        return Ok(false);
    }
    let draft = dir.join(format!("{FILE}.new"));
    for leftover in [
        draft.clone(),
        beside(&draft, "-wal"),
        beside(&draft, "-shm"),
        beside(&draft, "-journal"),
    ] {
        match fs::remove_file(&leftover) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(fail(error)),
            _ => {}
        }
    }
    let file = OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(&draft)
        .map_err(fail)?;
    // SQLite gives its log to the owner of the file.
    give_away(
        &file,
        &file.metadata().map_err(fail)?,
        &directory.metadata().map_err(fail)?,
    );
    drop(file);
    let mut connection = connect(&draft, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    schema::migrate(&tx, 0, schema::STEPS)?;
    let tx = Tx::Lite(tx);
    chain::begin(&tx, now)?;
    tx.lite().map_or(Ok(()), Transaction::commit)?;
    // The last connection to close moves the log into the file and removes it.
    connection.close().map_err(|(_, error)| error)?;
    fs::rename(&draft, path).map_err(fail)?;
    directory.sync_all().map_err(fail)?;
    Ok(true)
}

fn open_to_write(path: &Path) -> Result<(Connection, DateTime<Utc>), Error> {
    let mut connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
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

fn open_to_read(path: &Path) -> Result<(Connection, DateTime<Utc>), Error> {
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
    let found = schema::version(&connection, schema::STEPS)?;
    if found < i64::try_from(schema::STEPS.len()).unwrap_or(i64::MAX) {
        return Err(Error::storage(path, Fault::Older(found)));
    }
    let created_at = look_over(&connection)?;
    Ok((connection, created_at))
}

fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, Error> {
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

/// What can be checked at every start, whatever the size: that the chain's end is the one last written. Reading all of
/// it is `audit verify`.
fn look_over(connection: &Connection) -> Result<DateTime<Utc>, Error> {
    let tx = Tx::Lite(connection.unchecked_transaction()?);
    chain::tail(&tx)?;
    history::read_time(&chain::created_at(&tx)?)
}

/// The name of a file of the same name and more.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

const ROOT: u32 = 0;

/// What is wrong with a file in a state directory, if it is not one that this program or its owner can have put there: a
/// regular file with one name. By a second name another state directory would have the same ledger and another lock; and
/// the directory's owner could lay links by which root would write, or give away, a file elsewhere.
pub(super) fn objection(found: &Metadata) -> Option<Fault> {
    if !found.is_file() {
        return Some(Fault::NotPlain);
    }
    (found.nlink() > 1).then_some(Fault::Linked)
}

/// Refuses a ledger of which a file is not plain, before SQLite opens it.
fn check_files(dir: &Path) -> Result<(), Error> {
    files(dir).iter().try_for_each(|path| check_file(path))
}

pub(super) fn check_file(path: &Path) -> Result<(), Error> {
    match fs::symlink_metadata(path) {
        Ok(found) => objection(&found).map_or(Ok(()), |fault| Err(Error::storage(path, fault))),
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::storage(path, io_fault(error))),
        _ => Ok(()),
    }
}

fn files(dir: &Path) -> [PathBuf; 4] {
    let file = dir.join(FILE);
    let [log, index, journal] = ["-wal", "-shm", "-journal"].map(|suffix| beside(&file, suffix));
    [file, log, index, journal]
}

/// Root beside a service user: files of root's become the directory owner's, for example a ledger that root put back, or
/// the daemon could not write them. Nobody else may change owners, so for others this does nothing; and whether the files
/// can be used, SQLite finds out.
fn give_to_owner(dir: &Path) {
    let Ok(directory) = fs::metadata(dir) else { return };
    if directory.uid() == ROOT {
        return;
    }
    for path in files(dir) {
        // Looked at and given away through one descriptor, so that no other file can take the name in between; one that is
        // for nothing else, for closing any other releases the locks that SQLite has on the file.
        let opened = OpenOptions::new()
            .read(true)
            .custom_flags(flags(OFlags::PATH | OFlags::NOFOLLOW))
            .open(&path);
        let Ok((file, found)) = opened.and_then(|file| file.metadata().map(|found| (file, found))) else {
            continue;
        };
        if objection(&found).is_none() && found.uid() == ROOT {
            let this = format!("/proc/self/fd/{}", file.as_raw_fd());
            let _ = chown(this, Some(directory.uid()), Some(directory.gid()));
        }
    }
}

/// The same for a file that is open for writing.
pub(super) fn give_away(file: &File, found: &Metadata, directory: &Metadata) {
    if found.uid() == ROOT && directory.uid() != ROOT {
        let _ = fchown(file, Some(directory.uid()), Some(directory.gid()));
    }
}

/// As `std` takes them.
#[expect(clippy::cast_possible_wrap, reason = "bits, not a number")]
pub(super) fn flags(flags: OFlags) -> i32 {
    flags.bits() as i32
}
