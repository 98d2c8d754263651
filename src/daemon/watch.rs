//! Whether the configuration's files may have changed: the kernel tells, and a fingerprint makes sure.
//!
//! The *directories* are watched, never the files: after the first rename-over a file's own watch sees nothing ever again,
//! and a Kubernetes volume shows nothing but its `..data` link being swapped. Names are not looked at either, for the same
//! reason. What the kernel does not tell (NFS, an overlay's lower layer, a link into another directory) is found by a
//! fingerprint of what `stat` says. Not for what the change is: that is `reload`.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

use super::writers::Writers;
use crate::config::Config;

/// Entries of a directory that are looked at; a configuration in `/etc` itself has neighbours.
const MOST_ENTRIES: usize = 4096;

/// The kernel's watches.
pub struct Watch {
    watcher: Option<RecommendedWatcher>,
    /// With device and inode: a directory that was made anew is another one.
    watched: BTreeMap<PathBuf, Option<(u64, u64)>>,
    writers: Arc<Mutex<Writers>>,
}

impl Watch {
    /// Watches nothing yet; `changed` is told of what happens in the directories.
    pub fn new(changed: Arc<Notify>) -> Self {
        let writers = Arc::new(Mutex::new(Writers::default()));
        let told = Arc::clone(&writers);
        let on_event = move |event: notify::Result<Event>| {
            told.lock().unwrap_or_else(PoisonError::into_inner).note(&event);
            // Reading the files raises Access events; taking them for changes would never end. Only a writer's close is none
            // of ours. An error may be a queue that ran over, so something may have changed.
            let is_change = |kind| match kind {
                EventKind::Access(access) => access == AccessKind::Close(AccessMode::Write),
                _ => true,
            };
            if event.map_or(true, |event| is_change(event.kind)) {
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
            watched: BTreeMap::new(),
            writers,
        }
    }

    /// What the kernel told of who writes the files.
    pub fn writers(&self) -> MutexGuard<'_, Writers> {
        self.writers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Watches the directories of these configurations, and no others. Directories that were made anew are watched anew;
    /// of the others no event is lost, for one may be that a file was closed.
    pub fn follow(&mut self, configs: &[&Config]) {
        let Some(watcher) = &mut self.watcher else { return };
        let identity = |dir: &Path| Some(std::fs::metadata(dir).ok()?).map(|found| (found.dev(), found.ino()));
        let wanted: BTreeMap<PathBuf, _> = configs
            .iter()
            .flat_map(|config| directories(config))
            .map(|dir| (dir.clone(), identity(&dir)))
            .collect();
        self.watched.retain(|dir, known| {
            let stays = wanted.get(dir) == Some(known);
            if !stays {
                // One that is gone has no watch any more.
                let _ = watcher.unwatch(dir);
            }
            stays
        });
        // Those that stay, too: the watch of one that was moved away and back is gone.
        for (dir, known) in wanted {
            match watcher.watch(&dir, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    self.watched.insert(dir, known);
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

/// A number for each of these files that changes when it does; none for one that is not there.
pub fn prints<'f>(files: impl IntoIterator<Item = &'f PathBuf>) -> BTreeMap<PathBuf, Option<u64>> {
    let print = |file: &PathBuf| {
        let mut hasher = DefaultHasher::new();
        look(file, &mut hasher);
        file.exists().then(|| hasher.finish())
    };
    files.into_iter().map(|file| (file.clone(), print(file))).collect()
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
