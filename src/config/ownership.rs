//! Whose the configuration and the state are: whoever may write them decides what is deleted.
//!
//! A file, the directory it lies in, and the state's directory belong to root or to the user that runs, and nobody else may
//! write there. Root, beside a service user, also takes files of the user who owns the state. `run`, `apply` and `check`
//! refuse anything else; what deletes nothing says it and goes on.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::StatVfsMountFlags;
use rustix::process::{getegid, geteuid};

use super::Problem;

const ROOT: u32 = 0;
const GROUP_WRITES: u32 = 0o020;
const OTHERS_WRITE: u32 = 0o002;
const STICKY: u32 = 0o1000;

/// Who may own and write what.
struct Trusted {
    users: Vec<u32>,
    groups: Vec<u32>,
}

impl Trusted {
    fn of(state_dir: Option<&Path>) -> Self {
        let (user, group) = (geteuid().as_raw(), getegid().as_raw());
        let (mut users, mut groups) = (vec![ROOT, user], vec![ROOT, group]);
        if user == ROOT
            && let Some(Ok(state)) = state_dir.map(fs::metadata)
        {
            users.push(state.uid());
            groups.extend(own_group(state.uid()));
        }
        Self { users, groups }
    }

    /// What is wrong with the owner or the mode of a file or directory. `is_sticky_good`: in a sticky directory nobody can
    /// take the place of another's file.
    fn objection(&self, path: &Path, found: &Metadata, is_sticky_good: bool) -> Option<String> {
        if !self.users.contains(&found.uid()) {
            return Some(format!("belongs to {}", name_of(found.uid())));
        }
        let mode = found.mode();
        let is_safe = is_sticky_good && found.is_dir() && mode & STICKY != 0;
        let who = if mode & OTHERS_WRITE != 0 {
            "everybody".to_owned()
        } else if mode & GROUP_WRITES != 0 && !self.groups.contains(&found.gid()) {
            format!("the group {}", found.gid())
        } else {
            return None;
        };
        (!is_safe && !is_read_only(path)).then(|| format!("{who} may write it (mode {:04o})", mode & 0o7777))
    }
}

/// The group that a user has for itself, as far as the host's own files tell; where they know no such user (a dynamic one of
/// systemd's, a container's), the group of the same number.
fn own_group(user: u32) -> Option<u32> {
    entry_of(user).map_or(Some(user), |entry| entry.split(':').nth(3)?.parse().ok())
}

fn name_of(user: u32) -> String {
    let name = entry_of(user).and_then(|entry| Some(entry.split(':').next()?.to_owned()));
    name.map_or_else(|| format!("user {user}"), |name| format!("{name} (user {user})"))
}

fn entry_of(user: u32) -> Option<String> {
    let users = fs::read_to_string("/etc/passwd").ok()?;
    let is_of = |line: &&str| line.split(':').nth(2).and_then(|id| id.parse().ok()) == Some(user);
    users.lines().find(is_of).map(str::to_owned)
}

/// What cannot be asked counts as writable.
fn is_read_only(path: &Path) -> bool {
    rustix::fs::statvfs(path).is_ok_and(|found| found.f_flag.contains(StatVfsMountFlags::RDONLY))
}

/// What the configuration consists of.
pub(super) struct Places<'a> {
    /// Files that were named one by one.
    pub named: Vec<&'a Path>,
    /// Files that a pattern found.
    pub matched: Vec<&'a Path>,
    /// Directories in which patterns look for files.
    pub searched: Vec<&'a Path>,
    /// The state's.
    pub state_dir: Option<&'a Path>,
}

/// Everything that is not root's or the running user's alone.
pub(super) fn problems(places: &Places<'_>) -> Vec<Problem> {
    let trusted = Trusted::of(places.state_dir);
    let mut found = FoundProblems(Vec::new());
    for (file, is_named) in
        (places.named.iter().map(|file| (file, true))).chain(places.matched.iter().map(|file| (file, false)))
    {
        // What cannot be read is reported elsewhere; a pipe was handed over by whoever called.
        let Ok(resolved) = fs::canonicalize(file) else { continue };
        let Ok(metadata) = fs::metadata(&resolved) else {
            continue;
        };
        if !metadata.is_file() {
            continue;
        }
        found.note(file, &resolved, trusted.objection(&resolved, &metadata, false));
        found.links(file, &trusted);
        // Whoever may replace the file, or the link to it, may write it.
        for directory in [resolved.parent(), Some(directory_of(file))].into_iter().flatten() {
            found.directory(directory, &trusted, is_named);
        }
    }
    for directory in &places.searched {
        found.directory(directory, &trusted, false);
    }
    // One that is not there yet is made by this program, for its user alone.
    if let Some(dir) = places.state_dir {
        found.directory(dir, &trusted, false);
        found.state_files(dir, &trusted);
    }
    found.0
}

/// How the names of the state's own files begin: the ledger, its log and the log's index; the lock of who deletes.
const STATE_FILES: [&str; 2] = ["ledger.sqlite3", "deletions.lock"];

fn directory_of(file: &Path) -> &Path {
    file.parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

struct FoundProblems(Vec<Problem>);

impl FoundProblems {
    fn directory(&mut self, directory: &Path, trusted: &Trusted, is_sticky_good: bool) {
        let Ok(resolved) = fs::canonicalize(directory) else {
            return;
        };
        let Ok(metadata) = fs::metadata(&resolved) else { return };
        let objection = trusted.objection(&resolved, &metadata, is_sticky_good);
        self.note(directory, &resolved, objection);
        self.way_to(directory, &resolved);
        self.links(directory, trusted);
    }

    /// The owner of a link can point it elsewhere, even in a sticky directory. Links that another link leads through are not looked at.
    fn links(&mut self, named: &Path, trusted: &Trusted) {
        let absolute = std::path::absolute(named).unwrap_or_else(|_| named.to_owned());
        for part in absolute.ancestors() {
            let Ok(found) = fs::symlink_metadata(part) else {
                continue;
            };
            if found.is_symlink() && !trusted.users.contains(&found.uid()) && !is_read_only(part) {
                self.note(
                    named,
                    part,
                    Some(format!("is reached by a link that belongs to {}", name_of(found.uid()))),
                );
            }
        }
    }

    /// Whoever may write a directory above can put another one in its place, in the path as named and in the resolved one;
    /// not where that directory is sticky.
    fn way_to(&mut self, named: &Path, resolved: &Path) {
        let absolute = std::path::absolute(named).unwrap_or_else(|_| named.to_owned());
        for above in resolved.ancestors().skip(1).chain(absolute.ancestors().skip(1)) {
            let Ok(resolved) = fs::canonicalize(above) else {
                continue;
            };
            let Ok(metadata) = fs::metadata(&resolved) else {
                continue;
            };
            let mode = metadata.mode();
            if mode & OTHERS_WRITE != 0 && mode & STICKY == 0 && !is_read_only(&resolved) {
                let objection = format!(
                    "lies below {}, and everybody may write that (mode {:04o})",
                    resolved.display(),
                    mode & 0o7777
                );
                self.note(named, &resolved, Some(objection));
            }
        }
    }

    /// The state's files may be writable in spite of their directory: through a descriptor that was opened before the
    /// directory was closed to others. A file that another user owns was not made by this program.
    fn state_files(&mut self, state_dir: &Path, trusted: &Trusted) {
        let Ok(entries) = fs::read_dir(state_dir) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let is_state = |start: &&str| name.as_encoded_bytes().starts_with(start.as_bytes());
            // What is no plain file the ledger refuses itself.
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_file() && STATE_FILES.iter().any(is_state) {
                let path = entry.path();
                self.note(&path, &path, trusted.objection(&path, &metadata, false));
            }
        }
    }

    fn note(&mut self, named: &Path, resolved: &Path, objection: Option<String>) {
        let Some(objection) = objection else { return };
        let hint = format!(
            "whoever may write here decides what is deleted: chown it to root or to the user that runs, chmod go-w {}",
            resolved.display()
        );
        let problem = Problem::with_file(named, objection, Some(&hint));
        let is_said = |known: &Problem| known.hint == problem.hint && known.message == problem.message;
        if !self.0.iter().any(is_said) {
            self.0.push(problem);
        }
    }
}
