//! Files of a state directory: which one has a name, whose it is, and opening it without being led elsewhere.

use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::{Error, Fault};

/// What the ledger's file is called.
pub(super) const LEDGER: &str = "ledger.sqlite3";

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

pub(super) fn io_fault(error: std::io::Error) -> Fault {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Fault::Full,
        ErrorKind::ReadOnlyFilesystem => Fault::ReadOnly,
        ErrorKind::PermissionDenied => Fault::Denied(error.to_string()),
        _ => Fault::Io(error),
    }
}

/// The name of a file of the same name and more.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

pub(super) const ROOT: u32 = 0;

/// What is wrong with a file in a state directory, if it is not one that this program or its owner can have put there: a
/// regular file with one name. By a second name another state directory would have the same ledger and another lock; and
/// the directory's owner could lay links by which root would write, or give away, a file elsewhere.
pub(super) fn objection(found: &Metadata) -> Option<Fault> {
    if !found.is_file() {
        return Some(Fault::NotPlain);
    }
    (found.nlink() > 1).then_some(Fault::Linked)
}

pub(super) fn check_file(path: &Path) -> Result<(), Error> {
    match fs::symlink_metadata(path) {
        Ok(found) => objection(&found).map_or(Ok(()), |fault| Err(Error::storage(path, fault))),
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::storage(path, io_fault(error))),
        _ => Ok(()),
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
