//! Opening the ledger: who may make it, and whose files they are.
//!
//! A new file is built beside its place and renamed into it, complete, so that an empty or half-made file under the
//! ledger's name is always damage and never "new": a new ledger has forgotten every hold.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::ErrorKind;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use rusqlite::{OpenFlags, Transaction, TransactionBehavior};
use rustix::fs::OFlags;

use super::connection::{connect, open_to_read, open_to_write};
use super::shared_engine::SharedEngine;
use super::sql::Tx;
use super::sqlite::FileEngine;
use super::state_file::{LEDGER as FILE, ROOT, beside, check_file, flags, give_away, io_fault, objection};
use super::store::StateStore;
use super::verify::Replay;
use super::{Access, Error, Fault, KnownHead, Ledger, StatePlace, chain, schema, unfinished};

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
        let place = place.into();
        match Self::open_place(&place, access, now, known) {
            // Killed after the moment that decides, a move is finished here.
            Err(error) if matches!(error.fault(), Some(Fault::Unfinished(_))) && unfinished::finish(&place) => {
                Self::open_place(&place, access, now, known)
            }
            opened => opened,
        }
    }

    fn open_place(place: &StatePlace, access: Access, now: DateTime<Utc>, known: &KnownHead) -> Result<Self, Error> {
        match place {
            StatePlace::Directory(dir) => Self::open_file(dir, access, now, known),
            StatePlace::Postgres(address) => {
                let (engine, is_new, created_at) = SharedEngine::open(address, access, known.is_known(), now)?;
                let ledger = Self {
                    under_way: Arc::default(),
                    fence: None,
                    store: StateStore::Shared(Arc::new(engine)),
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
            make_directory(dir)?;
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
            is_new = create(&dir, &path, |tx| chain::begin(tx, now)).map_err(|error| error.at(&path))?;
        }
        check_files(&dir)?;
        let opened = match access {
            Access::ReadOnly => open_to_read(&path),
            Access::Create | Access::Existing => open_to_write(&path),
        };
        let (connection, created_at) = opened.map_err(|error| error.at(&path))?;
        give_to_owner(&dir);
        let ledger = Self {
            under_way: Arc::default(),
            fence: None,
            store: StateStore::File(Arc::new(FileEngine::new(
                connection,
                dir,
                path,
                access == Access::ReadOnly,
                Replay::check_operator_rows,
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

/// Makes a ledger with what `fill` puts into it; `false` where there is one.
pub(super) fn create_filled(dir: &Path, fill: impl FnOnce(&Tx<'_>) -> Result<(), Error>) -> Result<bool, Error> {
    make_directory(dir)?;
    let dir = fs::canonicalize(dir).map_err(|error| Error::storage(dir, io_fault(error)))?;
    let path = dir.join(FILE);
    create(&dir, &path, fill).map_err(|error| error.at(&path))
}

fn make_directory(dir: &Path) -> Result<(), Error> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|error| Error::storage(dir, io_fault(error)))
}

/// Whether something has that name, be it a link to nowhere: its ledger is elsewhere, and only not there now.
fn exists(path: &Path) -> std::io::Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Makes the file, complete; `false` when another process was faster.
fn create(dir: &Path, path: &Path, write_rows: impl FnOnce(&Tx<'_>) -> Result<(), Error>) -> Result<bool, Error> {
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
    write_rows(&tx)?;
    tx.lite().map_or(Ok(()), Transaction::commit)?;
    // The last connection to close moves the log into the file and removes it.
    connection.close().map_err(|(_, error)| error)?;
    fs::rename(&draft, path).map_err(fail)?;
    directory.sync_all().map_err(fail)?;
    Ok(true)
}

/// Refuses a ledger of which a file is not plain, before SQLite opens it.
fn check_files(dir: &Path) -> Result<(), Error> {
    files(dir).iter().try_for_each(|path| check_file(path))
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
