//! `apply --metrics-file`: the metrics as a file for `node_exporter`'s textfile collector.
//!
//! Regular files only: root may name anything, and a device would be replaced by a file, or read without end.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rustix::fs::OFlags;

use super::exit;
use super::failure::Failure;
use crate::telemetry::Metrics;

/// The metrics of 2,000 policies take 6 MB.
const LARGEST: u64 = 64 << 20;

fn usage(file: &Path, what: &str) -> Failure {
    Failure::new(exit::USAGE, format!("--metrics-file {}: {what}", file.display()))
}

/// Refuses what is not a regular file, or a new one in a directory that is there; to be asked before anything is deleted.
pub(super) fn check(file: &Path) -> Result<(), Failure> {
    let kind = match fs::symlink_metadata(file) {
        Ok(found) => found.file_type(),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty());
            if parent.is_none_or(Path::is_dir) && file.file_name().is_some() {
                return Ok(());
            }
            return Err(usage(
                file,
                "its directory does not exist; make it, or name another file",
            ));
        }
        Err(error) => return Err(usage(file, &error.to_string())),
    };
    let what = if kind.is_file() {
        return Ok(());
    } else if kind.is_symlink() {
        "a symbolic link"
    } else if kind.is_dir() {
        "a directory"
    } else if kind.is_fifo() {
        "a pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    };
    Err(usage(
        file,
        &format!("is {what} and would be replaced by a file; name a regular file"),
    ))
}

/// Written beside and renamed over, so that a collector never reads half a file. Who may read the file before may read the
/// new one; the first may be read by everybody, for the collector is another user, and no secret is in it.
pub(super) fn write(metrics: &Metrics, file: &Path) -> Result<(), Failure> {
    check(file)?;
    let fail =
        |error: std::io::Error| Failure::new(exit::UNDONE, format!("--metrics-file {}: {error}", file.display()));
    let (before, mode) = read(file).map_err(fail)?;
    let mut beside = file.as_os_str().to_owned();
    beside.push(format!(".{:016x}.tmp", fastrand::u64(..)));
    // The directory may be another user's; `create_new` follows no link of theirs.
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&beside)
        .and_then(|mut out| {
            out.write_all(metrics.textfile(&before).as_bytes())?;
            out.set_permissions(Permissions::from_mode(mode))
        })
        .and_then(|()| fs::rename(&beside, file));
    written.map_err(|error| {
        // Not even that may work, where nothing does.
        let _ = fs::remove_file(&beside);
        fail(error)
    })
}

/// What an earlier run wrote, and who may read it.
fn read(file: &Path) -> std::io::Result<(String, u32)> {
    let opened: File = match OpenOptions::new()
        .read(true)
        .custom_flags(flags(OFlags::NOFOLLOW | OFlags::NONBLOCK))
        .open(file)
    {
        Ok(opened) => opened,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok((String::new(), 0o644)),
        Err(error) => return Err(error),
    };
    let found = opened.metadata()?;
    if !found.is_file() || found.len() > LARGEST {
        return Err(std::io::Error::other("not a file that this program wrote"));
    }
    let mut before = Vec::new();
    opened.take(LARGEST).read_to_end(&mut before)?;
    // Another file counts as none.
    Ok((
        String::from_utf8(before).unwrap_or_default(),
        found.permissions().mode() & 0o777,
    ))
}

/// As `std` takes them.
#[expect(clippy::cast_possible_wrap, reason = "bits, not a number")]
fn flags(flags: OFlags) -> i32 {
    flags.bits() as i32
}
