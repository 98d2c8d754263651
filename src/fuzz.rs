//! Across the road: the list of fuzz targets, for `tests/fuzz` and for the test that replays the corpus. Not in the program that is
//! shipped.
//!
//! A target takes any bytes and panics where a promise is broken. The targets are in the modules that they try.

use std::path::Path;

use crate::{config, ledger, rds, retention};

/// A target that needs nothing but bytes.
pub type Target = fn(&[u8]);

/// One that needs a directory, too, and has it.
pub type Writer = Box<dyn Fn(&[u8])>;

/// Those without files.
pub const TARGETS: [(&str, Target); 8] = [
    ("answers", rds::fuzz::answers),
    ("cron", config::fuzz::cron),
    ("decision", retention::fuzz::decision),
    ("file", rds::fuzz::file),
    ("guard", retention::fuzz::guard),
    ("listing", rds::fuzz::listing),
    ("spans", retention::fuzz::spans),
    ("times", rds::fuzz::times),
];

/// The targets that write files, in an empty directory of the caller's.
pub fn in_directory(name: &str, dir: &Path) -> Option<Writer> {
    match name {
        "yaml" => {
            let dir = dir.to_owned();
            Some(Box::new(move |data| config::fuzz::yaml(&dir, data)))
        }
        "ledger" => {
            let original = ledger::fuzz::Original::new(dir);
            Some(Box::new(move |data| original.damaged(data)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn replay(name: &str, target: impl Fn(&[u8])) {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/fuzz/corpus")
            .join(name);
        let mut replayed = 0;
        for entry in fs::read_dir(&corpus).expect("a corpus for every target") {
            let path = entry.expect("an entry").path();
            let data = fs::read(&path).expect("an input");
            let kept = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| target(&data)));
            assert!(kept.is_ok(), "{} breaks a promise, see above", path.display());
            replayed += 1;
        }
        assert!(replayed > 0, "{name} has a corpus");
    }

    #[test]
    fn the_corpus_of_every_target_finds_nothing() {
        for (name, target) in TARGETS {
            replay(name, target);
        }
    }

    #[test]
    fn the_corpus_of_the_yaml_loader_finds_nothing() {
        let dir = tempfile::tempdir().expect("a directory");
        replay("yaml", in_directory("yaml", dir.path()).expect("a target"));
    }

    #[test]
    fn the_corpus_of_damaged_ledgers_finds_nothing() {
        let dir = tempfile::tempdir().expect("a directory");
        replay("ledger", in_directory("ledger", dir.path()).expect("a target"));
    }
}
