//! Whether the configuration's files may have changed: the kernel tells, and a fingerprint makes sure.
//!
//! The *directories* are watched, never the files: after the first rename-over a file's own watch sees nothing ever again,
//! and a Kubernetes volume shows nothing but its `..data` link being swapped. Names are not looked at either, for the same
//! reason. What the kernel does not tell (NFS, an overlay's lower layer, a link into another directory) is found by a
//! fingerprint of what `stat` says. Not for what the change is: that is `reload`.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

use crate::config::Config;

/// Entries of a directory that are looked at; a configuration in `/etc` itself has neighbours.
const MOST_ENTRIES: usize = 4096;

/// The kernel's watches.
pub struct Watch {
    watcher: Option<RecommendedWatcher>,
    watched: BTreeSet<PathBuf>,
}

impl Watch {
    /// Watches nothing yet; `changed` is told of what happens in the directories.
    pub fn new(changed: Arc<Notify>) -> Self {
        let on_event = move |event: notify::Result<Event>| {
            // Reading the files raises Access events; taking them for changes would never end. An error may be a queue
            // that ran over, so something may have changed.
            if event.map_or(true, |event| !matches!(event.kind, EventKind::Access(_))) {
                changed.notify_one();
            }
        };
        let watcher = notify::recommended_watcher(on_event)
            .inspect_err(|error| {
                tracing::warn!(%error, "the configuration's directories cannot be watched; changes are seen within 30 s");
            })
            .ok();
        Self {
            watcher,
            watched: BTreeSet::new(),
        }
    }

    /// Watches the directories of this configuration, and no others. Directories that were made anew are watched anew.
    pub fn follow(&mut self, config: &Config) {
        let Some(watcher) = &mut self.watcher else { return };
        for dir in std::mem::take(&mut self.watched) {
            // One that is gone has no watch any more.
            let _ = watcher.unwatch(&dir);
        }
        for dir in directories(config) {
            match watcher.watch(&dir, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    self.watched.insert(dir);
                }
                // A pattern may name a directory that is not there yet; the fingerprint sees it come.
                Err(error) => tracing::debug!(%error, dir = %dir.display(), "not watched"),
            }
        }
    }
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch")
            .field("watched", &self.watched)
            .finish_non_exhaustive()
    }
}

/// The directories of the configuration, and those its files really lie in.
fn directories(config: &Config) -> BTreeSet<PathBuf> {
    let real = |file: &PathBuf| Some(file.canonicalize().ok()?.parent()?.to_owned());
    let mut all: BTreeSet<PathBuf> = config.files.iter().filter_map(real).collect();
    all.extend(config.watch_dirs.iter().cloned());
    all
}

/// A number that changes when a file of the configuration, or an entry of its directories, does.
pub fn fingerprint(config: &Config) -> u64 {
    let mut hasher = DefaultHasher::new();
    for file in &config.files {
        look(file, &mut hasher);
    }
    for dir in &config.watch_dirs {
        let mut entries: Vec<PathBuf> = match std::fs::read_dir(dir) {
            Ok(entries) => entries
                .take(MOST_ENTRIES)
                .filter_map(|entry| Some(entry.ok()?.path()))
                .collect(),
            Err(_) => continue,
        };
        entries.sort();
        for entry in &entries {
            look(entry, &mut hasher);
        }
    }
    hasher.finish()
}

fn look(path: &Path, hasher: &mut DefaultHasher) {
    path.hash(hasher);
    // Links are followed: the file behind one is what counts.
    if let Ok(metadata) = std::fs::metadata(path) {
        (metadata.dev(), metadata.ino()).hash(hasher);
        // What goes on inside a directory beside the configuration (the state, perhaps) is not its change.
        if metadata.is_file() {
            let times = (
                metadata.mtime(),
                metadata.mtime_nsec(),
                metadata.ctime(),
                metadata.ctime_nsec(),
            );
            (metadata.len(), metadata.mode(), times).hash(hasher);
        }
    }
}
