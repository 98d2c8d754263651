//! Watches the configuration's files for changes, through inotify.
//!
//! The *directories* are watched, never the files: after the first rename-over a file's own watch sees nothing ever again,
//! and a Kubernetes volume shows nothing but its `..data` link being swapped. Names are not looked at either, for the same
//! reason. Changes without an event (NFS, an overlay's lower layer, a link into another directory) are found by
//! [`crate::config::fingerprint`]. Not for what the change is: that is `reload`.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

use super::open_writers::Writers;
use crate::config::Config;

/// The kernel's watches.
pub struct ConfigWatch {
    watcher: Option<RecommendedWatcher>,
    /// With device and inode: a directory that was replaced is another one.
    watched: BTreeMap<PathBuf, Option<(u64, u64)>>,
    writers: Arc<Mutex<Writers>>,
}

impl ConfigWatch {
    /// Watches nothing yet; `changed` is notified of changes in the directories.
    pub fn new(changed: Arc<Notify>) -> Self {
        let writers = Arc::new(Mutex::new(Writers::default()));
        let noting = Arc::clone(&writers);
        let on_event = move |event: notify::Result<Event>| {
            noting.lock().unwrap_or_else(PoisonError::into_inner).note(&event);
            // Reading the files raises Access events; taking them for changes would never end. Only a writer's close is never
            // our own. An error may be a queue that ran over, so something may have changed.
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

    /// Which files are still open for writing.
    pub fn writers(&self) -> MutexGuard<'_, Writers> {
        self.writers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Watches the directories of these configurations, and no others. Replaced directories are watched again; of the others
    /// no event is lost, since it may tell that a file was closed.
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

impl std::fmt::Debug for ConfigWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConfigWatch")
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
