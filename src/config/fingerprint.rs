//! Whether files of the configuration changed, by what `stat` says of them.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::configuration::Config;

/// Directory entries that are looked at: a configuration in `/etc` itself has many neighbours.
const MAX_ENTRIES: usize = 4096;

/// A number that changes when a file of the configuration, or an entry of its directories, does.
pub fn fingerprint(config: &Config) -> u64 {
    let mut hasher = DefaultHasher::new();
    for file in &config.files {
        hash_metadata(file, &mut hasher);
    }
    for dir in &config.watch_dirs {
        let mut entries: Vec<PathBuf> = match std::fs::read_dir(dir) {
            Ok(entries) => entries
                .take(MAX_ENTRIES)
                .filter_map(|entry| Some(entry.ok()?.path()))
                .collect(),
            Err(_) => continue,
        };
        entries.sort();
        for entry in &entries {
            hash_metadata(entry, &mut hasher);
        }
    }
    hasher.finish()
}

/// A fingerprint of each of these files; `None` for one that does not exist.
pub fn file_fingerprints<'f>(files: impl IntoIterator<Item = &'f PathBuf>) -> BTreeMap<PathBuf, Option<u64>> {
    let fingerprint = |file: &PathBuf| {
        let mut hasher = DefaultHasher::new();
        hash_metadata(file, &mut hasher);
        file.exists().then(|| hasher.finish())
    };
    files
        .into_iter()
        .map(|file| (file.clone(), fingerprint(file)))
        .collect()
}

fn hash_metadata(path: &Path, hasher: &mut DefaultHasher) {
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
