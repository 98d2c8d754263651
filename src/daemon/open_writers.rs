//! Whether a file of the configuration is still being written, as far as the kernel reports.
//!
//! Half of a file can be a valid configuration, without the holds at its end. So an edit that keeps less is applied only when
//! its writer has closed the file. Not for noticing changes (`config_watch`) nor for what they mean (`reload`).

use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{Event, EventKind};

/// A closed file must have been left alone for this long: writers open a file again, and tools write several.
const QUIET: Duration = Duration::from_secs(5);
/// One without an event (NFS, a link into another directory) may still be open.
const QUIET_WITHOUT_EVENT: Duration = Duration::from_secs(30);
/// Paths that are remembered; when there are more, all are forgotten.
const MAX_PATHS: usize = 4096;

/// The last event of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FileEvent {
    Written,
    Closed,
}

/// What a changed configuration waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Needs {
    /// This file's writer has not closed it.
    Close(PathBuf),
    /// To be left alone for this long.
    Quiet(Duration),
}

/// The last event of each file in the configuration's directories.
#[derive(Debug, Default)]
pub struct Writers(HashMap<PathBuf, FileEvent>);

impl Writers {
    /// Takes note of an event; of an error, too, for then events were lost.
    pub fn note(&mut self, event: &notify::Result<Event>) {
        let Ok(event) = event else { return self.0.clear() };
        if event.need_rescan() || self.0.len() > MAX_PATHS {
            self.0.clear();
        }
        let last = match event.kind {
            EventKind::Modify(ModifyKind::Data(_)) => FileEvent::Written,
            // A file that is renamed into place is whole, and one that is gone has no writer.
            EventKind::Access(AccessKind::Close(AccessMode::Write))
            | EventKind::Modify(ModifyKind::Name(_))
            | EventKind::Remove(_) => FileEvent::Closed,
            _ => return,
        };
        for path in &event.paths {
            self.0.insert(path.clone(), last);
        }
    }

    /// Events of changes that are in force now tell nothing of later ones. Open files stay open.
    pub fn forget_closed(&mut self) {
        self.0.retain(|_, last| *last == FileEvent::Written);
    }

    /// What these changed files need before what they say is taken.
    pub fn needs<'f>(&self, changed: impl Iterator<Item = &'f PathBuf>) -> Needs {
        let events: Vec<(&PathBuf, Option<FileEvent>)> = changed.map(|file| (file, self.of(file))).collect();
        let open = events.iter().find(|(_, last)| *last == Some(FileEvent::Written));
        match open {
            Some((file, _)) => Needs::Close((*file).clone()),
            None if !events.is_empty() && events.iter().all(|(_, last)| last.is_some()) => Needs::Quiet(QUIET),
            None => Needs::Quiet(QUIET_WITHOUT_EVENT),
        }
    }

    /// The last event of a file, or of a link or directory on its path: a Kubernetes volume swaps nothing but `..data`.
    fn of(&self, file: &Path) -> Option<FileEvent> {
        let (place, real) = (place(file), file.canonicalize().ok());
        let is_about = |path: &Path| {
            self::place(path) == place
                || (real.as_ref()).is_some_and(|real| path.canonicalize().is_ok_and(|path| real.starts_with(path)))
        };
        let events = self.0.iter().filter(|(path, _)| is_about(path));
        events
            .map(|(_, last)| *last)
            .min_by_key(|last| *last == FileEvent::Closed)
    }
}

/// The real directory of a path and its name there, also when nothing is there.
fn place(path: &Path) -> (PathBuf, Option<&OsStr>) {
    let dir = path
        .parent()
        .filter(|dir| !dir.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    (dir.canonicalize().unwrap_or_else(|_| dir.to_owned()), path.file_name())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use notify::event::{CreateKind, DataChange, Flag, MetadataKind, RemoveKind, RenameMode};

    use super::*;

    const WRITTEN: EventKind = EventKind::Modify(ModifyKind::Data(DataChange::Any));
    const CLOSED: EventKind = EventKind::Access(AccessKind::Close(AccessMode::Write));

    fn note(writers: &mut Writers, kind: EventKind, path: &Path) {
        writers.note(&Ok(Event::new(kind).add_path(path.to_owned())));
    }

    #[test]
    fn a_file_is_closed_when_its_writer_says_so_or_it_was_renamed_or_removed() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("config.yaml");
        let mut writers = Writers::default();
        let needs = |writers: &Writers| writers.needs([&file].into_iter());
        assert_eq!(
            needs(&writers),
            Needs::Quiet(QUIET_WITHOUT_EVENT),
            "nothing was reported"
        );
        for ending in [
            CLOSED,
            EventKind::Modify(ModifyKind::Name(RenameMode::To)),
            EventKind::Remove(RemoveKind::File),
        ] {
            note(&mut writers, WRITTEN, &file);
            assert_eq!(needs(&writers), Needs::Close(file.clone()));
            note(
                &mut writers,
                EventKind::Modify(ModifyKind::Metadata(MetadataKind::Any)),
                &file,
            );
            note(&mut writers, CLOSED, &dir.path().join("neighbour"));
            assert_eq!(needs(&writers), Needs::Close(file.clone()), "still open");
            note(&mut writers, ending, &file);
            assert_eq!(needs(&writers), Needs::Quiet(QUIET), "{ending:?}");
        }
        writers.forget_closed();
        assert_eq!(needs(&writers), Needs::Quiet(QUIET_WITHOUT_EVENT));
        // Made, and neither written nor closed: a link, or a file whose first byte is yet to come.
        note(&mut writers, EventKind::Create(CreateKind::File), &file);
        assert_eq!(needs(&writers), Needs::Quiet(QUIET_WITHOUT_EVENT));
        note(&mut writers, WRITTEN, &file);
        writers.forget_closed();
        assert_eq!(needs(&writers), Needs::Close(file.clone()));
        writers.note(&Ok(Event::new(EventKind::Other).set_flag(Flag::Rescan)));
        assert_eq!(needs(&writers), Needs::Quiet(QUIET_WITHOUT_EVENT), "events were lost");
    }

    #[test]
    fn of_several_files_the_one_that_is_open_counts_then_the_one_nothing_was_told_of() {
        let dir = tempfile::tempdir().unwrap();
        let [a, b] = ["a.yaml", "b.yaml"].map(|name| dir.path().join(name));
        let mut writers = Writers::default();
        note(&mut writers, CLOSED, &a);
        assert_eq!(writers.needs([&a, &b].into_iter()), Needs::Quiet(QUIET_WITHOUT_EVENT));
        note(&mut writers, WRITTEN, &b);
        assert_eq!(writers.needs([&a, &b].into_iter()), Needs::Close(b.clone()));
        note(&mut writers, CLOSED, &b);
        assert_eq!(writers.needs([&a, &b].into_iter()), Needs::Quiet(QUIET));
        assert_eq!(writers.needs([].into_iter()), Needs::Quiet(QUIET_WITHOUT_EVENT));
    }

    #[test]
    fn a_swapped_link_tells_of_the_files_behind_it() {
        let dir = tempfile::tempdir().unwrap();
        let etc = dir.path();
        fs::create_dir(etc.join("..1")).unwrap();
        fs::write(etc.join("..1/config.yaml"), "").unwrap();
        std::os::unix::fs::symlink("..1", etc.join("..data")).unwrap();
        std::os::unix::fs::symlink("..data/config.yaml", etc.join("config.yaml")).unwrap();
        let mut writers = Writers::default();
        note(
            &mut writers,
            EventKind::Modify(ModifyKind::Name(RenameMode::To)),
            &etc.join("..data"),
        );
        assert_eq!(
            writers.needs([&etc.join("config.yaml")].into_iter()),
            Needs::Quiet(QUIET)
        );
        fs::write(etc.join("other.yaml"), "").unwrap();
        assert_eq!(
            writers.needs([&etc.join("other.yaml")].into_iter()),
            Needs::Quiet(QUIET_WITHOUT_EVENT)
        );
    }
}
