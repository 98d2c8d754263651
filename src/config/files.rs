//! Reading the files: which ones, how large, and who else may write them.

use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::diagnostics::Problem;
use super::reader::{Cursor, Diagnostics};
use super::yaml::clip;
use crate::retention::Pattern;

/// Largest file. The annotated example has 6 KB; 2 000 policies have 500.
const MAX_FILE: u64 = 1 << 20;
/// Most of all files together.
const MAX_SUM: u64 = 8 << 20;

/// A file that was read.
pub(super) struct Loaded {
    pub file: PathBuf,
    pub bytes: Vec<u8>,
    /// Device and inode: two names of one file are one file.
    pub identity: (u64, u64),
    /// By its own name, not by a pattern.
    pub is_named: bool,
}

/// Reads a file, or notes why not. `origin` says where the name comes from.
pub(super) fn read(file: &Path, origin: &str, findings: &Diagnostics, sum: &mut u64) -> Option<Loaded> {
    let fail = |message: String, hint: &str| findings.problem(Problem::with_file(file, message, Some(hint)));
    let (opened, metadata) = open(file, origin)
        .map_err(|(message, hint)| fail(message, &hint))
        .ok()?;
    let mut bytes = Vec::new();
    if let Err(error) = opened.take(MAX_FILE + 1).read_to_end(&mut bytes) {
        fail(
            format!("cannot be read: {}", plain_words(&error)),
            "the file must be readable",
        );
        return None;
    }
    let length = bytes.len() as u64;
    if length > MAX_FILE {
        fail(
            "is larger than 1 MiB and was not read".to_owned(),
            "this is hardly a configuration; a large one is spread over files with `include`",
        );
        return None;
    }
    *sum += length;
    if *sum > MAX_SUM {
        fail(
            "makes the configuration larger than 8 MiB and was not read".to_owned(),
            "check that the patterns of `include` match policy files only",
        );
        return None;
    }
    Some(Loaded {
        file: file.to_owned(),
        bytes,
        identity: (metadata.dev(), metadata.ino()),
        is_named: false,
    })
}

/// Opens a file that may be read; else what is wrong with it, and what to do.
fn open(file: &Path, origin: &str) -> Result<(File, Metadata), (String, String)> {
    // Looked at before it is opened, for opening a pipe waits for a writer; and again after it.
    let opened = fs::metadata(file).and_then(|metadata| {
        if !may_be_opened(file, &metadata) {
            return Ok((None, metadata));
        }
        let opened = File::open(file)?;
        let metadata = opened.metadata()?;
        Ok((Some(opened).filter(|_| may_be_opened(file, &metadata)), metadata))
    });
    match opened {
        Ok((Some(opened), metadata)) => Ok((opened, metadata)),
        Ok((None, metadata)) => {
            let (what, hint) = match metadata.file_type() {
                kind if kind.is_dir() => ("is a directory", "name a file in it"),
                kind if kind.is_fifo() => ("is a pipe", "name a regular file"),
                kind if kind.is_socket() => ("is a socket", "name a regular file"),
                _ => ("is a device", "name a regular file"),
            };
            Err((what.to_owned(), format!("{hint}; {origin}")))
        }
        Err(error) => {
            let hint = match error.kind() {
                std::io::ErrorKind::NotFound => format!("check the name; {origin}"),
                std::io::ErrorKind::PermissionDenied => "the user of this process must be able to read it".to_owned(),
                _ => "the file must be readable".to_owned(),
            };
            Err((format!("cannot be read: {}", plain_words(&error)), hint))
        }
    }
}

/// A regular file, or a pipe that the caller of this process opened and handed over.
fn may_be_opened(file: &Path, metadata: &Metadata) -> bool {
    let is_handed_over =
        || file == Path::new("/dev/stdin") || file.starts_with("/dev/fd") || file.starts_with("/proc/self/fd");
    metadata.is_file() || (metadata.file_type().is_fifo() && is_handed_over())
}

fn plain_words(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "file not found".to_owned(),
        std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    }
}

/// Who else may write a file with a secret.
fn foreign_writers(metadata: &Metadata) -> Option<String> {
    // Bits of a pipe say nothing.
    if !metadata.is_file() {
        return None;
    }
    let who = match (metadata.mode(), metadata.gid()) {
        (mode, _) if mode & 0o002 != 0 => "everybody".to_owned(),
        (mode, group) if mode & 0o020 != 0 && group != 0 => format!("the group {group}"),
        _ => return None,
    };
    Some(format!(
        "{who} may write this file (mode {:04o}), and a file with a secret is for its owner and root alone",
        metadata.mode() & 0o7777
    ))
}

/// A file with a secret in it, named by the configuration. One that is not there yet is the business of the run.
pub(super) fn check_secret(at: &Cursor<'_>, file: &Path) {
    // Relative names are taken in $CREDENTIALS_DIRECTORY, which systemd makes and guards.
    if !file.is_absolute() {
        return;
    }
    let Ok(metadata) = fs::metadata(file) else { return };
    if let Some(who) = foreign_writers(&metadata) {
        at.fail(format!("{}: {who}", file.display()), "chmod go-w it");
    }
    if metadata.is_file() && metadata.mode() & 0o004 != 0 {
        at.warn(
            format!(
                "{}: everybody may read this file with a secret (mode {:04o})",
                file.display(),
                metadata.mode() & 0o7777
            ),
            "chmod o-r it",
        );
    }
}

/// What an include pattern stands for.
pub(super) struct Included {
    /// The directory to watch.
    pub directory: PathBuf,
    /// Existing matches, sorted.
    pub files: Vec<PathBuf>,
    /// It is one file's name and not a pattern.
    pub is_named: bool,
}

/// Resolves one include pattern against the directory of the main file.
pub(super) fn resolve(at: &Cursor<'_>, base: &Path) -> Option<Included> {
    let text = at.text()?;
    let full = base.join(text);
    let (Some(directory), Some(last)) = (full.parent(), full.file_name().and_then(OsStr::to_str)) else {
        at.fail(
            format!("`{}` names no file", clip(text)),
            "for example policies.d/*.yaml",
        );
        return None;
    };
    let typed_directory = Path::new(text).parent().map(Path::to_string_lossy).unwrap_or_default();
    if typed_directory.contains(['*', '?']) {
        at.fail(
            "`*` and `?` are understood in the last part of the path only",
            "name each directory by a pattern of its own, as policies.d/*.yaml",
        );
        return None;
    }
    let directory = directory.to_owned();
    if !last.contains(['*', '?', '[']) {
        return Some(Included {
            files: vec![full],
            directory,
            is_named: true,
        });
    }
    let pattern = match Pattern::parse(last) {
        Ok(pattern) => pattern,
        Err(why) => {
            at.fail(why.to_string(), "");
            return None;
        }
    };
    let files = matching(at, &directory, &pattern)?;
    Some(Included {
        directory,
        files,
        is_named: false,
    })
}

/// The files that a pattern matches, sorted; none is a mistake.
fn matching(at: &Cursor<'_>, directory: &Path, pattern: &Pattern) -> Option<Vec<PathBuf>> {
    let mut files = match list(directory, pattern) {
        Ok(files) => files,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => {
            at.fail(
                format!(
                    "the directory {} cannot be listed: {}",
                    directory.display(),
                    plain_words(&error)
                ),
                "the user of this process must be able to read it",
            );
            return None;
        }
    };
    files.sort();
    if files.is_empty() {
        // Their policies' protection would be gone without a word.
        at.fail(
            format!("`{}` matches no file", clip(at.text()?)),
            "check the name, put the files back, or remove the pattern",
        );
    }
    Some(files)
}

fn list(directory: &Path, pattern: &Pattern) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    // An empty name is the working directory.
    let listed = if directory.as_os_str().is_empty() {
        Path::new(".")
    } else {
        directory
    };
    for entry in fs::read_dir(listed)? {
        let name = entry?.file_name();
        // Editors leave hidden files and `name~` behind.
        let is_one = name
            .to_str()
            .is_some_and(|name| pattern.matches(name) && !name.starts_with('.') && !name.ends_with('~'));
        if is_one {
            files.push(directory.join(name));
        }
    }
    Ok(files)
}
